"""Scaled dot-product attention, one head at a time (see ops/attention.py for the equations).

The heads stay where the projections left them, side by side in the last axis: head a owns the columns
a*K .. (a+1)*K, so nothing is transposed or copied in memory. Each thread takes whole heads. Inside a head
the keys and values are first turned to [K, T], which makes every inner loop run along T, contiguous and
long enough to fill the vector registers even where a head has only 8 features.
"""

import math

import numpy as np

from .backend import by_backend
from .exponential import exp_scalar
from .jit import jit_matmul, jit_matmul_parallel, prange

# Score of a key that is padding. Finite, because infinity minus infinity is NaN; and far below anything
# a NoNorm model produces, whose activations can reach 1e7.
MASKED_SCORE = -1e30


def _split_heads(x, heads):
    """[B, T, A*K] -> [B, A, T, K], a view."""
    batch, tokens, width = x.shape
    return x.reshape(batch, tokens, heads, width // heads).transpose(0, 2, 1, 3)


def _merge_heads(x):
    """[B, A, T, K] -> [B, T, A*K]."""
    batch, heads, tokens, size = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, tokens, heads * size)


def attention_scores_forward_numpy(query, key, value, mask, heads, keep):
    """Scores, softmax and weighted values of every head.

    query, key, value [B, T, A*K]; mask [B, T] bool, True for real keys;
    keep [B, A, T, T] (dropout's mask, already scaled) or None
    -> context [B, T, A*K], scores [B, A, T, T], probabilities [B, A, T, T] before dropout
    """
    q, k, v = (_split_heads(x, heads) for x in (query, key, value))
    scale = query.dtype.type(1.0 / math.sqrt(q.shape[-1]))
    scores = q @ k.swapaxes(-1, -2) * scale
    scores = np.where(mask[:, None, None, :], scores, query.dtype.type(MASKED_SCORE))
    shifted = scores - scores.max(axis=-1, keepdims=True, initial=MASKED_SCORE)
    exponentials = np.exp(shifted)
    probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    used = probabilities if keep is None else probabilities * keep
    return _merge_heads(used @ v), scores, probabilities


def attention_scores_backward_numpy(dcontext, dscores, query, key, value, mask, probabilities, keep):
    """Reverse of `attention_scores_forward`; `dscores` [B, A, T, T] or None is added to the scores' gradient.

    -> dquery, dkey, dvalue [B, T, A*K]
    """
    heads = probabilities.shape[1]
    q, k, v, dc = (_split_heads(x, heads) for x in (query, key, value, dcontext))
    used = probabilities if keep is None else probabilities * keep
    dvalue = used.swapaxes(-1, -2) @ dc
    dused = dc @ v.swapaxes(-1, -2)
    dprobabilities = dused if keep is None else dused * keep
    row = (dprobabilities * probabilities).sum(axis=-1, keepdims=True)
    ds = probabilities * (dprobabilities - row)
    if dscores is not None:
        ds = ds + dscores
    ds = np.where(mask[:, None, None, :], ds, query.dtype.type(0.0))
    ds *= query.dtype.type(1.0 / math.sqrt(q.shape[-1]))
    return _merge_heads(ds @ k), _merge_heads(ds.swapaxes(-1, -2) @ q), _merge_heads(dvalue)


@jit_matmul
def _transpose_head(x, b, a, size, out):
    """out[k, t] = x[b, t, a*size + k]"""
    for t in range(x.shape[1]):
        for k in range(size):
            out[k, t] = x[b, t, a * size + k]


@jit_matmul
def _weighted_rows(weights, rows, out):
    """out[j] = sum over k of weights[k] * rows[k, j]; four rows at a time, so `out` is touched a quarter as often."""
    size, tokens = rows.shape
    for j in range(tokens):
        out[j] = 0.0
    whole = size // 4 * 4
    for k in range(0, whole, 4):
        w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        for j in range(tokens):
            out[j] += w0 * rows[k, j] + w1 * rows[k + 1, j] + w2 * rows[k + 2, j] + w3 * rows[k + 3, j]
    for k in range(whole, size):
        for j in range(tokens):
            out[j] += weights[k] * rows[k, j]


@jit_matmul
def _add_outer(column, row, out):
    """out[k, j] += column[k] * row[j]"""
    for k in range(out.shape[0]):
        c = column[k]
        for j in range(out.shape[1]):
            out[k, j] += c * row[j]


@jit_matmul
def _dots(row, rows, out):
    """out[k] = sum over j of row[j] * rows[k, j]"""
    for k in range(rows.shape[0]):
        total = row.dtype.type(0.0)
        for j in range(rows.shape[1]):
            total += row[j] * rows[k, j]
        out[k] = total


