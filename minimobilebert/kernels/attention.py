"""Scaled dot-product attention, one head at a time (see ops/attention.py for the equations).

The heads stay where the projections left them, side by side in the last axis: head a owns the columns
a*K .. (a+1)*K, so nothing is transposed or copied in memory but the one operand that the register tile reads in
panels (gemm/packing.py). Each thread takes whole heads; one head's score matrix stays in the second-level cache from
the product that makes it, through softmax, to the product that uses it.
"""

import math

import numpy as np

from .exponential import exp_scalar
from .gemm.epilogue import NOTHING
from .gemm.macro_kernel import (
    COPY_FROM_TILES,
    depth_blocks,
    macro_kernel,
    packing_workspace_size,
    small_workspace_size,
    workspace_size,
)
from .gemm.micro_kernel import TILE_ROWS, copy_vector, lanes_of, micro_kernel, width_of
from .gemm.packing import pack_panels, panels_of, tile_height
from .rows import compact, row_maximum
from .runtime.by_address import by_address
from .runtime.jit import jit, jit_parallel, prange
from .runtime.memory import empty
from .sums import dot_of, sum_of

# Score of a key that is padding. Finite, because infinity minus infinity is NaN; and far below anything
# a NoNorm model produces, whose activations can reach 1e7.
MASKED_SCORE = -1e30
TOGETHER = 1024  # scores whose exponentials are taken in one go; they stay in the first-level cache


@jit
def _window(column, size, least, width):
    """First and number of `least` or more columns, of `width`, that hold the `size` columns from `column` on."""
    wanted = min(max(size, least), width)
    return min(column, width - wanted), wanted


@jit
def transposed_size(tokens, size, width, like):
    """Numbers that one transposed head takes as panels."""
    return panels_of(tokens, like) * width_of(like) * _window(0, size, lanes_of(like), width)[1]


@jit
def matmul_transposed(
    rows, a, a_at, a_row, x, x_at, column, size, width, tokens, transposed, zeros, out, out_at, workspace
):  # fmt: skip
    """out[i, j] = sum over k of a[i, k] * x[j, column + k] for one head of x [tokens, width] at x_at; k < size

    The head is transposed to [size, tokens] panels in `transposed`, with neighbours where it is narrower than a vector.
    """
    zero, one, panel, none = np.int64(0), np.int64(1), width_of(out), zeros[:0]
    first, depth = _window(column, size, lanes_of(out), width)
    pack_panels(x, x_at + first, one, width, depth, tokens, transposed, zero)
    macro_kernel(
        rows, a, a_at, a_row, one, size, transposed, (column - first) * panel, panel * depth, panel, tokens, zeros,
        zero, none, -one, zero, out, out_at, tokens, workspace, zero, np.int64(NOTHING), none, zero, zero, none, none,
        zero,
    )  # fmt: skip


@jit
def head_size_of(tokens, size, like):
    """Numbers of scratch memory that `matmul_head` needs: a packed head and a tile; for a narrow head see there."""
    width = width_of(like)
    if size >= width:
        return (tokens + TILE_ROWS) * width
    tiles = workspace_size(like) if size > COPY_FROM_TILES * TILE_ROWS else packing_workspace_size(like)
    return (panels_of(tokens, like) * width + size) * tokens + tiles


@jit
def _matmul_narrow_head(rows, a, a_at, a_row, a_k, x, x_at, width, size, tokens, zeros, out, out_at, scratch):
    """`matmul_head` where a head has fewer columns than a tile: out^T = x^T a^T, whose rows are long

    scratch holds a^T as panels [tokens, rows], where a does not lie so already; then out^T [size, rows]; then tiles.
    """
    zero, one, panel, none = np.int64(0), np.int64(1), width_of(out), zeros[:0]
    transposed_at = tokens * panel * panels_of(rows, out)
    workspace_at = transposed_at + size * rows
    b, b_at, b_panel, b_k = a, a_at, panel, a_k
    if a_row != 1 or rows % panel:
        pack_panels(a, a_at, a_k, a_row, tokens, rows, scratch, zero)
        b, b_at, b_panel, b_k = scratch, zero, panel * tokens, panel
    macro_kernel(
        size, x, x_at, one, width, tokens, b, b_at, b_panel, b_k, rows, zeros, zero, none, -one, zero,
        scratch, transposed_at, rows, scratch, workspace_at, np.int64(NOTHING), none, zero, zero, none, none, zero,
    )  # fmt: skip
    for i in range(rows):
        y = out[out_at + i * width : out_at + i * width + size]
        for c in range(size):
            y[c] = scratch[transposed_at + c * rows + i]


