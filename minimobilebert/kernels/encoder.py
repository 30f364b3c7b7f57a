"""All blocks of an encoder in one compiled call, for inference: nothing is kept for a backward pass.

Between two matrix products of a small batch a program in Python spends as long as in them, and threads that start and
stop for each product spend longer. Here a thread takes some rows (tokens) through everything that needs no other token:

    part A   bottlenecks, queries, keys, values                      reads its rows of h
    part B   attention of its queries, feed-forwards, output          reads all keys and values, writes its rows of h

Only between A and B must the threads wait for each other, so part B of one layer and part A of the next are one run:
as many waits as layers. Keys and values are kept twice, for even and odd layers, because a thread may be in the next
layer's part A while another one still reads this layer's.

All weights are in one array, `arena`, as panels (gemm/packing.py). `table[layer, d]` has the offsets of the panels of
dense layer d, of its bias, and of the scale and shift of the normalisation behind it. The order of the dense
layers in a block:

    INPUT, SHARED bottleneck; QUERY, KEY, VALUE, CONTEXT; OUTPUT bottleneck; then two for each feed-forward

`sizes` is (H, C, F, heads, feed-forwards). `flags` is (use_bottleneck, what queries and keys read: one of READS_...,
use LayerNorm, the activation: a kind of epilogue.py).
"""

import math

import numpy as np

from .attention import head_size_of, matmul_head, matmul_transposed, softmax_rows, transposed_size
from .gemm.epilogue import NOTHING, SCALE_SHIFT
from .gemm.macro_kernel import macro_kernel, small_workspace_size
from .gemm.micro_kernel import width_of
from .gemm.packing import panels_of
from .layernorm import normalize_row
from .runtime.by_address import by_address
from .runtime.jit import jit, jit_parallel, prange

INPUT, SHARED, QUERY, KEY, VALUE, CONTEXT, OUTPUT, FIRST_FEED_FORWARD = range(8)
READS_H, READS_SHARED, READS_INPUT = range(3)


@jit
def _dense(rows, x, x_at, inputs, outputs, arena, slot, add, add_at, y, y_at, kind, layer_norm, eps, workspace):
    """y = finish(x W^T + b + add) for some rows, and LayerNorm where `layer_norm` says so; rows lie without gaps"""
    zero, one, width, none = np.int64(0), np.int64(1), width_of(y), arena[:0]
    macro_kernel(
        rows, x, x_at, inputs, one, inputs, arena, slot[0], width * inputs, width, outputs, arena, slot[1],
        add, add_at, outputs, y, y_at, outputs, workspace, zero, kind, none, zero, zero,
        arena[slot[2] :], arena[slot[3] :], zero,
    )  # fmt: skip
    if layer_norm:
        weight, bias = arena[slot[2] : slot[2] + outputs], arena[slot[3] : slot[3] + outputs]
        for i in range(rows):
            row = y[y_at + i * outputs : y_at + (i + 1) * outputs]
            normalize_row(row, weight, bias, eps, row)


