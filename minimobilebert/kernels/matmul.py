"""Dense matrix product (draft)."""

import os

import numpy as np

from . import simd
from .backend import by_backend
from .jit import jit_matmul, jit_matmul_parallel, prange
from .simd import array_at, carray, get_num_threads, multiply_tile, transpose_block

PATH = simd.choose_path()
DEPTH_BLOCK = int(os.environ.get("MM_KC", 256))
B_BLOCK_BYTES = int(os.environ.get("MM_L2", 512)) * 1024
SERIAL_BELOW = int(os.environ.get("MM_SER", 64))**3


def matmul_numpy(a, b, *, bias=None, out=None, accumulate=False):
    """out = a @ b + bias, or out += a @ b + bias.  a [M, K], b [K, N], bias [N] -> out [M, N]"""
    product = a @ b
    if bias is not None:
        product += bias
    if out is None:
        return product
    if accumulate:
        out += product
    else:
        out[...] = product
    return out


@jit_matmul
def _pack_panel(b, b_row, b_column, depth, used, target, width, lanes, like):
    """target[k, j] = b[k, j], for k < depth, j < used; zero for used <= j < width.  b and target are addresses."""
    item = like.itemsize
    source = carray(array_at(b, like), (depth - 1) * b_row + (used - 1) * b_column + 1)
    panel = carray(array_at(target, like), depth * width)
    whole_depth = depth // lanes * lanes if b_row == 1 else 0
    whole_used = used // lanes * lanes if b_row == 1 else 0
    for k in range(0, whole_depth, lanes):
        for j in range(0, whole_used, lanes):
            transpose_block(like, lanes, b + item * (j * b_column + k), b_column, target + item * (k * width + j), width)
    for k in range(depth):
        for j in range(whole_used if k < whole_depth else 0, used):
            panel[k * width + j] = source[k * b_row + j * b_column]
        for j in range(used, width):
            panel[k * width + j] = 0


@jit_matmul
def _pack_unit(unit, first_packed, b, b_row, b_column, depth, columns, depth_blocks, packed, width, lanes, like):
    panel, block = first_packed + unit // depth_blocks, unit % depth_blocks
    k0, k1 = depth * block // depth_blocks, depth * (block + 1) // depth_blocks
    j = panel * width
    item = like.itemsize
    _pack_panel(
        b + item * (k0 * b_row + j * b_column), b_row, b_column, k1 - k0, min(width, columns - j),
        packed + item * ((panel - first_packed) * depth + k0) * width, width, lanes, like,
    )


