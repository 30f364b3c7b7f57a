"""Dense matrix product (draft)."""

import os

import numpy as np

from . import simd
from .backend import by_backend
from .jit import HAVE_NUMBA, jit_matmul, jit_matmul_parallel, prange

PATH = simd.choose_path()
DEPTH_BLOCK = int(os.environ.get("MM_KC", 256))
L2_BYTES = int(os.environ.get("MM_L2", 512)) * 1024
SERIAL_BELOW = 64**3
A_PANELS = 8


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


if HAVE_NUMBA:
    from numba import carray, get_num_threads

    from .simd import array_at, multiply_tile, transpose_block


@jit_matmul
def _pack(source, depth_stride, lane_stride, depth, used, target, width, lanes, like):
    item = like.itemsize
    src = carray(array_at(source, like), (depth - 1) * depth_stride + (used - 1) * lane_stride + 1)
    dst = carray(array_at(target, like), depth * width)
    if lane_stride == 1:
        for d in range(depth):
            for j in range(used):
                dst[d * width + j] = src[d * depth_stride + j]
    else:
        whole_depth = depth // lanes * lanes if depth_stride == 1 else 0
        whole_used = used // lanes * lanes
        for d in range(0, whole_depth, lanes):
            for j in range(0, whole_used, lanes):
                transpose_block(
                    like, lanes, source + item * (j * lane_stride + d), lane_stride, target + item * (d * width + j), width
                )
        for d in range(depth):
            for j in range(whole_used if d < whole_depth else 0, used):
                dst[d * width + j] = src[d * depth_stride + j * lane_stride]
    if used < width:
        for d in range(depth):
            for j in range(used, width):
                dst[d * width + j] = 0


@jit_matmul
def _pack_b_unit(unit, b, b_row, b_column, depth, columns, k_blocks, packed, width, lanes, like):
    panel, k_block = unit // k_blocks, unit % k_blocks
    k0, k1 = depth * k_block // k_blocks, depth * (k_block + 1) // k_blocks
    j = panel * width
    item = like.itemsize
    _pack(
        b + item * (k0 * b_row + j * b_column), b_row, b_column, k1 - k0, min(width, columns - j),
        packed + item * (panel * depth + k0) * width, width, lanes, like,
    )