@jit_matmul_parallel
def _attention_forward(query, key, value, mask, heads, keep, has_keep, context, scores, probabilities):
    batch, tokens, width = query.shape
    size = width // heads
    scale = query.dtype.type(1.0 / math.sqrt(size))
    masked = query.dtype.type(MASKED_SCORE)
    for head in prange(batch * heads):
        b, a = head // heads, head % heads
        keys = np.empty((size, tokens), query.dtype)
        values = np.empty((size, tokens), query.dtype)
        used = np.empty(tokens, query.dtype)
        _transpose_head(key, b, a, size, keys)
        _transpose_head(value, b, a, size, values)
        for i in range(tokens):
            row, probability = scores[b, a, i], probabilities[b, a, i]
            _weighted_rows(query[b, i, a * size : (a + 1) * size], keys, row)
            largest = masked
            for j in range(tokens):
                row[j] = row[j] * scale if mask[b, j] else masked
                if row[j] > largest:
                    largest = row[j]
            for j in range(tokens):
                probability[j] = exp_scalar(row[j] - largest)
            total = query.dtype.type(0.0)
            for j in range(tokens):
                total += probability[j]
            inverse = query.dtype.type(1.0) / total
            for j in range(tokens):
                probability[j] *= inverse
            if has_keep:
                for j in range(tokens):
                    used[j] = probability[j] * keep[b, a, i, j]
                _dots(used, values, context[b, i, a * size : (a + 1) * size])
            else:
                _dots(probability, values, context[b, i, a * size : (a + 1) * size])


@jit_matmul_parallel
def _attention_backward(
    dcontext, dscores, has_dscores, query, key, value, mask, probabilities, keep, has_keep, dquery, dkey, dvalue
):
    batch, heads, tokens, _ = probabilities.shape
    size = query.shape[2] // heads
    scale = query.dtype.type(1.0 / math.sqrt(size))
    zero = query.dtype.type(0.0)
    for head in prange(batch * heads):
        b, a = head // heads, head % heads
        first, last = a * size, (a + 1) * size
        keys = np.empty((size, tokens), query.dtype)
        values = np.empty((size, tokens), query.dtype)
        dkeys = np.zeros((size, tokens), query.dtype)
        dvalues = np.zeros((size, tokens), query.dtype)
        ds = np.empty(tokens, query.dtype)
        used = np.empty(tokens, query.dtype)
        _transpose_head(key, b, a, size, keys)
        _transpose_head(value, b, a, size, values)
        for i in range(tokens):
            dc, probability = dcontext[b, i, first:last], probabilities[b, a, i]
            _weighted_rows(dc, values, ds)  # gradient of this row's (dropped-out) probabilities
            if has_keep:
                for j in range(tokens):
                    used[j] = probability[j] * keep[b, a, i, j]
                    ds[j] *= keep[b, a, i, j]
                _add_outer(dc, used, dvalues)
            else:
                _add_outer(dc, probability, dvalues)
            row = zero
            for j in range(tokens):
                row += ds[j] * probability[j]
            for j in range(tokens):
                ds[j] = probability[j] * (ds[j] - row)
            if has_dscores:
                for j in range(tokens):
                    ds[j] += dscores[b, a, i, j]
            for j in range(tokens):
                ds[j] = ds[j] * scale if mask[b, j] else zero
            _dots(ds, keys, dquery[b, i, first:last])
            _add_outer(query[b, i, first:last], ds, dkeys)
        for t in range(tokens):
            for k in range(size):
                dkey[b, t, first + k] = dkeys[k, t]
                dvalue[b, t, first + k] = dvalues[k, t]


def _or_nothing(array, dtype):
    """Numba needs an array where Python would pass None."""
    return np.zeros((0, 0, 0, 0), dtype) if array is None else np.ascontiguousarray(array)


def attention_scores_forward_numba(query, key, value, mask, heads, keep):
    """The compiled twin of `attention_scores_forward_numpy`."""
    query, key, value = (np.ascontiguousarray(x) for x in (query, key, value))
    batch, tokens, _ = query.shape
    context = np.empty_like(query)
    scores, probabilities = np.empty((2, batch, heads, tokens, tokens), query.dtype)
    _attention_forward(
        query, key, value, np.ascontiguousarray(mask), heads, _or_nothing(keep, query.dtype), keep is not None,
        context, scores, probabilities,
    )  # fmt: skip
    return context, scores, probabilities


def attention_scores_backward_numba(dcontext, dscores, query, key, value, mask, probabilities, keep):
    """The compiled twin of `attention_scores_backward_numpy`."""
    dcontext, query, key, value = (np.ascontiguousarray(x) for x in (dcontext, query, key, value))
    dquery, dkey, dvalue = np.empty_like(query), np.empty_like(query), np.empty_like(query)
    _attention_backward(
        dcontext, _or_nothing(dscores, query.dtype), dscores is not None, query, key, value,
        np.ascontiguousarray(mask), probabilities, _or_nothing(keep, query.dtype), keep is not None,
        dquery, dkey, dvalue,
    )  # fmt: skip
    return dquery, dkey, dvalue


attention_scores_forward = by_backend(numpy=attention_scores_forward_numpy, numba=attention_scores_forward_numba)
attention_scores_backward = by_backend(numpy=attention_scores_backward_numpy, numba=attention_scores_backward_numba)