@jit
def _part_a(row, rows, layer, h, n, qk, q, k, v, arena, table, sizes, flags, eps, workspace):
    """Bottlenecks, queries, keys and values of the rows from `row` on; n [rows, C] and qk [rows, C] are this part's."""
    H, C, _, _, _ = sizes
    use_bottleneck, reads, layer_norm, _ = flags
    zero, minus, plain, no = np.int64(0), np.int64(-1), np.int64(NOTHING), np.int64(0)
    slots, here, norm = table[layer], row * H, plain if layer_norm else np.int64(SCALE_SHIFT)
    side = (layer % 2) * (q.size // 2) + row * C  # even and odd layers
    wide, wide_at, wide_size = h, here, H
    if use_bottleneck:
        _dense(rows, h, here, H, C, arena, slots[INPUT], h, minus, n, zero, norm, layer_norm, eps, workspace)
    if reads == READS_INPUT:
        wide, wide_at, wide_size = n, zero, C
    narrow, narrow_at, narrow_size = wide, wide_at, wide_size
    if reads == READS_SHARED:
        _dense(rows, h, here, H, C, arena, slots[SHARED], h, minus, qk, zero, norm, layer_norm, eps, workspace)
        narrow, narrow_at, narrow_size = qk, zero, C
    for d, y in ((QUERY, q), (KEY, k)):
        _dense(rows, narrow, narrow_at, narrow_size, C, arena, slots[d], h, minus, y, side, plain, no, eps, workspace)
    _dense(rows, wide, wide_at, wide_size, C, arena, slots[VALUE], h, minus, v, side, plain, no, eps, workspace)


@jit
def _attend(row, rows, layer, q, k, v, mask, tokens, heads, context, C, scores, transposed, zeros, workspace):
    """Attention of the queries from `row` on, which may belong to several sequences; context [rows, C]"""
    size, zero, one = C // heads, np.int64(0), np.int64(1)
    scale, side = q.dtype.type(1.0 / math.sqrt(size)), (layer % 2) * (q.size // 2)
    first = row
    while first < row + rows:
        sequence = first // tokens
        count = min(row + rows, (sequence + 1) * tokens) - first
        at = side + sequence * tokens * C
        for head in range(heads):
            column = head * size
            matmul_transposed(
                count, q, side + first * C + column, C, k, at, column, size, C, tokens, transposed, zeros,
                scores, zero, workspace,
            )  # fmt: skip
            softmax_rows(
                scores[: count * tokens], tokens, mask[sequence * tokens : (sequence + 1) * tokens], scale, scores[:0]
            )  # fmt: skip
            matmul_head(
                count, scores, zero, tokens, one, v, at, column, size, C, tokens, zeros,
                context, (first - row) * C, workspace,
            )  # fmt: skip
        first += count


@jit
def _part_b(
    row,
    rows,
    layer,
    h,
    n,
    context,
    m,
    q,
    k,
    v,
    mask,
    tokens,
    arena,
    table,
    sizes,
    flags,
    eps,
    scores,
    transposed,
    zeros,
    workspace,
):
    """Attention, feed-forwards, output of the rows from `row` on; n, context [rows, C], m [rows, F] are this part's."""
    H, C, F, heads, feed_forwards = sizes
    use_bottleneck, _, layer_norm, activation = flags
    zero, minus, plain, no = np.int64(0), np.int64(-1), np.int64(NOTHING), np.int64(0)
    slots, here, norm = table[layer], row * H, plain if layer_norm else np.int64(SCALE_SHIFT)
    _attend(row, rows, layer, q, k, v, mask, tokens, heads, context, C, scores, transposed, zeros, workspace)
    # The residual is the bottleneck's output, or h itself where there is none; the block goes on in that array.
    x, x_at = (n, zero) if use_bottleneck else (h, here)
    _dense(rows, context, zero, C, C, arena, slots[CONTEXT], x, x_at, x, x_at, norm, layer_norm, eps, workspace)
    for f in range(feed_forwards):
        d = FIRST_FEED_FORWARD + 2 * f
        _dense(rows, x, x_at, C, F, arena, slots[d], h, minus, m, zero, activation, no, eps, workspace)
        _dense(rows, m, zero, F, C, arena, slots[d + 1], x, x_at, x, x_at, norm, layer_norm, eps, workspace)
    if use_bottleneck:
        _dense(rows, n, zero, C, H, arena, slots[OUTPUT], h, here, h, here, norm, layer_norm, eps, workspace)


@by_address(
    "int int int int numbers numbers numbers numbers numbers numbers numbers numbers bools int numbers table int5 int4"
    " number numbers numbers numbers numbers"
)
def _turn(
    part, parts, turn, layers, h, n, qk, context, m, q, k, v, mask, tokens, arena, table, sizes, flags, eps,
    scores, transposed, zeros, workspace,
):  # fmt: skip
    """What one thread does between two waits: part B of layer turn - 1, part A of layer `turn`."""
    row = mask.size * part // parts
    rows = mask.size * (part + 1) // parts - row
    if turn > 0:
        _part_b(
            row, rows, turn - 1, h, n, context, m, q, k, v, mask, tokens, arena, table, sizes, flags, eps, scores,
            transposed, zeros, workspace,
        )  # fmt: skip
    if turn < layers:
        _part_a(row, rows, turn, h, n, qk, q, k, v, arena, table, sizes, flags, eps, workspace)


@jit_parallel
def _encoder_blocks(turn_at, parts, layers, h, mask, tokens, arena, table, sizes, flags, eps):
    _, C, F, heads, _ = sizes
    total, kind = mask.size, h.dtype
    most = (total + parts - 1) // parts
    n, qk, context = (
        np.empty((parts, most * C), kind),
        np.empty((parts, most * C), kind),
        np.empty((parts, most * C), kind),
    )
    m, scores = np.empty((parts, most * F), kind), np.empty((parts, most * tokens), kind)
    q, k, v = np.empty(2 * total * C, kind), np.empty(2 * total * C, kind), np.empty(2 * total * C, kind)
    transposed = np.empty((parts, transposed_size(tokens, C // heads, C, h)), kind)
    workspace = np.empty((parts, max(small_workspace_size(h), head_size_of(tokens, C // heads, h))), kind)
    zeros = np.zeros((1 + panels_of(tokens, h)) * width_of(h), kind)
    for turn in range(layers + 1):
        for part in prange(parts):
            _turn(
                turn_at, part, parts, turn, layers, h, n[part], qk[part], context[part], m[part], q, k, v, mask,
                tokens, arena, table, sizes, flags, eps, scores[part], transposed[part], zeros, workspace[part],
            )  # fmt: skip


def encoder_blocks(parts, layers, h, mask, arena, table, sizes, flags, eps):
    """h [B * T * H] through `layers` blocks, in place; mask [B, T] bool; the rows are shared out in `parts` parts."""
    _encoder_blocks(
        _turn.address(h.dtype), parts, layers, h, mask.reshape(-1), mask.shape[1], arena, table, sizes, flags, eps
    )
