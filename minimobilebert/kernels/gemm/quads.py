"""Products in 8 bits (ops/quantized_linear.py: what and why), in words of four bytes.

    x[k], x[k + 1], x[k + 2], x[k + 3]   ->   | q + 128 | q + 128 | q + 128 | q + 128 |    a word of a: unsigned bytes
    w[k], w[k + 1], w[k + 2], w[k + 3]   ->   |    q    |    q    |    q    |    q    |    a word of b: signed bytes

An instruction multiplies the bytes of two words and adds the four products to one sum of 32 bits. So a word takes the
place of a float32 in tiles, panels and registers, and K words hold 4 K numbers. The instruction wants one operand
unsigned: 128 is added to each q of x, and taken away again where the sums start,

    sum over k of q(x)[k] q(w)[k] = -128 sum over k of q(w)[k]  +  sum over k of (q(x)[k] + 128) q(w)[k]

Sums of integers wrap around at 32 bits on the way, and come out right. Where K is no multiple of four, the rest of the
last word of b is 0.

    a [R, K]  float32   ->   rows of words, in memory of the thread: once for all panels
    b [K, N]  bytes     ->   panels of words [P, K / 4, NR], and starts [P, NR]: once, before the model runs

What follows a product, tile by tile: y = sum * s_w[column] * s_x[row] + bias + addend, and the epilogue.
"""

from typing import NamedTuple

import numpy as np

from ..runtime.by_address import by_address, passed_as
from ..runtime.jit import jit, jit_inline
from .epilogue import NOTHING, SCALE_SHIFT, apply_epilogue
from .micro_kernel import micro_kernel
from .packing import panels_of, rows_of_tiles
from .quad_loops import (
    dequantize_numbers,
    dequantize_row,
    is_done_in_registers,
    largest_magnitude,
    quantize_vector,
)
from .tiles import MR, lanes_of, nr_of
from .views import block_of, segment_of, strided, view

LARGEST = np.float32(127.0)
SMALLEST = np.float32(1e-30)  # of the largest number of a row that does not count as zeros
_ZEROS = np.int32(-2139062144)  # 0x80808080: four times q = 0


@jit_inline
def quads_of(depth):
    """Words that hold `depth` numbers."""
    return (depth + 3) // 4


@jit_inline
def padded_quads(depth, like):
    """Words of a row of a: whole vectors of numbers are written to it."""
    lanes = lanes_of(like)
    return (depth + lanes - 1) // lanes * lanes // 4


@passed_as("quads", "integer_panels integer_matrix numbers")
class Quads(NamedTuple):
    """b [K, N] in 8 bits."""

    panels: np.ndarray  # [P, quads_of(K), NR] int32
    starts: np.ndarray  # [P, NR] int32: -128 times the sum of a column's integers
    scales: np.ndarray  # [P * NR] float32, 0 behind the N of the columns


def quads_from(integers, scales):
    """Weights [out = N, in = K] int8 and scales [N] -> panels, starts, scales of Quads, each in one dimension"""
    columns, depth = integers.shape
    count, nr = panels_of(columns, scales), nr_of(scales)
    padded = np.zeros((count * nr, 4 * quads_of(depth)), np.int8)
    padded[:columns, :depth] = integers
    words = padded.reshape(-1).view("<i4").astype(np.int32).reshape(count, nr, -1)
    starts = np.int32(-128) * padded.sum(axis=1, dtype=np.int32)
    scale = np.zeros(count * nr, np.float32)
    scale[:columns] = scales
    return np.ascontiguousarray(words.transpose(0, 2, 1)).reshape(-1), starts, scale


@jit_inline
def quads_in(panels, starts, scales, depth):
    """The arrays of `quads_from` -> Quads"""
    nr, rows = nr_of(scales), quads_of(depth)
    count = scales.size // nr
    return Quads(
        strided(panels, 0, (count, rows, nr), (rows * nr, nr, 1)), strided(starts, 0, (count, nr), (nr, 1)), scales
    )


@jit_inline
def _clip(numbers, largest, clipped):
    """clipped [lanes] = numbers [lanes], from -largest to largest"""
    for k in range(clipped.size):
        clipped[k] = min(max(numbers[k], -largest), largest)


