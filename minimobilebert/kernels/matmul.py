"""Dense matrix product: the one mechanism behind every linear layer, forward and backward.

    out[i, j] = bias[j] + sum over k of a[i, k] * b[k, j]          a [M, K], b [K, N], bias [N] -> out [M, N]

A linear layer needs it in three layouts, x @ w.T, dy @ w and dy.T @ x, so transposed views are the normal case.
The plain loops at the end of this file reach a fifth of what a core can do. The fast kernel has three ideas:

1. Registers. The output is computed in tiles of up to 14 x 32 numbers that stay in vector registers while k runs
   (see simd.py). A tile reads rows + columns numbers for every rows * columns multiply-adds.
2. Caches. The loops around the tile go through blocks of b (DEPTH_BLOCK rows, B_BLOCK_BYTES together) that stay in
   the second-level cache until every row of a has met them. The a-rows of one tile stay in the first-level cache.
3. Packing, where it pays. The tile needs `width` neighbouring numbers of a row of b in one load. `dy @ w` and
   `dy.T @ x` have them side by side and are read where they lie. In `x @ w.T` they are a column of w: each panel
   of `width` columns is first copied, transposed, to lie as the tile reads it. A last panel narrower than `width`
   is copied too and filled up with zeros; its tile is computed aside and only the real columns are kept.
   Numbers of a are read one at a time, so a is never copied, whichever way it lies.

Threads share the output, never a sum: every out[i, j] is added up by one thread, in the order of k, whatever
the number of threads. So results do not depend on it, bit for bit.
"""

import numpy as np

from . import simd
from .backend import by_backend
from .jit import jit_matmul, jit_matmul_parallel, prange
from .simd import array_at, carray, get_num_threads, multiply_tile, transpose_block

PATH = simd.choose_path()  # "avx512", "avx2", "neon" or "plain"

DEPTH_BLOCK = 256  # rows of b in one block
B_BLOCK_BYTES = 512 * 1024  # about half of a second-level cache
SERIAL_BELOW = 64**3  # multiply-adds; fewer are done before a second thread has woken up
_NO_BIAS = {np.dtype(kind): np.empty(0, kind) for kind in (np.float32, np.float64)}


def _check(a, b, bias, out, accumulate):
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0] or a.dtype != b.dtype or a.dtype not in _NO_BIAS:
        raise ValueError(
            f"matmul: found {a.dtype} {a.shape} and {b.dtype} {b.shape},"
            " expected [M, K] and [K, N], both float32 or float64"
        )
    if bias is not None and (bias.shape != b.shape[1:] or bias.dtype != a.dtype):
        raise ValueError(f"matmul: found bias {bias.dtype} {bias.shape}, expected {a.dtype} {b.shape[1:]}")
    if out is not None and (out.shape != (a.shape[0], b.shape[1]) or out.dtype != a.dtype):
        raise ValueError(
            f"matmul: found out {out.dtype} {out.shape}, expected {a.dtype} {(a.shape[0], b.shape[1])}"
        )
    if accumulate and out is None:
        raise ValueError("matmul: found accumulate without out, expected the array to add to")


def _deliver(product, bias, out, accumulate):
    """Finish what a kernel without bias and accumulation has computed."""
    if bias is not None:
        product += bias
    if out is None:
        return product
    if accumulate:
        out += product
    else:
        out[...] = product
    return out


def matmul_numpy(a, b, *, bias=None, out=None, accumulate=False):
    """out = a @ b + bias, or out += a @ b + bias with accumulate=True.

    a [M, K], b [K, N], bias [N] or None; any strides; float32 or float64, the same for all
    out [M, N] or None for a new array; it must not be needed as an operand afterwards -> out
    """
    _check(a, b, bias, out, accumulate)
    return _deliver(a @ b, bias, out, accumulate)


# ------------------------------------------------------------------------------- the fast kernel
# Addresses and strides instead of arrays: one compiled kernel then serves every layout. Everything the loops
# need to know travels in one tuple of integers, `job`; `like` is an array whose only use is its dtype.


