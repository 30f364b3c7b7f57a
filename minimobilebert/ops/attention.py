"""Multi-head scaled dot-product attention. The queries, keys and values are projected before.

For every head a, with K features per head:

    1. s[i, j] = q[i] . k[j] / sqrt(K)        scores; the score of a padding key is set to MASKED_SCORE
    2. p[i, :] = softmax(s[i, :])             the attention map; attention transfer compares it (Equation 3)
    3. u       = dropout(p)
    4. c[i]    = sum_j u[i, j] v[j]           the context; the heads are concatenated to [B, T, A*K]

Backward, in reverse:

    4. dv[j] = sum_i u[i, j] dc[i]            du[i, j] = dc[i] . v[j]
    3. dp    = du * keep
    2. ds    = p * (dp - sum_j dp * p)        + the gradient of attention transfer with respect to the scores
    1. dq[i] = sum_j ds[i, j] k[j] / sqrt(K)  dk[j] = sum_i ds[i, j] q[i] / sqrt(K), 0 for a padding key

The mask covers keys only. A padding query still gets an output, which no real token attends to.
"""

import math
from typing import NamedTuple

import numpy as np

from ..kernels import attention as kernel
from ..kernels.attention import MASKED_SCORE
from ..kernels.runtime.backend import accelerated_by
from .bfloat16 import product
from .dropout import draw_keep


class AttentionCache(NamedTuple):
    query: np.ndarray  # [B, T, C]
    key: np.ndarray  # [B, T, C]
    value: np.ndarray  # [B, T, C]
    mask: np.ndarray  # [B, T] bool
    scores: np.ndarray | None  # [B, A, T, T] step 1; attention transfer computes exact log-probabilities from them
    probabilities: np.ndarray  # [B, A, T, T] step 2
    keep: np.ndarray | None  # [B, A, T, T] 0 or 1 / (1 - rate), or None without dropout


def attention_forward(query, key, value, mask, num_heads, dropout_rate=0.0, rng=None, keep_scores=True):
    """Attention with `num_heads` heads.

    query, key, value [B, T, C]; mask [B, T] bool, True for real tokens; rng None: no dropout;
    keep_scores False: do not store the scores, which only attention transfer needs
    -> context [B, T, C], cache (with `scores` before softmax and `probabilities` after it)
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
    """`attention_forward` with a given dropout mask: keep [B, A, T, T] as in the cache, or None"""
    q, k, v = (_split_heads(x, num_heads) for x in (query, key, value))
    scale = query.dtype.type(1.0 / math.sqrt(q.shape[-1]))
    scores = product(q, k.swapaxes(-1, -2)) * scale  # step 1
    scores = np.where(mask[:, None, None, :], scores, query.dtype.type(MASKED_SCORE))
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True, initial=MASKED_SCORE))  # step 2
    probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    used = probabilities if keep is None else probabilities * keep  # step 3
    context = _merge_heads(product(used, v))  # step 4
    kept_scores = scores if keep_scores else None
    return context, AttentionCache(query, key, value, mask, kept_scores, probabilities, keep)


@accelerated_by(kernel.attention_backward)
def attention_backward(dcontext, cache, dscores=None):
    """Reverse of `attention_forward`.

    dcontext [B, T, C]; dscores [B, A, T, T] or None: a second gradient, with respect to the scores of step 1
    -> dquery, dkey, dvalue [B, T, C]
    """
    p, keep, heads = cache.probabilities, cache.keep, cache.probabilities.shape[1]
    q, k, v, dc = (_split_heads(x, heads) for x in (cache.query, cache.key, cache.value, dcontext))
    u = p if keep is None else p * keep  # forward, step 3
    dv, du = product(u.swapaxes(-1, -2), dc), product(dc, v.swapaxes(-1, -2))  # step 4: context = u v
    dp = du if keep is None else du * keep  # step 3: u = p * keep
    ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))  # step 2: p = softmax(s)
    if dscores is not None:
        ds = ds + dscores
    ds = np.where(cache.mask[:, None, None, :], ds, ds.dtype.type(0.0))
    ds *= ds.dtype.type(1.0 / math.sqrt(q.shape[-1]))  # step 1: s = q k^T / sqrt(K)
    return _merge_heads(product(ds, k)), _merge_heads(product(ds.swapaxes(-1, -2), q)), _merge_heads(dv)