@jit
def matmul_head(rows, a, a_at, a_row, a_k, x, x_at, column, size, width, tokens, zeros, out, out_at, scratch):
    """out[i, j] = sum over k of a[i, k] * x[k, column + j] for one head of x [tokens, width] at x_at; j < size

    out lies like x. The head is first copied to lie without gaps: its rows are a power of two apart as a rule and would
    push each other out of the cache. Where its last columns do not fill a tile, their neighbours stand beside them, and
    what comes of those is computed workspace and left there.
    """
    zero, panel, lanes = np.int64(0), width_of(out), lanes_of(out)
    if size < panel:
        _matmul_narrow_head(
            rows, a, a_at, a_row, a_k, x, x_at + column, width, size, tokens, zeros, out, out_at + column, scratch
        )  # fmt: skip
        return
    workspace, height = tokens * panel, tile_height(rows)
    blocks = depth_blocks(tokens)  # as in every product: a head of another width must add in the same order
    for j in range(column, column + size, panel):
        used = min(panel, column + size - j)
        first = _window(j, used, panel, width)[0]
        for k in range(tokens):
            for c in range(0, panel, lanes):
                copy_vector(x, x_at + k * width + first + c, scratch, k * panel + c)
        direct = used == panel
        for t0 in range(0, rows, height):
            mr = min(height, rows - t0)
            place = out_at + t0 * width + j
            y, y_at, y_row = (out, place, width) if direct else (scratch, workspace, panel)
            for block in range(blocks):
                k0, k1 = tokens * block // blocks, tokens * (block + 1) // blocks
                micro_kernel(
                    mr, a, a_at + t0 * a_row + k0 * a_k, a_row, a_k, scratch, k0 * panel, panel, k1 - k0, zeros,
                    zero, y, y_at if block else -1, y_row, y, y_at, y_row,
                )  # fmt: skip
            if not direct:
                for i in range(mr):
                    to, source = out[place + i * width : place + i * width + used], workspace + i * panel + j - first
                    for c in range(used):
                        to[c] = scratch[source + c]


