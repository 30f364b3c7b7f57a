"""Scaled dot-product attention, one head at a time (see ops/attention.py for the equations).

    query, key, value, context [B, T, heads * K]: head h owns columns h*K .. (h+1)*K of each, where they are

                 K columns                T                                T                        K columns
          +---+-----+---+          +-----------+     softmax        +-----------+          +---+-----+---+
       T  |   |  q  |   |  q k^T   |  scores   |   ---------->      |     p     |   p v    |   |     |   |  context
          +---+-----+---+  ---->   +-----------+                    +-----------+  ---->   +---+-----+---+

Nothing is transposed or copied but the operand that the register tile reads in panels (gemm/packing.py). Each thread
takes whole heads; a head's [T, T] stays in the second-level cache from the product that makes it to the one that uses
it.
"""

import math
from typing import NamedTuple

import numpy as np

from .exponential import exp_scalar
from .gemm.epilogue import no_epilogue
from .gemm.macro_kernel import macro_kernel
from .gemm.packing import panels_in_place, panels_of
from .gemm.panels import pack_all, packed_depth, panels_in
from .gemm.tiles import item_bytes, lanes_of, nr_of
from .gemm.views import holds_words, nothing, strided, view
from .gemm.workspace import Workspace, a_workspace_size, as_operands, tile_workspace_size, workspace_in
from .rows import contiguous, expect, row_maximum
from .runtime.by_address import by_address, passed_as
from .runtime.jit import get_num_threads, jit, jit_inline, jit_parallel, prange
from .runtime.memory import empty
from .runtime.precision import operands_of
from .sums import dot_of, sum_of

# Score of a key that is padding. Finite, because infinity minus infinity is NaN; and far below anything
# a NoNorm model produces, whose activations can reach 1e7.
MASKED_SCORE = -1e30
TOGETHER = 1024  # scores whose exponentials are taken at once; they stay in the first-level cache


@passed_as("attention", "sequences sequences sequences mask squares int int")
class Inputs(NamedTuple):
    query: np.ndarray  # [B, T, heads * K]
    key: np.ndarray
    value: np.ndarray
    mask: np.ndarray  # [B, T] bool
    keep: np.ndarray  # [B * heads, T, T] dropout: 0 or 1 / (1 - rate); [0, 0, 0] without
    heads: int
    macro_at: int  # address of the macro-kernel


class HeadMemory(NamedTuple):
    """Scratch memory of one head."""

    panels: np.ndarray  # one dimension: k, v or p in panels
    transposed: np.ndarray  # [K, T], for a head that is narrower than a tile
    workspace: Workspace


@jit_inline
def _sizes(tokens, size, like):
    """Numbers in `panels`, for the largest matrix that is packed there, in `transposed`, and a workspace; size = K"""
    whole_tokens, whole_size = panels_of(tokens, like) * nr_of(like), panels_of(size, like) * nr_of(like)
    workspace = a_workspace_size(like) if holds_words(like) else tile_workspace_size(like)
    if size < nr_of(like):
        return whole_tokens * max(whole_size, tokens), size * tokens, a_workspace_size(like)
    return whole_tokens * whole_size, 0, workspace


@jit
def head_memory_size(tokens, size, like):
    """Numbers of memory for heads of [tokens, size]."""
    panels, transposed, workspace = _sizes(tokens, size, like)
    return panels + transposed + workspace


@jit
def head_memory_in(memory, tokens, size, operands, macro_at):
    """memory [head_memory_size] -> HeadMemory; operands: an array of the type that products read"""
    panels, transposed, workspace = _sizes(tokens, size, operands)
    return HeadMemory(
        as_operands(view(memory, (0,), (panels,)), operands),
        strided(memory, panels, (size, tokens), (tokens, 1)),
        workspace_in(view(memory, (panels + transposed,), (workspace,)), operands, macro_at),
    )


@jit_inline
def _multiply_panels(a, panels, out, workspace):
    """out = a @ (the matrix in these panels)"""
    none = view(workspace.zeros, (0,), (0,))
    macro_kernel(workspace.macro_at, a, panels, none, nothing(none), out, no_epilogue(none), workspace)


