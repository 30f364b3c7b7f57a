"""Pairs of bfloat16: how the micro-kernel reads products in bfloat16 (see ops/bfloat16.py for the arithmetic).

    x[k], x[k + 1], float32    -> rounded ->    | x[k + 1] | x[k] |    one word of 32 bits

An instruction multiplies two pairs and adds both products to one float32 sum. So a word takes the place of a float32 in
tiles, panels and registers, the depth K is half as large, and packing, macro-kernel and threads stay what they are:

    x row after row, [M, K]       pair_columns    words [M, K / 2]     for x of x W^T, dy of dy W, W of x W^T
    x column after column         pair_rows       words [K / 2, N]     for W of dy W, x and dy of dy^T x

The last word of an odd K has a 0 in its upper half.
"""

import numpy as np

from ..runtime.jit import jit, jit_inline, jit_parallel, prange
from ..runtime.memory import empty
from .views import as_view, in_words, view

_LOWER, _ONE = np.uint32(0x7FFF), np.uint32(1)
_HALF = np.uint32(16)
_SIGN, _MAGNITUDE, _INFINITY, _SMALLEST = (np.uint32(x) for x in (0x8000, 0x7FFFFFFF, 0x7F800000, 0x00800000))
_QUIET, _ZERO = np.uint32(0x40), np.uint32(0)


@jit_inline
def round_bits(bits):
    """The bits of a float32 -> those of the nearest bfloat16, in the lower half of the word"""
    magnitude = bits & _MAGNITUDE
    upper = bits >> _HALF
    nearest = (bits + _LOWER + (upper & _ONE)) >> _HALF
    nearest = (upper | _QUIET) if magnitude > _INFINITY else nearest
    return (upper & _SIGN) if magnitude < _SMALLEST else nearest


@jit
def pair_row(x, words):
    """x [K] as bits -> words [ceil(K / 2)]"""
    for k in range(x.size // 2):
        words[k] = round_bits(x[2 * k]) | (round_bits(x[2 * k + 1]) << _HALF)
    if x.size % 2:
        words[x.size // 2] = round_bits(x[x.size - 1])


@jit
def pair_two_rows(x, y, words):
    """x, y [N] as bits -> words [N], x in the lower halves"""
    for j in range(x.size):
        words[j] = round_bits(x[j]) | (round_bits(y[j]) << _HALF)


@jit
def round_row(x, words):
    """x [N] as bits -> words [N], 0 in the upper halves"""
    for j in range(x.size):
        words[j] = round_bits(x[j])


@jit_parallel
def _pair_columns(x, words):
    bits = in_words(as_view(x))
    for i in prange(words.shape[0]):
        pair_row(view(bits, (np.int64(i), 0), (bits.shape[1],)), words[i])


@jit_parallel
def _pair_rows(x, words):
    bits = in_words(as_view(x))
    depth, columns = bits.shape
    for k in prange(words.shape[0]):
        even = view(bits, (2 * np.int64(k), 0), (columns,))
        if 2 * k + 1 < depth:
            pair_two_rows(even, view(bits, (2 * np.int64(k) + 1, 0), (columns,)), words[k])
        else:
            round_row(even, words[k])


def pairs_along_columns(matrix):
    """What as_matrix made of [M, K] -> words [M, ceil(K / 2)], as as_matrix would give them"""
    memory, (rows, columns), (row, column) = matrix
    depth = (columns + 1) // 2
    if column == 1:
        words = empty((rows, depth), np.uint32)
        _pair_columns(matrix, words)
        return words.reshape(-1), (rows, depth), (depth, 1)
    words = empty((depth, rows), np.uint32)
    _pair_rows((memory, (columns, rows), (column, row)), words)
    return words.reshape(-1), (rows, depth), (1, rows)


def pairs_along_rows(matrix):
    """What as_matrix made of [K, N] -> words [ceil(K / 2), N], as as_matrix would give them"""
    memory, shape, strides = matrix
    words, shape, strides = pairs_along_columns((memory, shape[::-1], strides[::-1]))
    return words, shape[::-1], strides[::-1]
