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

from typing import NamedTuple

import numpy as np

from ..kernels.attention import attention_scores_backward, attention_scores_forward
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
    context, scores, probabilities = attention_scores_forward(query, key, value, mask, num_heads, keep, keep_scores)
    return context, AttentionCache(query, key, value, mask, scores, probabilities, keep)


def attention_backward(dcontext, cache, dscores=None):
    """Reverse of `attention_forward`.

    dcontext [B, T, C]; dscores [B, A, T, T] or None: a second gradient that arrives at the scores of step 1
    -> dquery, dkey, dvalue [B, T, C]
    """
    return attention_scores_backward(
        dcontext, dscores, cache.query, cache.key, cache.value, cache.mask, cache.probabilities, cache.keep
    )