@jit
def matmul_transposed(a, x, column, out, memory):
    """out = a @ x[:, column : column + K].T    a [R, K], x [T, heads * K] -> out [R, T]

    A head that is narrower than a vector is transposed with its neighbours, a vector at a time; only its own rows of
    the panels are used. (Not where K is odd and two neighbours would share a word.)
    """
    tokens, width = x.shape
    size, nr, in_words = a.shape[1], nr_of(out), holds_words(memory.panels)
    wide = min(max(size, 2 * lanes_of(out) if in_words else lanes_of(out)), width)
    if in_words and size % 2 != 0:
        wide = size
    first = min(column, width - wide)
    panels = panels_in(memory.panels, wide, tokens)
    pack_all(view(x, (0, first), (tokens, wide)).T, panels)
    start = (column - first) // 2 if in_words else column - first
    own = view(panels, (0, start, 0), (panels.shape[0], packed_depth(size, panels), nr))
    _multiply_panels(a, own, out, memory.workspace)


@jit_inline
def _transposed_in_panels(a, memory):
    """a^T [T, R] in panels: in place where its memory has this order already and products read numbers"""
    rows, tokens = a.shape
    panels = panels_in(memory, tokens, rows)
    if isinstance(memory.dtype.type(0), np.uint32):
        pack_all(a.T, panels)
        return panels
    else:
        if a.strides[0] == item_bytes(a) and rows % nr_of(a) == 0:
            return panels_in_place(a.T, rows // nr_of(a))
        pack_all(a.T, panels)
        return panels


@jit
def _matmul_narrow(a, x, out, memory):
    """`matmul_head` where K < NR, so that a tile would be mostly empty: out^T = x^T a^T, whose rows are long"""
    rows, size = a.shape[0], x.shape[1]
    transposed = view(memory.transposed, (0, 0), (size, rows))
    _multiply_panels(x.T, _transposed_in_panels(a, memory.panels), transposed, memory.workspace)
    for i in range(rows):
        for c in range(size):
            out[i, c] = transposed[c, i]


@jit
def matmul_head(a, x, out, memory):
    """out = a @ x    a [R, T]; x [T, K], out [R, K]: the columns of one head"""
    tokens, size = x.shape
    if size < nr_of(out):
        _matmul_narrow(a, x, out, memory)
        return
    panels = panels_in(memory.panels, tokens, size)
    pack_all(x, panels)
    _multiply_panels(a, panels, out, memory.workspace)


@jit
def softmax_rows(scores, mask, scale, kept):
    """Steps 1 and 2, in place: scores [R, T], rows without gaps between them; mask [T]; kept [R, T] or no rows: step 1

    A row of masked scores only becomes equal shares. Exponentials are taken of several rows at once, because a short
    row does not fill the vectors; and all is one function, because a call for each row would take as long again.
    """
    rows, tokens = scores.shape
    masked, one = scores.dtype.type(MASKED_SCORE), scores.dtype.type(1.0)
    together = max(1, TOGETHER // tokens)
    for first in range(0, rows, together):
        last = min(first + together, rows)
        for i in range(first, last):
            row = view(scores, (i, 0), (tokens,))
            for j in range(tokens):
                row[j] = row[j] * scale if mask[j] else masked
            if kept.shape[0] > 0:
                copy = view(kept, (i, 0), (tokens,))
                for j in range(tokens):
                    copy[j] = row[j]
            largest = max(row_maximum(row), masked)
            for j in range(tokens):
                row[j] -= largest
        block = view(scores, (first, 0), ((last - first) * tokens,))
        for j in range(block.size):
            block[j] = exp_scalar(block[j])
        for i in range(first, last):
            row = view(scores, (i, 0), (tokens,))
            inverse = one / sum_of(row)
            for j in range(tokens):
                row[j] *= inverse


@jit_inline
def _head_of(x, head, heads):
    """One head of x [B, T, heads * K] as [T, K]; head counts through the heads of all sequences"""
    size = x.shape[2] // heads
    return view(x, (head // heads, 0, head % heads * size), (x.shape[1], size))


@jit_inline
def _sequence_of(x, head, heads):
    """All heads [T, heads * K] of the head's sequence"""
    return view(x, (head // heads, 0, 0), (x.shape[1], x.shape[2]))


@jit_inline
def _square_of(x, head):
    """x[head] of x [B * heads, T, T]; no rows where x is empty"""
    return view(x, (min(head, x.shape[0]), 0, 0), (x.shape[1], x.shape[2]))


@jit_inline
def _dropout(p, keep, out):
    """p * keep in `out`, or p itself where `keep` has no rows; all [T, T]"""
    if keep.shape[0] == 0:
        return p
    tokens = p.shape[1]
    for i in range(p.shape[0]):
        p_row, keep_row, row = view(p, (i, 0), (tokens,)), view(keep, (i, 0), (tokens,)), view(out, (i, 0), (tokens,))
        for j in range(tokens):
            row[j] = p_row[j] * keep_row[j]
    return out


@jit_inline
def _scale_of(query, heads):
    """1 / sqrt(K)"""
    return query.dtype.type(1.0 / math.sqrt(query.shape[2] // heads))


@jit_inline
def _squares_in(memory, count, tokens):
    """The last numbers of a head's memory as [count, T, T]"""
    square = tokens * tokens
    return strided(memory, memory.size - count * square, (count, tokens, tokens), (square, tokens, 1))


@by_address("int attention sequences squares squares operands numbers")
def _head_forward(head, inputs, context, scores, probabilities, operands, memory):
    """Steps 1 to 4 of ops/attention.py; head counts through the heads of all sequences; memory: scratch"""
    query, key, value, mask, keep, heads, macro_at = inputs
    _, tokens, width = query.shape
    size = width // heads
    own = head_memory_in(memory, tokens, size, operands, macro_at)
    dropped = _square_of(_squares_in(memory, 1 if keep.size > 0 else 0, tokens), 0)
    q, v, c = _head_of(query, head, heads), _head_of(value, head, heads), _head_of(context, head, heads)
    p = _square_of(probabilities, head)
    matmul_transposed(q, _sequence_of(key, head, heads), head % heads * size, p, own)  # 1: q k^T
    softmax_rows(p, mask[head // heads], _scale_of(query, heads), _square_of(scores, head))  # 1: / sqrt(K), 2
    u = _dropout(p, _square_of(keep, head), dropped)  # 3
    matmul_head(u, v, c, own)  # 4: c = u v


@jit_parallel
def _attention_forward(head_at, inputs, context, scores, probabilities, operands, memory):
    query, key, value, mask, keep, heads, macro_at = inputs
    parts, total = memory.shape[0], len(mask) * heads
    for part in prange(parts):
        each = Inputs(query, key, value, mask, keep, heads, macro_at)
        for head in range(total * part // parts, total * (part + 1) // parts):
            _head_forward(head_at, head, each, context, scores, probabilities, operands, memory[part])


def _inputs(query, key, value, mask, keep, heads, operands):
    """The fields of `Inputs` as a plain tuple, which costs less to hand to a kernel"""
    return (
        contiguous(query),
        contiguous(key),
        contiguous(value),
        contiguous(mask, bool),
        _squares(keep, query.dtype),
        heads,
        macro_kernel.address(query.dtype, operands.dtype),
    )


@jit
def _ds_rows(p, ds, dscores, mask, scale):
    """Steps 2 and 1 in reverse: ds, the gradient of p, becomes that of q . k; all [T, T]; dscores may have no rows"""
    tokens, zero = len(mask), ds.dtype.type(0.0)
    for i in range(tokens):
        probability, row = view(p, (i, 0), (tokens,)), view(ds, (i, 0), (tokens,))
        along = dot_of(row, probability)
        if dscores.shape[0] > 0:
            dscore = view(dscores, (i, 0), (tokens,))
            for j in range(tokens):
                row[j] = (probability[j] * (row[j] - along) + dscore[j]) * scale if mask[j] else zero
        else:
            for j in range(tokens):
                row[j] = probability[j] * (row[j] - along) * scale if mask[j] else zero


@by_address("int sequences squares attention squares sequences sequences sequences operands numbers")
def _head_backward(head, dcontext, dscores, inputs, probabilities, dquery, dkey, dvalue, operands, memory):
    """Steps 4 to 1 in reverse; memory: scratch"""
    query, key, value, mask, keep, heads, macro_at = inputs
    _, tokens, width = query.shape
    size = width // heads
    own, squares = head_memory_in(memory, tokens, size, operands, macro_at), _squares_in(memory, 2, tokens)
    dc, p, ds = _head_of(dcontext, head, heads), _square_of(probabilities, head), _square_of(squares, 0)
    q, k = _head_of(query, head, heads), _head_of(key, head, heads)
    dq, dk, dv = _head_of(dquery, head, heads), _head_of(dkey, head, heads), _head_of(dvalue, head, heads)
    matmul_transposed(dc, _sequence_of(value, head, heads), head % heads * size, ds, own)  # 4: du = dc v^T
    u = _dropout(p, _square_of(keep, head), _square_of(squares, 1))
    matmul_head(u.T, dc, dv, own)  # 4: dv = u^T dc
    _dropout(ds, _square_of(keep, head), ds)  # 3: dp = du * keep
    _ds_rows(p, ds, _square_of(dscores, head), mask[head // heads], _scale_of(query, heads))  # 2, 1
    matmul_head(ds, k, dq, own)  # 1: dq = ds k
    matmul_head(ds.T, q, dk, own)  # 1: dk = ds^T q


@jit_parallel
def _attention_backward(head_at, dcontext, dscores, inputs, probabilities, gradients, operands, memory):
    query, key, value, mask, keep, heads, macro_at = inputs
    dquery, dkey, dvalue = gradients
    parts, total = memory.shape[0], len(mask) * heads
    for part in prange(parts):
        each = Inputs(query, key, value, mask, keep, heads, macro_at)
        for head in range(total * part // parts, total * (part + 1) // parts):
            _head_backward(
                head_at, head, dcontext, dscores, each, probabilities, dquery, dkey, dvalue, operands, memory[part]
            )


def _memory(query, heads, squares, operands):
    """Scratch memory [parts, numbers] with `squares` times [T, T] at each end, for as many parts as threads.

    Taken in Python, because inside a parallel loop nobody would see a MemoryError.
    """
    batch, tokens, width = query.shape
    numbers = head_memory_size(tokens, width // heads, operands) + squares * tokens * tokens
    return empty((min(get_num_threads(), batch * heads), numbers), query.dtype)


def _squares(array, dtype):
    """[B, heads, T, T] -> [B * heads, T, T]; [0, 0, 0] for None, because Numba needs an array where Python has None"""
    return np.zeros((0, 0, 0), dtype) if array is None else contiguous(array).reshape(-1, *array.shape[2:])


def attend(query, key, value, mask, num_heads, keep, keep_scores=True):
    """The compiled twin of ops/attention.py."""
    batch, tokens, width = query.shape
    expect("attention", "key", key, query.shape, query.dtype)
    expect("attention", "value", value, query.shape, query.dtype)
    expect("attention", "mask", mask, (batch, tokens), mask.dtype)
    if num_heads < 1 or width % num_heads:
        raise ValueError(f"attention: found {num_heads} heads, expected a divisor of {width}")
    dtype, operands = query.dtype, operands_of(query.dtype)
    context = empty(query.shape, dtype)
    probabilities = empty((batch, num_heads, tokens, tokens), dtype)
    scores = empty(probabilities.shape, dtype) if keep_scores else None
    if query.size:
        _attention_forward(
            _head_forward.address(dtype, operands.dtype), _inputs(query, key, value, mask, keep, num_heads, operands),
            context, _squares(scores, dtype), _squares(probabilities, dtype), operands,
            _memory(query, num_heads, 0 if keep is None else 1, operands),
        )  # fmt: skip
    return context, (query, key, value, mask, scores, probabilities, keep)


def attention_backward(dcontext, cache, dscores=None):
    """The compiled twin of ops/attention.py."""
    query, heads = cache.query, cache.probabilities.shape[1]
    dtype, operands = query.dtype, operands_of(query.dtype)
    expect("attention", "dcontext", dcontext, query.shape, dtype)
    if dscores is not None:
        expect("attention", "dscores", dscores, cache.probabilities.shape, dtype)
    gradients = tuple(empty(query.shape, dtype) for _ in range(3))
    if query.size:
        inputs = _inputs(query, cache.key, cache.value, cache.mask, cache.keep, heads, operands)
        _attention_backward(
            _head_backward.address(dtype, operands.dtype), contiguous(dcontext), _squares(dscores, dtype), inputs,
            _squares(cache.probabilities, dtype), gradients, operands, _memory(query, heads, 2, operands),
        )  # fmt: skip
    return gradients