@jit_matmul
def _multiply_part(
    i0, i1, p0, p1, a, a_row, a_k, b, b_row, packed, first_packed, depth, columns, depth_blocks, starts, edge, out, out_row,
    accumulate, tile_rows, width, lanes, like,
):
    item = like.itemsize
    tiles = (i1 - i0 + tile_rows - 1) // tile_rows
    edges = carray(array_at(edge, like), tile_rows * width)
    outs = carray(array_at(out, like), (i1 - 1) * out_row + columns)
    panel_step = max(1, B_BLOCK_BYTES // (item * width * ((depth + depth_blocks - 1) // depth_blocks)))
    for first_panel in range(p0, p1, panel_step):
        last_panel = min(first_panel + panel_step, p1)
        for block in range(depth_blocks):
            k0, k1 = depth * block // depth_blocks, depth * (block + 1) // depth_blocks
            add = 1 if (block > 0 or accumulate) else 0
            for t in range(tiles):
                t0, t1 = i0 + (i1 - i0) * t // tiles, i0 + (i1 - i0) * (t + 1) // tiles
                tile_a = a + item * (t0 * a_row + k0 * a_k)
                for panel in range(first_panel, last_panel):
                    j = panel * width
                    start = starts + item * (j + width) if block == 0 else starts
                    if panel < first_packed:
                        tile_b, b_k = b + item * (k0 * b_row + j), b_row
                    else:
                        tile_b, b_k = packed + item * ((panel - first_packed) * depth + k0) * width, width
                    whole = j + width <= columns
                    multiply_tile(
                        like, lanes, t1 - t0, tile_a, a_row, a_k, tile_b, b_k, k1 - k0, start,
                        out + item * (t0 * out_row + j) if whole else edge, out_row if whole else width, add if whole else 0,
                    )
                    if not whole:
                        for i in range(t1 - t0):
                            place = (t0 + i) * out_row
                            if add:
                                for c in range(j, columns):
                                    outs[place + c] += edges[i * width + c - j]
                            else:
                                for c in range(j, columns):
                                    outs[place + c] = edges[i * width + c - j]


@jit_matmul
def _prepare(b, b_transposed, bias, depth, columns, parts, tile_rows, width):
    panels = (columns + width - 1) // width
    first_packed = 0 if b_transposed else columns // width
    align = 64 // b.itemsize
    size = align + width * (1 + panels + (panels - first_packed) * depth) + parts * tile_rows * width
    scratch = np.empty(size, b.dtype)
    skip = (-scratch.ctypes.data % 64) // b.itemsize
    scratch = scratch[skip:]
    scratch[:width*(1+panels)] = 0
    for j in range(bias.shape[0]):
        scratch[width + j] = bias[j]
    return panels, first_packed, scratch


@jit_matmul
def _multiply_serial(a, a_transposed, b, b_transposed, out, bias, accumulate, rows, depth, columns, depth_blocks, tile_rows, width, lanes):
    panels, first_packed, scratch = _prepare(b, b_transposed, bias, depth, columns, 1, tile_rows, width)
    starts = scratch.ctypes.data
    packed = starts + b.itemsize * width * (1 + panels)
    edge = packed + b.itemsize * width * (panels - first_packed) * depth
    a_row, a_k = (1, a.shape[1]) if a_transposed else (a.shape[1], 1)
    b_row, b_column = (1, b.shape[1]) if b_transposed else (b.shape[1], 1)
    for unit in range((panels - first_packed) * depth_blocks):
        _pack_unit(unit, first_packed, b.ctypes.data, b_row, b_column, depth, columns, depth_blocks, packed, width, lanes, scratch)
    _multiply_part(
        0, rows, 0, panels, a.ctypes.data, a_row, a_k, b.ctypes.data, b_row, packed, first_packed, depth, columns, depth_blocks,
        starts, edge, out.ctypes.data, out.shape[1], accumulate, tile_rows, width, lanes, scratch
    )


@jit_matmul_parallel
def _multiply_parallel(threads, a, a_transposed, b, b_transposed, out, bias, accumulate, rows, depth, columns, depth_blocks, tile_rows, width, lanes):
    row_parts = min(max(rows // 8, 1), threads)
    column_parts = min(threads // row_parts, (columns + width - 1) // width)
    panels, first_packed, scratch = _prepare(b, b_transposed, bias, depth, columns, row_parts * column_parts, tile_rows, width)
    starts = scratch.ctypes.data
    packed = starts + b.itemsize * width * (1 + panels)
    edge = packed + b.itemsize * width * (panels - first_packed) * depth
    a_row, a_k = (1, a.shape[1]) if a_transposed else (a.shape[1], 1)
    b_row, b_column = (1, b.shape[1]) if b_transposed else (b.shape[1], 1)
    a_address, b_address, out_address, out_row = a.ctypes.data, b.ctypes.data, out.ctypes.data, out.shape[1]
    units = (panels - first_packed) * depth_blocks
    if units * width < 64:
        for unit in range(units):
            _pack_unit(unit, first_packed, b_address, b_row, b_column, depth, columns, depth_blocks, packed, width, lanes, scratch)
    else:
        for unit in prange(units):
            _pack_unit(np.int64(unit), first_packed, b_address, b_row, b_column, depth, columns, depth_blocks, packed, width, lanes, scratch)
    for p in prange(row_parts * column_parts):
        part = np.int64(p)
        row_part, column_part = part // column_parts, part % column_parts
        i0, i1 = rows * row_part // row_parts, rows * (row_part + 1) // row_parts
        p0, p1 = panels * column_part // column_parts, panels * (column_part + 1) // column_parts
        _multiply_part(
            i0, i1, p0, p1, a_address, a_row, a_k, b_address, b_row, packed, first_packed, depth, columns, depth_blocks,
            starts, edge + b.itemsize * part * tile_rows * width, out_address, out_row, accumulate, tile_rows, width, lanes, scratch
        )


_NO_BIAS = {np.dtype(t): np.empty(0, t) for t in (np.float32, np.float64)}


class _Memory:
    def __init__(self, x, rows, columns):
        self.keep = x
        self.__array_interface__ = {
            "shape": (rows, columns), "typestr": x.dtype.str, "data": (x.__array_interface__["data"][0], False), "version": 3,
        }


def _base(x):
    """x as a C-contiguous array with flag, without copying where possible."""
    flags = x.flags
    if flags.writeable:
        if flags.c_contiguous:
            return x, False
        if flags.f_contiguous:
            return x.T, True
    for view, transposed in ((x, False), (x.T, True)):
        row, column = view.strides
        if column == x.itemsize and row % x.itemsize == 0 and row >= view.shape[1] * x.itemsize:
            return np.asarray(_Memory(view, view.shape[0], row // x.itemsize)), transposed
    return x.copy(), False


def matmul_numba(a, b, *, bias=None, out=None, accumulate=False):
    rows, depth = a.shape
    columns = b.shape[1]
    dtype, item = a.dtype, a.itemsize
    if out is None:
        out = np.empty((rows, columns), dtype)
        accumulate = False
    if not (rows and depth and columns):
        if not accumulate:
            out[...] = 0
        if bias is not None:
            out += bias
        return out
    tile = simd.TILES[PATH]
    lanes = tile.vector_bytes // item
    width = tile.vectors * lanes
    a, a_transposed = _base(a)
    b, b_transposed = _base(b)
    if bias is None:
        bias = _NO_BIAS[dtype]
    threads = 1 if rows * columns * depth < SERIAL_BELOW else get_num_threads()
    arguments = (a, a_transposed, b, b_transposed, out, bias, accumulate, rows, depth, columns, -(-depth // DEPTH_BLOCK), tile.rows, width, lanes)
    if threads == 1:
        _multiply_serial(*arguments)
    else:
        _multiply_parallel(threads, *arguments)
    return out


matmul = by_backend(numpy=matmul_numpy, numba=matmul_numba)
