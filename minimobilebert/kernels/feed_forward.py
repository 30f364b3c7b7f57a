"""A whole feed-forward network, some rows (tokens) at a time (see ops/fused/feed_forward.py for the equations).

    x    +--------+  block 0   thread 0      forward     x[block]             ->  y[block]
         |        |  block 1                 backward    dy[block], x[block]  ->  dx[block]
         +--------+  block 2   thread 1                                       ->  sums for dW1, dW2, db1, ...
         |        |  ...
         +--------+                          feed_forward_rows.py: one block

The weights' gradients are sums over all rows. Neighbouring blocks are a group, which has its own sums: block by block,
then over the groups in order. Blocks and groups depend on the number of rows alone, so that the number of threads does
not change a bit.

In float32 the wide layer m = activation(x W1^T + b1) is kept for the backward pass. In bfloat16 a product takes less
time than reading its result from memory again, so m is not kept, but computed a second time, with the same bits.
"""

import math

import numpy as np

from .feed_forward_rows import Kept, Layers, Sums, backward_rows, forward_rows, memory_size
from .gemm.epilogue import ACTIVATIONS, FROM_OUTPUT
from .gemm.macro_kernel import macro_kernel
from .gemm.panels import pack_all, panels_in, panels_size
from .gemm.views import view
from .reductions import block_sums
from .rows import ROWS_PER_BLOCK, as_rows, block_count, contiguous, expect
from .runtime.jit import get_num_threads, jit, jit_inline, jit_parallel, prange, serial
from .runtime.memory import empty
from .runtime.precision import operands_of, rounds

LARGEST_BLOCK = 256  # rows
WIDE = 1 << 14  # C * F from which on small blocks are slow: each of them reads all weights
GROUPS = 16  # at most; a group has its own sums of dW1 and dW2