@jit_matmul
def _compute_part(
    part, row_parts, column_parts, a, a_row, a_k, in_place, out, out_row, rows, depth, columns, k_blocks, zeros, biases, packed,
    work, work_size, tile_rows, width, lanes, accumulate, like,
):
    item = like.itemsize
    panels = (columns + width - 1) // width
    row_part, column_part = part // column_parts, part % column_parts
    i0, i1 = rows * row_part // row_parts, rows * (row_part + 1) // row_parts
    p0, p1 = panels * column_part // column_parts, panels * (column_part + 1) // column_parts
    edge = work + part * work_size * item
    a_block = edge + tile_rows * width * item
    edges = carray(array_at(edge, like), tile_rows * width)
    outs = carray(array_at(out, like), (rows - 1) * out_row + columns)
    chunks = (i1 - i0 + A_PANELS * tile_rows - 1) // (A_PANELS * tile_rows)
    panel_step = max(1, L2_BYTES // (item * width * ((depth + k_blocks - 1) // k_blocks)))
    for first_panel in range(p0, p1, panel_step):
        last_panel = min(first_panel + panel_step, p1)
        for k_block in range(k_blocks):
            k0, k1 = depth * k_block // k_blocks, depth * (k_block + 1) // k_blocks
            add = 1 if (k_block > 0 or accumulate) else 0
            for chunk in range(chunks):
                c0, c1 = i0 + (i1 - i0) * chunk // chunks, i0 + (i1 - i0) * (chunk + 1) // chunks
                tiles = (c1 - c0 + tile_rows - 1) // tile_rows
                if not in_place:
                    for t in range(tiles):
                        t0, t1 = c0 + (c1 - c0) * t // tiles, c0 + (c1 - c0) * (t + 1) // tiles
                        _pack(
                            a + item * (t0 * a_row + k0 * a_k), a_k, a_row, k1 - k0, t1 - t0,
                            a_block + item * (t0 - c0) * (k1 - k0), t1 - t0, lanes, like,
                        )
                for t in range(tiles):
                    t0, t1 = c0 + (c1 - c0) * t // tiles, c0 + (c1 - c0) * (t + 1) // tiles
                    if in_place:
                        tile_a, tile_a_row, tile_a_k = a + item * (t0 * a_row + k0 * a_k), a_row, a_k
                    else:
                        tile_a, tile_a_row, tile_a_k = a_block + item * (t0 - c0) * (k1 - k0), 1, t1 - t0
                    for panel in range(first_panel, last_panel):
                        j = panel * width
                        start = zeros if k_block > 0 else biases + item * j
                        b = packed + item * (panel * depth + k0) * width
                        if j + width <= columns:
                            multiply_tile(
                                like, lanes, t1 - t0, tile_a, tile_a_row, tile_a_k, b, k1 - k0, start,
                                out + item * (t0 * out_row + j), out_row, add,
                            )
                        else:
                            multiply_tile(
                                like, lanes, t1 - t0, tile_a, tile_a_row, tile_a_k, b, k1 - k0, start, edge, width, 0
                            )
                            for i in range(t1 - t0):
                                place = (t0 + i) * out_row
                                if add:
                                    for c in range(j, columns):
                                        outs[place + c] += edges[i * width + c - j]
                                else:
                                    for c in range(j, columns):
                                        outs[place + c] = edges[i * width + c - j]


@jit_matmul
def _serial(
    a, a_row, a_k, in_place, b, b_row, b_column, out, out_row, rows, depth, columns, k_blocks, zeros, biases, packed, work, work_size,
    tile_rows, width, lanes, accumulate, like,
):
    for unit in range((columns + width - 1) // width * k_blocks):
        _pack_b_unit(unit, b, b_row, b_column, depth, columns, k_blocks, packed, width, lanes, like)
    _compute_part(
        0, 1, 1, a, a_row, a_k, in_place, out, out_row, rows, depth, columns, k_blocks, zeros, biases, packed, work, work_size,
        tile_rows, width, lanes, accumulate, like,
    )


@jit_matmul_parallel
def _parallel(
    row_parts, column_parts,
    a, a_row, a_k, in_place, b, b_row, b_column, out, out_row, rows, depth, columns, k_blocks, zeros, biases, packed, work, work_size,
    tile_rows, width, lanes, accumulate, like,
):
    units = (columns + width - 1) // width * k_blocks
    if columns * depth < 16384:
        for unit in range(units):
            _pack_b_unit(unit, b, b_row, b_column, depth, columns, k_blocks, packed, width, lanes, like)
    else:
        for unit in prange(units):
            _pack_b_unit(unit, b, b_row, b_column, depth, columns, k_blocks, packed, width, lanes, like)
    for part in prange(row_parts * column_parts):
        _compute_part(
            part, row_parts, column_parts, a, a_row, a_k, in_place, out, out_row, rows, depth, columns, k_blocks, zeros, biases, packed, work, work_size,
            tile_rows, width, lanes, accumulate, like,
        )


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
    panels = -(-columns // width)
    k_blocks = -(-depth // DEPTH_BLOCK)
    threads = get_num_threads() if rows * columns * depth >= SERIAL_BELOW else 1
    row_parts = min(max(rows // 8, 1), threads)
    column_parts = min(threads // row_parts, panels)
    a_row, a_k = a.strides[0] // item, a.strides[1] // item
    b_row, b_column = b.strides[0] // item, b.strides[1] // item
    in_place = a_k == 1
    work_size = tile.rows * width + (0 if in_place else A_PANELS * tile.rows * DEPTH_BLOCK)
    scratch = np.empty(16 + width * (1 + panels * (1 + depth)) + row_parts * column_parts * work_size, dtype)
    base = scratch.ctypes.data
    skip = (-base % 64) // item
    base += skip * item
    scratch[skip : skip + width * (1 + panels)] = 0
    if bias is not None:
        scratch[skip + width : skip + width + columns] = bias
    arguments = (
        a.ctypes.data, a_row, a_k, in_place, b.ctypes.data, b_row, b_column, out.ctypes.data, out.strides[0] // item,
        rows, depth, columns, k_blocks, base, base + item * width, base + item * width * (1 + panels),
        base + item * width * (1 + panels * (1 + depth)), work_size, tile.rows, width, lanes, accumulate, scratch,
    )
    if threads == 1:
        _serial(*arguments)
    else:
        _parallel(row_parts, column_parts, *arguments)
    return out


matmul = by_backend(numpy=matmul_numpy, numba=matmul_numba)