@jit
def quantize_rows(x, words, scales, given):
    """words [R, padded_quads(K)], scales [R] of x [R, K], neighbouring columns, as `quantize_rows` of ops

    given: as there, or a negative number for the maximum of each row
    """
    rows, depth = x.shape
    lanes = lanes_of(scales)
    whole = depth // lanes * lanes
    rest, clipped = np.zeros(lanes, scales.dtype), np.zeros(lanes, scales.dtype)
    for i in range(rows):
        row = view(x, (i, 0), (depth,))
        for k in range(whole, depth):
            rest[k - whole] = row[k]
        largest = largest_magnitude(view(row, (0,), (whole,)), rest)  # NaN if one of them is
        if not largest < np.inf:
            scales[i] = np.nan
            for k in range(words.shape[1]):
                words[i, k] = _ZEROS
            continue
        saturates = 0 <= given < largest
        if given >= 0:
            largest = given
        scales[i] = largest / LARGEST
        inverse = LARGEST / largest if largest >= SMALLEST else np.float32(0.0)
        if saturates:
            for k in range(0, depth, lanes):
                _clip(view(row, (k,), (lanes,)) if k < whole else view(rest, (0,), (lanes,)), largest, clipped)
                quantize_vector(clipped, inverse, view(words, (i, k // 4), (lanes // 4,)))
            continue
        for k in range(0, whole, lanes):
            quantize_vector(view(row, (k,), (lanes,)), inverse, view(words, (i, k // 4), (lanes // 4,)))
        if whole < depth:
            quantize_vector(rest, inverse, view(words, (i, whole // 4), (lanes // 4,)))


@jit_inline
def _finish(sums, a_scales, scales, bias, addend, epilogue, j, out):
    """out = epilogue(sums * scales * a_scales + bias + addend); sums [rows, NR], out [rows, 1 ... NR]

    j: the first column. Returns whether the epilogue is done already.
    """
    rows, columns = out.shape
    whole = columns == nr_of(out)
    done = whole and is_done_in_registers(epilogue.kind)
    kind = epilogue.kind if done else np.int64(NOTHING)
    size = columns if kind == SCALE_SHIFT else 0
    scale, shift = view(epilogue.scale, (j,), (size,)), view(epilogue.shift, (j,), (size,))
    for i in range(rows):
        row, out_row = view(sums, (i, 0), (columns,)), view(out, (i, 0), (columns,))
        addend_row = view(addend, (i, 0), (columns if addend.shape[0] > 0 else 0,))
        if whole:
            dequantize_row(row, a_scales[i], scales, bias, addend_row, kind, scale, shift, out_row)
        else:
            dequantize_numbers(row, a_scales[i], scales, bias, addend_row, out_row)
    return done


@by_address("integer_matrix numbers quads numbers matrix matrix epilogue integer_matrix")
def quad_product(words, a_scales, b, bias, addend, out, epilogue, sums):
    """out = epilogue(addend + bias + a b) for a in words [R, quads_of(K) or more], a_scales [R]

    b: Quads; bias [N] or [0]; addend [R, N] or no rows, may be out; sums [MR, NR]: memory for a tile
    """
    rows, columns = out.shape
    count, depth, nr = b.panels.shape
    tile_rows = rows_of_tiles(rows)
    no_addend = view(sums, (0, 0), (0, nr))
    for p in range(count):
        j0 = p * nr
        panel, start = view(b.panels, (p, 0, 0), (depth, nr)), view(b.starts, (p, 0), (nr,))
        scales = view(b.scales, (j0,), (nr,))
        for i0 in range(0, rows, tile_rows):
            shape = (min(tile_rows, rows - i0), min(nr, columns - j0))
            tile = view(sums, (0, 0), (shape[0], nr))
            micro_kernel(view(words, (i0, 0), (shape[0], depth)), panel, start, no_addend, tile)
            out_tile = view(out, (i0, j0), shape)
            done = _finish(
                tile, view(a_scales, (i0,), (shape[0],)), scales, segment_of(bias, j0, shape[1]),
                block_of(addend, i0, j0, shape), epilogue, j0, out_tile,
            )  # fmt: skip
            if epilogue.kind and not done:
                apply_epilogue(epilogue, out_tile, i0, j0)


@jit_inline
def sums_size(like):
    """Memory for the sums of a tile."""
    return MR * nr_of(like)


@jit_inline
def sums_in(memory, like):
    """Room for them in memory [sums_size or more] int32"""
    return strided(memory, 0, (MR, nr_of(like)), (nr_of(like), 1))


@jit_inline
def starts_size(columns, like):
    """Starts, and scales, of so many columns."""
    return panels_of(columns, like) * nr_of(like)


@jit_inline
def quads_size(depth, columns, like):
    """Words for the panels of b [depth, columns]."""
    return starts_size(columns, like) * quads_of(depth)