def rows_of_block(rows, C, F):
    """Rows of a block: about a sixteenth of all, or a quarter for wide layers, in steps of ROWS_PER_BLOCK"""
    smallest, parts = (ROWS_PER_BLOCK, 16) if C * F <= WIDE else (2 * ROWS_PER_BLOCK, 4)
    return min(max(block_count(-(-rows // parts)) * ROWS_PER_BLOCK, smallest), LARGEST_BLOCK)


@jit_inline
def _packed(b, packed, position):
    """b [K, N] in panels; position: 0 for the first of three matrices in `packed`, ..."""
    (depth, columns), third = b.shape, packed.size // 3
    panels = panels_in(view(packed, (position * third,), (third,)), depth, columns)
    pack_all(b, panels)
    return panels


@jit_inline
def _block(x, i, rows):
    """Rows i ... of x [R, N]; no rows where x has none"""
    return view(x, (i, 0), (min(rows, x.shape[0]), x.shape[1]))


@jit_inline
def _kept_of(kept, i, rows):
    """Rows i ... of (x, m, u, s)"""
    x, m, u, s = kept
    return Kept(_block(x, i, rows), _block(m, i, rows), _block(u, i, rows), _block(s, i, rows))


@jit_parallel
def _forward(addresses, at_once, kept, weights, activation, y, packed, memory):
    rows_at, macro_at = addresses
    weight1, bias1, weight2, bias2, scale, shift = weights
    first = _packed(view(weight1, (0, 0), weight1.shape).T, packed, 0)
    second = _packed(view(weight2, (0, 0), weight2.shape).T, packed, 1)
    none = view(first, (0, 0, 0), (0, 0, 0))
    parts, total = memory.shape[0], y.shape[0]
    blocks = (total + at_once - 1) // at_once
    for part in prange(parts):
        layers = Layers(first, second, none, bias1, bias2, scale, shift, activation, macro_at)
        for block in range(blocks * part // parts, blocks * (part + 1) // parts):
            i = block * at_once
            n = min(at_once, total - i)
            forward_rows(rows_at, _kept_of(kept, i, n), packed, layers, _block(y, i, n), memory[part])


@jit_parallel
def _backward(addresses, at_once, dy, kept, weights, activation, dx, sums, packed, memory):
    rows_at, macro_at = addresses
    weight1, bias1, weight2, scale = weights
    dweight1, dweight2, dbias1, dscale, dshift = sums
    first = _packed(view(weight1, (0, 0), weight1.shape).T, packed, 0)
    second = _packed(view(weight2, (0, 0), weight2.shape), packed, 1)
    first_back = _packed(view(weight1, (0, 0), weight1.shape), packed, 2)
    parts, groups, total = memory.shape[0], dweight1.shape[0], dy.shape[0]
    blocks = (total + at_once - 1) // at_once
    for part in prange(parts):
        layers = Layers(first, second, first_back, bias1, scale, scale, scale, activation, macro_at)
        for group in range(groups * part // parts, groups * (part + 1) // parts):
            start = blocks * group // groups
            for block in range(start, blocks * (group + 1) // groups):
                i = block * at_once
                n = min(at_once, total - i)
                sum_at, sums_of_block = i // ROWS_PER_BLOCK, (n + ROWS_PER_BLOCK - 1) // ROWS_PER_BLOCK
                own = Sums(
                    view(dweight1, (group, 0, 0), weight1.shape),
                    view(dweight2, (group, 0, 0), weight2.shape),
                    _block(dbias1, sum_at, sums_of_block),
                    _block(dscale, sum_at, sums_of_block),
                    _block(dshift, sum_at, sums_of_block),
                )
                backward_rows(
                    rows_at, _block(dy, i, n), _kept_of(kept, i, n), packed, layers, _block(dx, i, n), own,
                    np.int64(block == start), memory[part],
                )  # fmt: skip


_forward_serial, _backward_serial = serial(_forward), serial(_backward)


@jit
def _sizes(at_once, widths, operands, like):
    """Numbers of packed weights, and of each thread's memory"""
    C, F = widths
    third = max(panels_size(C, F, operands), panels_size(F, C, operands))
    return 3 * third, memory_size(at_once, widths, operands, like)


def _working_memory(at_once, widths, threads, dtype):
    """-> packed weights, memory [threads, numbers]"""
    operands = operands_of(dtype)
    packed, numbers = _sizes(at_once, widths, operands, np.empty(0, dtype))
    return empty(packed, operands.dtype), empty((threads, numbers), dtype)


def feed_forward_forward(x, weight1, bias1, weight2, bias2, scale, shift, activation):
    """The compiled twin of ops/fused/feed_forward.py."""
    (F, C), dtype, rows = weight1.shape, x.dtype, as_rows(x)
    arrays = {"weight1": weight1, "bias1": bias1, "weight2": weight2, "bias2": bias2, "scale": scale, "shift": shift}
    shapes = (F, x.shape[-1]), (F,), (C, F), (C,), (C,), (C,)
    for (name, array), shape in zip(arrays.items(), shapes, strict=True):
        expect("feed-forward", name, array, shape, dtype)
    weights = tuple(contiguous(array) for array in arrays.values())
    at_once, wide = rows_of_block(len(rows), C, F), (0 if rounds(dtype) else len(rows), F)
    m, u = empty(wide, dtype), empty((0, F) if activation in FROM_OUTPUT else wide, dtype)
    s, y = empty(rows.shape, dtype), empty(rows.shape, dtype)
    if rows.size:
        threads = min(get_num_threads(), -(-len(rows) // at_once))
        packed, memory = _working_memory(at_once, (C, F), threads, dtype)
        run = _forward if threads > 1 else _forward_serial
        addresses = forward_rows.address(dtype, packed.dtype), macro_kernel.address(dtype, packed.dtype)
        run(addresses, at_once, (rows, m, u, s), weights, ACTIVATIONS[activation], y, packed, memory)
    return y.reshape(x.shape), (x, weight1, bias1, weight2, scale, activation, m, u, s)


def _over_first_axis(sums):
    """Added up in order; sums [n, ...] -> [...]"""
    shape = sums.shape[1:]
    return block_sums(sums.reshape(len(sums), math.prod(shape))).reshape(shape)


def feed_forward_backward(dy, cache):
    """The compiled twin of ops/fused/feed_forward.py."""
    x, (F, C), dtype = as_rows(cache.x), cache.weight1.shape, cache.x.dtype
    expect("feed-forward", "dy", dy, cache.x.shape, dtype)
    at_once, sums_of = rows_of_block(len(x), C, F), block_count(len(x))
    groups = min(-(-len(x) // at_once), GROUPS)
    dx, dweights = empty(x.shape, dtype), (empty((groups, F, C), dtype), empty((groups, C, F), dtype))
    sums = (*dweights, *(np.zeros((sums_of, width), dtype) for width in (F, C, C)))
    if x.size:
        threads = min(get_num_threads(), groups)
        packed, memory = _working_memory(at_once, (C, F), threads, dtype)
        weights = tuple(contiguous(array) for array in (cache.weight1, cache.bias1, cache.weight2, cache.scale))
        run = _backward if threads > 1 else _backward_serial
        addresses = backward_rows.address(dtype, packed.dtype), macro_kernel.address(dtype, packed.dtype)
        kept = x, cache.m, cache.u, cache.s
        run(addresses, at_once, as_rows(dy), kept, weights, ACTIVATIONS[cache.activation], dx, sums, packed, memory)
    dweight1, dweight2, dbias1, dscale, dshift = map(_over_first_axis, sums)
    return dx.reshape(cache.x.shape), dweight1, dbias1, dweight2, cache.scale * dshift, dscale, dshift