@jit
def softmax_rows(scores, tokens, mask, scale, kept):
    """Steps 1 and 2 for rows of `tokens` scores, in place; mask [tokens]; kept: a copy of step 1's result, or empty

    A row of masked scores only becomes equal shares. Exponentials are taken of several rows together, because a short
    row does not fill the vectors; and all is one function, because a call for each row would take as long again.
    """
    masked, one = scores.dtype.type(MASKED_SCORE), scores.dtype.type(1.0)
    together = tokens * max(1, TOGETHER // tokens)
    for first in range(0, scores.size, together):
        last = min(first + together, scores.size)
        for i in range(first, last, tokens):
            row = scores[i : i + tokens]
            for j in range(tokens):
                row[j] = row[j] * scale if mask[j] else masked
            if kept.size:
                copy = kept[i : i + tokens]
                for j in range(tokens):
                    copy[j] = row[j]
            largest = max(row_maximum(row), masked)
            for j in range(tokens):
                row[j] -= largest
        rows = scores[first:last]
        for j in range(rows.size):
            rows[j] = exp_scalar(rows[j])
        for i in range(first, last, tokens):
            row = scores[i : i + tokens]
            inverse = one / sum_of(row)
            for j in range(tokens):
                row[j] *= inverse


@by_address("int numbers numbers numbers bools int int numbers numbers numbers numbers")
def _head_forward(head, query, key, value, mask, tokens, heads, keep, context, scores, probabilities):
    """All of one head; head counts through the heads of all sequences."""
    width = query.size // mask.size
    size, square, kind = width // heads, tokens * tokens, query.dtype
    scale = kind.type(1.0 / math.sqrt(size))
    zero, one = np.int64(0), np.int64(1)  # Numba compiles a function anew for every literal argument
    b, column = head // heads, head % heads * size
    here, at = head * square, b * tokens * width
    zeros = np.zeros((1 + panels_of(tokens, query)) * width_of(query), kind)
    workspace = np.empty(max(small_workspace_size(query), head_size_of(tokens, size, query)), kind)
    transposed = np.empty(transposed_size(tokens, size, width, query), kind)
    used = probabilities[here : here + square]
    matmul_transposed(
        tokens, query, at + column, width, key, at, column, size, width, tokens, transposed, zeros, used, zero,
        workspace,
    )  # fmt: skip
    first = min(here, scores.size)
    softmax_rows(
        used, tokens, mask[b * tokens : (b + 1) * tokens], scale, scores[first : min(first + square, scores.size)]
    )  # fmt: skip
    if keep.size:
        used = used * keep[here : here + square]
    matmul_head(tokens, used, zero, tokens, one, value, at, column, size, width, tokens, zeros, context, at, workspace)


@jit_parallel
def _attention_forward(
    head_at, query, key, value, mask, tokens, heads, keep, context, scores, probabilities
):  # fmt: skip
    for head in prange(mask.size // tokens * heads):
        _head_forward(head_at, head, query, key, value, mask, tokens, heads, keep, context, scores, probabilities)


@jit
def _ds_rows(probabilities, ds, dscores, tokens, mask, scale):
    """Steps 2 and 1 in reverse: ds, the gradient of the probabilities, becomes that of q . k; dscores may be empty"""
    zero = ds.dtype.type(0.0)
    for i in range(0, ds.size, tokens):
        probability, row = probabilities[i : i + tokens], ds[i : i + tokens]
        along = dot_of(row, probability)
        if dscores.size:
            more = dscores[i : i + tokens]
            for j in range(tokens):
                row[j] = (probability[j] * (row[j] - along) + more[j]) * scale if mask[j] else zero
        else:
            for j in range(tokens):
                row[j] = probability[j] * (row[j] - along) * scale if mask[j] else zero


@by_address("int numbers numbers numbers numbers numbers bools int int numbers numbers numbers numbers numbers")
def _head_backward(
    head, dcontext, dscores, query, key, value, mask, tokens, heads, probabilities, keep, dquery, dkey, dvalue
):
    """Reverse of `_head_forward`."""
    width = query.size // mask.size
    size, square, kind = width // heads, tokens * tokens, query.dtype
    scale = kind.type(1.0 / math.sqrt(size))
    zero, one = np.int64(0), np.int64(1)
    b, column = head // heads, head % heads * size
    here, at = head * square, b * tokens * width
    zeros = np.zeros((1 + panels_of(tokens, query)) * width_of(query), kind)
    workspace = np.empty(max(small_workspace_size(query), head_size_of(tokens, size, query)), kind)
    transposed = np.empty(transposed_size(tokens, size, width, query), kind)
    ds = np.empty(square, kind)
    matmul_transposed(
        tokens, dcontext, at + column, width, value, at, column, size, width, tokens, transposed, zeros, ds, zero,
        workspace,
    )  # fmt: skip
    probability = probabilities[here : here + square]
    used = probability
    if keep.size:
        ds *= keep[here : here + square]
        used = probability * keep[here : here + square]
    matmul_head(
        tokens, used, zero, one, tokens, dcontext, at, column, size, width, tokens, zeros, dvalue, at, workspace,
    )  # fmt: skip
    first = min(here, dscores.size)
    _ds_rows(
        probability, ds, dscores[first : min(first + square, dscores.size)], tokens,
        mask[b * tokens : (b + 1) * tokens], scale,
    )  # fmt: skip
    matmul_head(tokens, ds, zero, tokens, one, key, at, column, size, width, tokens, zeros, dquery, at, workspace)
    matmul_head(tokens, ds, zero, one, tokens, query, at, column, size, width, tokens, zeros, dkey, at, workspace)


@jit_parallel
def _attention_backward(
    head_at, dcontext, dscores, query, key, value, mask, tokens, heads, probabilities, keep, dquery, dkey, dvalue
):
    for head in prange(mask.size // tokens * heads):
        _head_backward(
            head_at, head, dcontext, dscores, query, key, value, mask, tokens, heads, probabilities, keep,
            dquery, dkey, dvalue,
        )  # fmt: skip


def _flat(array, dtype):
    """The numbers of an array; none where there is no array, because Numba needs one where Python would pass None."""
    return np.zeros(0, dtype) if array is None else compact(array).reshape(-1)


def attend(query, key, value, mask, num_heads, keep, keep_scores=True):
    """The compiled twin of ops/attention.py."""
    batch, tokens, _ = query.shape
    context = empty(query.shape, query.dtype)
    probabilities = empty((batch, num_heads, tokens, tokens), query.dtype)
    scores = empty(probabilities.shape, query.dtype) if keep_scores else None
    if query.size:
        _attention_forward(
            _head_forward.address(query.dtype), *(_flat(x, query.dtype) for x in (query, key, value)),
            compact(mask).reshape(-1), tokens, num_heads,
            _flat(keep, query.dtype), context.reshape(-1), _flat(scores, query.dtype), probabilities.reshape(-1),
        )  # fmt: skip
    return context, (query, key, value, mask, scores, probabilities, keep)


def attention_backward(dcontext, cache, dscores=None):
    """The compiled twin of ops/attention.py."""
    query, (_, heads, tokens, _) = cache.query, cache.probabilities.shape
    dtype = query.dtype
    dquery, dkey, dvalue = (empty(query.shape, dtype) for _ in range(3))
    if query.size:
        _attention_backward(
            _head_backward.address(dtype),
            *(_flat(x, dtype) for x in (dcontext, dscores, query, cache.key, cache.value)),
            compact(cache.mask).reshape(-1), tokens, heads, _flat(cache.probabilities, dtype), _flat(cache.keep, dtype),
            dquery.reshape(-1), dkey.reshape(-1), dvalue.reshape(-1),
        )  # fmt: skip
    return dquery, dkey, dvalue
