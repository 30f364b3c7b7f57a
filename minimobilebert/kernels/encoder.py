"""All blocks of an encoder in one compiled call, for inference: nothing is kept for a backward pass.

Between two matrix products of a small batch a program in Python spends as long as in them, and threads that start and
stop for each product spend longer. Here a thread takes some rows (tokens) through everything that needs no other token:

    part A   bottlenecks, queries, keys, values                      reads its rows of h
    part B   attention of its queries, feed-forwards, output          reads all keys and values, writes its rows of h

    thread 0   | A of layer 0 | B of 0, A of 1 | B of 1, A of 2 | ...      its rows of h: second-level cache
    thread 1   | A of layer 0 | B of 0, A of 1 | B of 1, A of 2 | ...
                              ^                ^  all threads wait here

Only between A and B must the threads wait for each other, so part B of one layer and part A of the next are one run:
as many waits as layers. Keys and values are kept twice, for even and odd layers, because a thread may be in the next
layer's part A while another one still reads this layer's.

All matrices are in one array, `panels`. The kernel is compiled anew for each type that it can have: numbers, pairs of
bfloat16 (uint32), or quads of 8 bits (int32). With pairs attention's products round their operands as well, with quads
they read numbers. Everything else is in another array, `arena`. The order of the dense layers in a block:

    INPUT, SHARED bottleneck; QUERY, KEY, VALUE, CONTEXT; OUTPUT bottleneck; then two for each feed-forward

and `table[layer, d]` says where the parts of dense layer d begin:

    MATRIX   in panels   the weights (gemm/packing.py, gemm/bfloat16.py, gemm/quads.py)
    STARTS   in panels   what the sums of its columns start with; in 8 bits
    BIAS, NORM_SCALE, NORM_SHIFT, SCALES, RANGE
             in arena    the last two: what a unit of each column is worth, and the range of x; in 8 bits
    SAME_INPUT           1 if the dense layer computed before reads the same x with the same range; in 8 bits
"""

import math
from typing import NamedTuple

import numpy as np

from .attention import HeadMemory, head_memory_in, head_memory_size, matmul_head, matmul_transposed, softmax_rows
from .gemm.epilogue import NOTHING, SCALE_SHIFT, Epilogue
from .gemm.macro_kernel import macro_kernel
from .gemm.panels import panels_in, panels_size
from .gemm.quads import padded_quads, quad_product, quads_in, quads_size, quantize_rows, starts_size, sums_in, sums_size
from .gemm.views import nothing, strided, view
from .layernorm import normalize_row
from .rows import contiguous
from .runtime.by_address import by_address, passed_as
from .runtime.by_kind import by_kind
from .runtime.jit import jit, jit_inline, jit_parallel, prange

INPUT, SHARED, QUERY, KEY, VALUE, CONTEXT, OUTPUT, FIRST_FEED_FORWARD = range(8)
READS_H, READS_SHARED, READS_INPUT = range(3)
PART_A = (INPUT, SHARED, VALUE, QUERY, KEY)  # in the order of computation: layers with the same x are neighbours
MATRIX, STARTS, BIAS, NORM_SCALE, NORM_SHIFT, SCALES, RANGE, SAME_INPUT = range(8)
NORM = -1  # beside the kinds of an epilogue: the model's normalisation


@passed_as("weights", "operands numbers table int5 int4 number int2")
class Weights(NamedTuple):
    panels: np.ndarray  # one dimension: numbers, pairs, or quads
    arena: np.ndarray  # one dimension
    table: np.ndarray  # [L, D, 8] offsets, and SAME_INPUT
    sizes: tuple  # H, C, F, heads, feed-forwards
    flags: tuple  # use_bottleneck, one of READS_... for queries and keys, use LayerNorm, activation (epilogue.py)
    eps: float
    addresses: tuple  # of the macro-kernel, and of the product in 8 bits


@passed_as("activations", "sequences sequences sequences sequences mask")
class Activations(NamedTuple):
    """What all threads see; N = B * T rows."""

    h: np.ndarray  # [1, N, H]
    q: np.ndarray  # [2, N, C] for even and odd layers
    k: np.ndarray
    v: np.ndarray
    mask: np.ndarray  # [B, T] bool


class Rows(NamedTuple):
    """What one thread has for its R rows."""

    h: np.ndarray  # [R, H]
    n: np.ndarray  # [R, C]
    shared: np.ndarray  # [R, C]
    context: np.ndarray  # [R, C]
    m: np.ndarray  # [R, F]
    scores: np.ndarray  # one dimension, R * T
    head: HeadMemory
    row_scales: np.ndarray  # [R], for 8 bits
    integers: np.ndarray  # one dimension: sums of a tile, words of R rows; for 8 bits


@jit_inline
def _read_by_attention(panels, numbers):
    """An array of the type that attention's products read: of the weights' type, but numbers beside quads"""
    if isinstance(panels.dtype.type(0), np.int32):
        return numbers
    else:
        return panels


