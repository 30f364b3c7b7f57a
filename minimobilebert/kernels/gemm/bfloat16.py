"""Packing for products in bfloat16: numbers are rounded to pairs while they are packed (ops/bfloat16.py: what and why).

    x[k], x[k + 1], float32   -> rounded ->   | x[k + 1] | x[k] |     one word of 32 bits

An instruction multiplies two words and adds both products to one float32 sum. So a word takes the place of a float32 in
tiles, panels and registers, and K words hold 2 K numbers. Macro-kernel, epilogues and threads stay what they are.

    a [M, K]  float32, any strides   ->   tiles of words, in the workspace: a tile is rounded once for all panels
    b [K, N]  float32, any strides   ->   panels of words [P, K / 2, NR], rounded once

The last word of an odd K has a 0 in its upper half.
"""

import numpy as np

from ..runtime.jit import jit, jit_inline
from .rounding import round_bits
from .tiles import item_bytes, lanes_of, nr_of
from .vector_loops import pair_neighbours, pair_rows, transpose_block
from .views import in_words, strided, view

_HALF = np.uint32(16)
_NO_NUMBER = np.uint32(0)


@jit_inline
def words_of(depth):
    """Words that hold `depth` numbers."""
    return (depth + 1) // 2


@jit_inline
def _pair(bits, k, j):
    """The word of bits[k, j] and bits[k + 1, j]; 0 in place of a row that is not there"""
    upper = round_bits(bits[k + 1, j]) if k + 1 < bits.shape[0] else _NO_NUMBER
    return np.uint32(round_bits(bits[k, j]) | np.uint32(upper << _HALF))


@jit
def pair_rows_of(x, words):
    """words[i, k] = the pair of x[i, 2 k] and x[i, 2 k + 1]; x [M, K], words [M, words_of(K)]

    Where K is no multiple of a vector, rows of words are a vector longer than that: its end holds what nothing reads.
    """
    rows, depth = x.shape
    lanes, bits = lanes_of(words), in_words(x).T
    neighbours = x.strides[1] == item_bytes(x)
    for i in range(rows):
        # A vector may reach beyond the K numbers of a row into those of the next one.
        reach = depth + 2 * lanes - 1 if i + 1 < rows and 2 * lanes * item_bytes(x) <= x.strides[0] else depth
        whole = reach // (2 * lanes) * lanes if neighbours else 0
        for k in range(0, whole, lanes):
            pair_neighbours(view(x, (i, 2 * k), (2 * lanes,)), view(words, (i, k), (lanes,)))
        first = whole if whole < words_of(depth) else depth // 2  # the last word of an odd K
        for k in range(first, words_of(depth)):
            words[i, k] = _pair(bits, 2 * k, i)


@jit
def pack_panel_in_pairs(b, panel, scratch):
    """`pack_panel` for b [K, 1 ... NR] in float32 and panel [words_of(K), NR]; scratch: words, lanes^2 of them"""
    depth, columns = b.shape
    nr, lanes, bits = nr_of(panel), lanes_of(panel), in_words(b)
    block_words = depth // (2 * lanes) * lanes if b.strides[0] == item_bytes(b) else 0
    whole_columns = columns - columns % lanes
    square = strided(scratch, 0, (lanes, lanes), (lanes, 1))
    for k in range(0, block_words, lanes):
        for j in range(0, whole_columns, lanes):
            pair_rows_of(view(b, (2 * k, j), (2 * lanes, lanes)).T, square)
            transpose_block(square, view(panel, (k, j), (lanes, lanes)))
    rows_contiguous = b.strides[1] == item_bytes(b)
    for k in range(words_of(depth)):
        done = whole_columns if k < block_words else 0
        if rows_contiguous and 2 * k + 1 < depth:
            for j in range(0, whole_columns, lanes):
                even, odd = view(b, (2 * k, j), (lanes,)), view(b, (2 * k + 1, j), (lanes,))
                pair_rows(even, odd, view(panel, (k, j), (lanes,)))
            done = whole_columns
        for j in range(done, columns):
            panel[k, j] = _pair(bits, 2 * k, j)
        for j in range(columns, nr):
            panel[k, j] = _NO_NUMBER


@jit
def pack_a_tiles_in_pairs(a, rows, tiles):
    """Some rows of a transposed matrix as words: tiles[t, k, i] = row t * rows + i, columns 2 k, 2 k + 1"""
    lanes, numbers = lanes_of(tiles), a.shape[1]
    bits = in_words(a).T
    for k in range(words_of(numbers)):
        # As in pack_a_tiles; the odd column is the last that is read.
        whole = 2 * k + 1 < numbers
        reach = a.shape[0] + lanes if 2 * k + 2 < numbers and lanes * item_bytes(a) <= a.strides[1] else a.shape[0]
        t = 0
        for i0 in range(0, a.shape[0], rows):
            if whole and i0 + lanes <= reach:
                even, odd = view(a.T, (2 * k, i0), (lanes,)), view(a.T, (2 * k + 1, i0), (lanes,))
                pair_rows(even, odd, view(tiles, (t, k, 0), (lanes,)))
            else:
                for i in range(min(rows, a.shape[0] - i0)):
                    tiles[t, k, i] = _pair(bits, 2 * k, i0 + i)
            t += 1
