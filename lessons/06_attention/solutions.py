"""Lesson 06 as a student would write it; never part of a student edition. Mutants are made from these."""

import math

import numpy as np

from minimobilebert.kernels.attention import MASKED_SCORE
from minimobilebert.ops.attention import AttentionCache
from minimobilebert.ops.dropout import draw_keep


def attention_forward(query, key, value, mask, num_heads, dropout_rate=0.0, rng=None, keep_scores=True):
    batch, tokens, width = query.shape
    kind = query.dtype.type

    def split(x):
        return x.reshape(batch, tokens, num_heads, width // num_heads).transpose(0, 2, 1, 3)

    q, k, v = split(query), split(key), split(value)
    scores = q @ np.swapaxes(k, 2, 3) / kind(math.sqrt(q.shape[-1]))
    scores = np.where(mask[:, None, None, :], scores, kind(MASKED_SCORE))
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    used, keep = p, None
    if rng is not None and dropout_rate > 0.0:
        keep = draw_keep(rng, p.shape, dropout_rate).astype(kind) / kind(1.0 - dropout_rate)
        used = p * keep
    kept = scores if keep_scores else None
    context = (used @ v).transpose(0, 2, 1, 3).reshape(query.shape)
    return context, AttentionCache(query, key, value, mask, kept, p, keep)


def attention_backward(dcontext, cache, dscores=None):
    p = cache.probabilities
    batch, tokens, width = cache.query.shape
    heads = p.shape[1]

    def split(x):
        return x.reshape(batch, tokens, heads, width // heads).transpose(0, 2, 1, 3)

    def merge(x):
        return x.transpose(0, 2, 1, 3).reshape(batch, tokens, width)

    q, k, v = split(cache.query), split(cache.key), split(cache.value)
    dc = split(dcontext)
    used = p if cache.keep is None else p * cache.keep
    dv = np.swapaxes(used, 2, 3) @ dc
    dp = dc @ np.swapaxes(v, 2, 3)
    if cache.keep is not None:
        dp = dp * cache.keep
    ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
    if dscores is not None:
        ds = ds + dscores
    ds = np.where(cache.mask[:, None, None, :], ds, 0.0)
    ds = (ds / math.sqrt(q.shape[-1])).astype(p.dtype)
    dq = ds @ k
    dk = np.swapaxes(ds, 2, 3) @ q
    return merge(dq), merge(dk), merge(dv)