@jit
def _rows_memory_size(rows, tokens, sizes, operands):
    """Numbers of scratch memory for one thread; operands: as attention's products read them"""
    _, C, F, heads, _ = sizes
    return rows * (3 * C + F + tokens + 1) + head_memory_size(tokens, C // heads, operands)


@jit
def _integers_size(rows, sizes, like):
    """Words of scratch memory for one thread, for products in 8 bits."""
    H, C, F, _, _ = sizes
    return sums_size(like) + rows * padded_quads(max(H, C, F), like)


@jit
def _rows_in(memory, integers, h, tokens, weights):
    """memory [_rows_memory_size], integers [_integers_size or 0], h [R, H] -> Rows"""
    _, C, F, heads, _ = weights.sizes
    macro_at, operands = weights.addresses[0], _read_by_attention(weights.panels, memory)
    rows = h.shape[0]
    m_at, scores_at, scales_at = 3 * rows * C, rows * (3 * C + F), rows * (3 * C + F + tokens)
    head_at = scales_at + rows
    return Rows(
        h,
        strided(memory, 0, (rows, C), (C, 1)),
        strided(memory, rows * C, (rows, C), (C, 1)),
        strided(memory, 2 * rows * C, (rows, C), (C, 1)),
        strided(memory, m_at, (rows, F), (F, 1)),
        view(memory, (scores_at,), (rows * tokens,)),
        head_memory_in(view(memory, (head_at,), (memory.size - head_at,)), tokens, C // heads, operands, macro_at),
        view(memory, (scales_at,), (rows,)),
        integers,
    )


@jit_inline
def _product_of_quads(x, weights, slot, bias, addend, y, epilogue, own, matrices):
    """y = epilogue(x W^T + b + addend); matrices: weights.panels"""
    inputs, outputs = x.shape[1], y.shape[1]
    sums = sums_in(own.integers, y)
    words_at, width = sums_size(y), padded_quads(inputs, y)
    words = strided(own.integers, words_at, (x.shape[0], width), (width, 1))
    if not slot[SAME_INPUT]:
        quantize_rows(x, words, own.row_scales, weights.arena[slot[RANGE]])
    matrix = view(matrices, (slot[MATRIX],), (quads_size(inputs, outputs, y),))
    starts = view(matrices, (slot[STARTS],), (starts_size(outputs, y),))
    scales = view(weights.arena, (slot[SCALES],), (starts_size(outputs, y),))
    b = quads_in(matrix, starts, scales, inputs)
    quad_product(weights.addresses[1], words, own.row_scales, b, bias, addend, y, epilogue, sums)


@jit_inline
def _product_of_panels(x, weights, slot, bias, addend, y, epilogue, own, matrices):
    """The same where the weights are numbers or words."""
    inputs, outputs = x.shape[1], y.shape[1]
    size = panels_size(inputs, outputs, matrices)
    panels = panels_in(view(matrices, (slot[MATRIX],), (size,)), inputs, outputs)
    macro_kernel(weights.addresses[0], x, panels, bias, addend, y, epilogue, own.head.workspace)


_product = by_kind(numbers=_product_of_panels, words=_product_of_panels, quads=_product_of_quads)


@jit
def _dense(x, weights, slot, addend, y, kind, own):
    """y = epilogue(x W^T + b + addend); x [R, in], y [R, out], addend [R, out] or no rows; slot: a row of the table"""
    arena, outputs = weights.arena, y.shape[1]
    bias, scale, shift = (
        view(arena, (slot[BIAS],), (outputs,)),
        view(arena, (slot[NORM_SCALE],), (outputs,)),
        view(arena, (slot[NORM_SHIFT],), (outputs,)),
    )
    layer_norm = kind == NORM and weights.flags[2]
    if kind == NORM:
        kind = NOTHING if layer_norm else SCALE_SHIFT
    epilogue = Epilogue(np.int64(kind), nothing(arena), scale, shift)
    _product(x, weights, slot, bias, addend, y, epilogue, own, weights.panels)
    if layer_norm:
        for i in range(y.shape[0]):
            row = view(y, (i, 0), (outputs,))
            normalize_row(row, scale, shift, weights.eps, row)


@jit
def _part_a(own, q, k, v, weights, slots):
    """PART_A: bottlenecks, values, queries, keys of some rows; q, k, v [R, C]; slots: the layer's part of the table"""
    use_bottleneck, reads = weights.flags[0], weights.flags[1]
    none = nothing(weights.arena)
    wide = own.h
    if use_bottleneck:
        _dense(own.h, weights, slots[INPUT], none, own.n, NORM, own)
    if reads == READS_INPUT:
        wide = own.n
    narrow = wide
    if reads == READS_SHARED:
        _dense(own.h, weights, slots[SHARED], none, own.shared, NORM, own)
        narrow = own.shared
    _dense(wide, weights, slots[VALUE], none, v, NOTHING, own)
    _dense(narrow, weights, slots[QUERY], none, q, NOTHING, own)
    _dense(narrow, weights, slots[KEY], none, k, NOTHING, own)


@jit
def _attend(own, row, q, k, v, mask, heads):
    """Attention of the queries from `row` on, which may belong to several sequences; q, k, v [N, C] of all"""
    tokens, C = mask.shape[1], q.shape[1]
    size, end = C // heads, row + own.h.shape[0]
    scale = q.dtype.type(1.0 / math.sqrt(size))
    first = row
    while first < end:
        sequence = first // tokens
        count = min(end, (sequence + 1) * tokens) - first
        k_sequence = view(k, (sequence * tokens, 0), (tokens, C))
        p = strided(own.scores, 0, (count, tokens), (tokens, 1))
        for head in range(heads):
            column = head * size
            matmul_transposed(view(q, (first, column), (count, size)), k_sequence, column, p, own.head)  # q k^T
            softmax_rows(p, mask[sequence], scale, nothing(own.scores))
            v_head = view(v, (sequence * tokens, column), (tokens, size))
            matmul_head(p, v_head, view(own.context, (first - row, column), (count, size)), own.head)  # p v
        first += count


@jit
def _part_b(own, row, q, k, v, mask, weights, slots):
    """Attention, feed-forwards, output of the rows from `row` on; q, k, v [N, C] of all rows"""
    use_bottleneck, activation = weights.flags[0], weights.flags[3]
    heads, feed_forwards = weights.sizes[3], weights.sizes[4]
    none = nothing(weights.arena)
    _attend(own, row, q, k, v, mask, heads)
    # The residual is the bottleneck's output, or h itself where there is none; the block goes on in that array.
    x = own.n if use_bottleneck else own.h
    _dense(own.context, weights, slots[CONTEXT], x, x, NORM, own)
    for f in range(feed_forwards):
        d = FIRST_FEED_FORWARD + 2 * f
        _dense(x, weights, slots[d], none, own.m, activation, own)
        _dense(own.m, weights, slots[d + 1], x, x, NORM, own)
    if use_bottleneck:
        _dense(own.n, weights, slots[OUTPUT], own.h, own.h, NORM, own)


@jit_inline
def _layer_of(x, layer):
    """x [2, N, C] -> the half for this layer"""
    return view(x, (layer % 2, 0, 0), (x.shape[1], x.shape[2]))


@by_address("int int int activations weights numbers integers")
def _turn(part, parts, turn, activations, weights, memory, integers):
    """What one thread does between two waits: part B of layer turn - 1, part A of layer `turn`

    memory, integers: all threads'
    """
    h, q, k, v, mask = activations
    row, end = mask.size * part // parts, mask.size * (part + 1) // parts
    rows, size, words = end - row, memory.size // parts, integers.size // parts
    h_rows = view(h, (0, row, 0), (rows, h.shape[2]))
    own_memory, own_integers = view(memory, (part * size,), (size,)), view(integers, (part * words,), (words,))
    own = _rows_in(own_memory, own_integers, h_rows, mask.shape[1], weights)
    if turn > 0:
        b = turn - 1
        _part_b(own, row, _layer_of(q, b), _layer_of(k, b), _layer_of(v, b), mask, weights, weights.table[b])
    if turn < len(weights.table):
        start, shape = (turn % 2, row, 0), (rows, q.shape[2])
        _part_a(own, view(q, start, shape), view(k, start, shape), view(v, start, shape), weights, weights.table[turn])


@jit_parallel
def _encoder_blocks(turn_at, parts, h, mask, weights):
    panels, arena, table, sizes, flags, eps, addresses = weights
    total, C, dtype = mask.size, sizes[1], h.dtype
    q, k, v = (np.empty((2, total, C), dtype), np.empty((2, total, C), dtype), np.empty((2, total, C), dtype))
    most = (total + parts - 1) // parts
    memory_size = _rows_memory_size(most, mask.shape[1], sizes, _read_by_attention(panels, h))
    memory = np.empty(parts * memory_size, dtype)
    integers = np.empty(parts * _integers_size(most, sizes, h) if addresses[1] else 0, np.int32)
    for turn in range(len(table) + 1):
        for part in prange(parts):
            seen = Activations(h, q, k, v, mask)
            all_weights = Weights(panels, arena, table, sizes, flags, eps, addresses)
            _turn(turn_at, part, parts, turn, seen, all_weights, memory, integers)


def encoder_blocks(parts, h, mask, weights):
    """h [B, T, H] through all blocks, in place; mask [B, T] bool; weights: the fields of `Weights` but the last

    The B * T rows are shared out in `parts` parts.
    """
    operands = weights[0].dtype
    if operands == np.int32:
        addresses = macro_kernel.address(h.dtype), quad_product.address(h.dtype)
    else:
        addresses = macro_kernel.address(h.dtype, operands), 0
    weights = (*weights, addresses)
    _encoder_blocks(_turn.address(h.dtype, operands), parts, h.reshape(1, -1, h.shape[-1]), contiguous(mask), weights)