@jit_matmul
def _plan(
    a, a_transposed, b, b_transposed, out, bias, accumulate, rows, depth, columns, parts, tile_rows, width, lanes
):  # fmt: skip
    """The job and its scratch memory: [width zeros | bias, zero-filled | packed panels | one tile for each part]."""
    item = a.itemsize
    row_parts, column_parts = parts
    panels = (columns + width - 1) // width
    first_packed = 0 if b_transposed else columns // width
    numbers = width * (1 + panels + (panels - first_packed) * depth + row_parts * column_parts * tile_rows)
    scratch = np.empty(numbers + 64 // item, a.dtype)
    scratch = scratch[-np.int64(scratch.ctypes.data) % 64 // item :]  # a vector across two cache lines loads slower
    scratch[: width * (1 + panels)] = 0
    for j in range(bias.shape[0]):
        scratch[width + j] = bias[j]
    zeros = np.int64(scratch.ctypes.data)  # Numba would make a float of an unsigned address plus a signed number
    packed = zeros + item * width * (1 + panels)
    a_row, a_column = (1, a.shape[1]) if a_transposed else (a.shape[1], 1)
    b_row, b_column = (1, b.shape[1]) if b_transposed else (b.shape[1], 1)
    job = (
        np.int64(a.ctypes.data), a_row, a_column, np.int64(b.ctypes.data), b_row, b_column,
        np.int64(out.ctypes.data), out.shape[1], np.int64(accumulate),
        rows, depth, columns, row_parts, column_parts, panels, first_packed, (depth + DEPTH_BLOCK - 1) // DEPTH_BLOCK,
        zeros, packed, packed + item * width * (panels - first_packed) * depth, tile_rows, width, lanes,
    )  # fmt: skip
    return job, scratch


@jit_matmul
def _pack(unit, job, like):
    """Copy one block of one panel of b: panel[k, j] = b[k, j], zero beyond the last column."""
    (
        _, _, _, b, b_row, b_column, _, _, _, _, depth, columns, _, _, _, first_packed, blocks, _, packed, _, _, width, lanes,
    ) = job  # fmt: skip
    item = like.itemsize
    panel, block = unit // blocks, unit % blocks
    k0, k1 = depth * block // blocks, depth * (block + 1) // blocks
    j0 = (first_packed + panel) * width
    used = min(width, columns - j0)
    source_address = b + item * (k0 * b_row + j0 * b_column)
    target_address = packed + item * (panel * depth + k0) * width
    source = carray(array_at(source_address, like), (k1 - k0 - 1) * b_row + (used - 1) * b_column + 1)
    target = carray(array_at(target_address, like), (k1 - k0) * width)

    # Where b is the transpose of an array in memory, whole blocks of lanes x lanes are turned in registers.
    turned_depth = (k1 - k0) // lanes * lanes if b_row == 1 else 0
    turned_columns = used // lanes * lanes
    for k in range(0, turned_depth, lanes):
        for j in range(0, turned_columns, lanes):
            here, there = source_address + item * (j * b_column + k), target_address + item * (k * width + j)
            transpose_block(like, lanes, here, b_column, there, width)
    for k in range(k1 - k0):
        for j in range(turned_columns if k < turned_depth else 0, used):
            target[k * width + j] = source[k * b_row + j * b_column]
        for j in range(used, width):
            target[k * width + j] = 0


@jit_matmul
def _multiply(part, job, like):
    """Compute one part of the output: some rows of some panels."""
    (
        a, a_row, a_column, b, b_row, _, out, out_row, accumulate, rows, depth, columns, row_parts, column_parts, panels,
        first_packed, blocks, zeros, packed, tiles, tile_rows, width, lanes,
    ) = job  # fmt: skip
    item = like.itemsize
    i0, i1 = rows * (part // column_parts) // row_parts, rows * (part // column_parts + 1) // row_parts
    p0, p1 = panels * (part % column_parts) // column_parts, panels * (part % column_parts + 1) // column_parts
    aside_address = tiles + item * part * tile_rows * width
    aside = carray(array_at(aside_address, like), tile_rows * width)
    target = carray(array_at(out, like), (i1 - 1) * out_row + columns)
    # Tiles of nearly equal height: 20 rows are done as 10 + 10, which is faster than 14 + 6.
    count = (i1 - i0 + tile_rows - 1) // tile_rows
    step = max(1, B_BLOCK_BYTES // (item * width * min(depth, DEPTH_BLOCK)))
    for first in range(p0, p1, step):
        for block in range(blocks):
            k0, k1 = depth * block // blocks, depth * (block + 1) // blocks
            add = 1 if accumulate or block > 0 else 0
            for t in range(count):
                t0, t1 = i0 + (i1 - i0) * t // count, i0 + (i1 - i0) * (t + 1) // count
                a_tile = a + item * (t0 * a_row + k0 * a_column)
                for panel in range(first, min(first + step, p1)):
                    j0 = panel * width
                    if panel < first_packed:
                        b_tile, b_step = b + item * (k0 * b_row + j0), b_row
                    else:
                        b_tile, b_step = packed + item * ((panel - first_packed) * depth + k0) * width, width
                    start = zeros if block > 0 else zeros + item * (width + j0)  # the bias counts once
                    if j0 + width <= columns:
                        place, place_row, place_add = out + item * (t0 * out_row + j0), out_row, add
                    else:
                        place, place_row, place_add = aside_address, width, 0
                    multiply_tile(
                        like, lanes, t1 - t0, a_tile, a_row, a_column, b_tile, b_step, k1 - k0, start,
                        place, place_row, place_add,
                    )  # fmt: skip
                    if j0 + width > columns:
                        for i in range(t1 - t0):
                            here = (t0 + i) * out_row + j0
                            for j in range(columns - j0):
                                before = target[here + j] if add else like.dtype.type(0.0)
                                target[here + j] = before + aside[i * width + j]


@jit_matmul
def _matmul_serial(a, a_transposed, b, b_transposed, out, bias, accumulate, rows, depth, columns, parts, tile):
    tile_rows, width, lanes = tile
    job, scratch = _plan(
        a, a_transposed, b, b_transposed, out, bias, accumulate, rows, depth, columns, parts, tile_rows, width, lanes
    )
    for unit in range((job[14] - job[15]) * job[16]):
        _pack(unit, job, scratch)
    _multiply(np.int64(0), job, scratch)


@jit_matmul_parallel
def _matmul_parallel(a, a_transposed, b, b_transposed, out, bias, accumulate, rows, depth, columns, parts, tile):
    tile_rows, width, lanes = tile
    job, scratch = _plan(
        a, a_transposed, b, b_transposed, out, bias, accumulate, rows, depth, columns, parts, tile_rows, width, lanes
    )
    units = (job[14] - job[15]) * job[16]
    if units * width < 64:
        for unit in range(units):
            _pack(unit, job, scratch)
    else:
        for unit in prange(units):
            _pack(np.int64(unit), job, scratch)
    for part in prange(parts[0] * parts[1]):
        _multiply(np.int64(part), job, scratch)


# ------------------------------------------------------------------------------- the plain loops
# For processors without a tile above, and for NUMBA_DISABLE_JIT=1. Four steps of k at a time, so that a row of the
# output is read and written a quarter as often; the innermost loop runs along memory, so LLVM vectorises it.


@jit_matmul_parallel
def _matmul_plain(a, b, out):
    """out += a @ b, all C-contiguous."""
    rows, depth = a.shape
    fours = depth // 4 * 4
    for group in prange((rows + 3) // 4):
        for i in range(4 * group, min(4 * group + 4, rows)):
            for k in range(0, fours, 4):
                a0, a1, a2, a3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
                for j in range(out.shape[1]):
                    out[i, j] += a0 * b[k, j] + a1 * b[k + 1, j] + a2 * b[k + 2, j] + a3 * b[k + 3, j]
            for k in range(fours, depth):
                for j in range(out.shape[1]):
                    out[i, j] += a[i, k] * b[k, j]


class _Memory:
    """Lets NumPy see x's memory as rows x row_length numbers, C-contiguous and writable."""

    def __init__(self, x, row_length):
        self.owner = x
        self.__array_interface__ = {
            "shape": (x.shape[0], row_length),
            "typestr": x.dtype.str,
            "data": (x.__array_interface__["data"][0], False),
            "version": 3,
        }


def _base(x):
    """x or x.T as a C-contiguous array, without a copy if one of its strides is 1; and whether it is x.T.

    Numba compiles anew for each memory layout and for read-only arrays; this leaves it one kind of array.
    """
    if x.flags.writeable:
        if x.flags.c_contiguous:
            return x, False
        if x.flags.f_contiguous:
            return x.T, True
    for view, transposed in ((x, False), (x.T, True)):
        row, column = view.strides
        if column == x.itemsize and row % x.itemsize == 0 and row >= column * view.shape[1]:
            return np.asarray(_Memory(view, row // x.itemsize)), transposed
    return x.copy(order="C"), False


def matmul_numba(a, b, *, bias=None, out=None, accumulate=False):
    _check(a, b, bias, out, accumulate)
    rows, depth = a.shape
    columns = b.shape[1]
    if PATH == "plain" or not (rows and depth and columns):
        product = np.zeros((rows, columns), a.dtype)
        _matmul_plain(np.ascontiguousarray(a), np.ascontiguousarray(b), product)
        return _deliver(product, bias, out, accumulate)
    if out is None:
        target = out_base = np.empty((rows, columns), a.dtype)
    else:
        target = out
        out_base, turned = _base(out)
    tile = simd.TILES[PATH]
    lanes = tile.vector_bytes // a.itemsize
    threads = 1 if rows * columns * depth < SERIAL_BELOW else get_num_threads()
    row_parts = min(max(rows // 8, 1), threads)
    parts = (row_parts, min(threads // row_parts, -(-columns // (lanes * tile.vectors))))
    arguments = (
        *_base(a), *_base(b), out_base, _NO_BIAS[a.dtype] if bias is None else bias, accumulate, rows, depth, columns,
        parts, (tile.rows, lanes * tile.vectors, lanes),
    )  # fmt: skip
    if threads == 1:
        _matmul_serial(*arguments)
    else:
        _matmul_parallel(*arguments)
    return target


matmul = by_backend(numpy=matmul_numpy, numba=matmul_numba)
