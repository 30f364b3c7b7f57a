"""Multi-head scaled dot-product attention over already projected queries, keys and values.

For every head a, with K features a head:

    1. s[i, j] = q[i] . k[j] / sqrt(K)        scores; a padding key's score is replaced by MASKED_SCORE
    2. p[i, :] = softmax(s[i, :])             the attention map that attention transfer compares (Equation 3)
    3. u       = dropout(p)
    4. c[i]    = sum_j u[i, j] v[j]           heads side by side again: [B, T, A*K]

Backward, in reverse:

    4. dv[j] = sum_i u[i, j] dc[i]            du[i, j] = dc[i] . v[j]
    3. dp    = du * keep
    2. ds    = p * (dp - sum_j dp * p)        + the gradient that attention transfer sends to the scores
    1. dq[i] = sum_j ds[i, j] k[j] / sqrt(K)  dk[j] = sum_i ds[i, j] q[i] / sqrt(K); padding keys get none

The mask covers keys only: a padding token still asks, and nobody listens to its answer.
"""

import math
from typing import NamedTuple

import numpy as np

from ..kernels import attention as kernel
from ..kernels.attention import MASKED_SCORE
from ..kernels.runtime.backend import accelerated_by
from .dropout import draw_keep


class AttentionCache(NamedTuple):
    query: np.ndarray  # [B, T, C]
    key: np.ndarray  # [B, T, C]
    value: np.ndarray  # [B, T, C]
    mask: np.ndarray  # [B, T] bool
    scores: np.ndarray | None  # [B, A, T, T] step 1, for attention transfer: exact log-probabilities need the scores
    probabilities: np.ndarray  # [B, A, T, T] step 2
    keep: np.ndarray | None  # [B, A, T, T] 0 or 1 / (1 - rate), or None without dropout


def attention_forward(query, key, value, mask, num_heads, dropout_rate=0.0, rng=None, keep_scores=True):
    """Attend with `num_heads` heads.

    query, key, value [B, T, C]; mask [B, T] bool, True for real tokens; rng None: no dropout;
    keep_scores False: the cache has no scores, which only attention transfer needs
    -> context [B, T, C], cache (whose `scores` and `probabilities` are the attention maps)
    """
    keep = None
    if rng is not None and dropout_rate > 0.0:
        batch, tokens, _ = query.shape
        kept = draw_keep(rng, (batch, num_heads, tokens, tokens), dropout_rate)
        keep = kept.astype(query.dtype) / query.dtype.type(1.0 - dropout_rate)
    return attend(query, key, value, mask, num_heads, keep, keep_scores)


def _split_heads(x, num_heads):
    """[B, T, A*K] -> [B, A, T, K], a view"""
    batch, tokens, width = x.shape
    return x.reshape(batch, tokens, num_heads, width // num_heads).transpose(0, 2, 1, 3)


def _merge_heads(x):
    """[B, A, T, K] -> [B, T, A*K]"""
    batch, heads, tokens, size = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, tokens, heads * size)


@accelerated_by(kernel.attend, cache=AttentionCache)
def attend(query, key, value, mask, num_heads, keep, keep_scores=True):
    """`attention_forward` for a dropout that is drawn: keep [B, A, T, T] as in the cache, or None"""
    q, k, v = (_split_heads(x, num_heads) for x in (query, key, value))
    scale = query.dtype.type(1.0 / math.sqrt(q.shape[-1]))
    scores = q @ k.swapaxes(-1, -2) * scale  # step 1
    scores = np.where(mask[:, None, None, :], scores, query.dtype.type(MASKED_SCORE))
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True, initial=MASKED_SCORE))  # step 2
    probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    used = probabilities if keep is None else probabilities * keep  # step 3
    context = _merge_heads(used @ v)  # step 4
    kept_scores = scores if keep_scores else None
    return context, AttentionCache(query, key, value, mask, kept_scores, probabilities, keep)


@accelerated_by(kernel.attention_backward)
def attention_backward(dcontext, cache, dscores=None):
    """Reverse of `attention_forward`.

    dcontext [B, T, C]; dscores [B, A, T, T] or None: a second gradient that arrives at the scores of step 1
    -> dquery, dkey, dvalue [B, T, C]
    """
    p, keep, heads = cache.probabilities, cache.keep, cache.probabilities.shape[1]
    q, k, v, dc = (_split_heads(x, heads) for x in (cache.query, cache.key, cache.value, dcontext))
    u = p if keep is None else p * keep  # forward, step 3
    dv, du = u.swapaxes(-1, -2) @ dc, dc @ v.swapaxes(-1, -2)  # step 4: context = u v
    dp = du if keep is None else du * keep  # step 3: u = p * keep
    ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))  # step 2: p = softmax(s)
    if dscores is not None:
        ds = ds + dscores
    ds = np.where(cache.mask[:, None, None, :], ds, ds.dtype.type(0.0))
    ds *= ds.dtype.type(1.0 / math.sqrt(q.shape[-1]))  # step 1: s = q k^T / sqrt(K)
    return _merge_heads(ds @ k), _merge_heads(ds.swapaxes(-1, -2) @ q), _merge_heads(dv)
