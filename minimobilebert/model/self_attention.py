"""The self-attention of a block: projections to queries, keys and values, attention, and the output projection.

    1. q = dense(x_qk)   k = dense(x_qk)   v = dense(x_v)
    2. c = attention(q, k, v)                                  ops/attention.py
    3. y = Norm(dropout(dense(c)) + residual)                  dropout only in models without bottlenecks

The inputs (Figure 1 and Table 1; h [B, T, H] is the block's input, n [B, T, C] the output of its input bottleneck):

    model                               x_qk                      x_v    residual
    BERT                                h                         h      h
    IB-BERT, MobileBERT as in Table 1   h                         h      n
    MobileBERT as released              Norm(dense(h)), shared    h      n
    MobileBERT_TINY                     n                         n      n
"""

from typing import Any, NamedTuple

import numpy as np

from ..ops.attention import attention_backward, attention_forward
from .layers import dense, dense_backward, dense_norm, dense_norm_backward


class Projections(NamedTuple):
    """The queries, keys and values of a block, or their gradients."""

    query: np.ndarray  # [B, T, C]
    key: np.ndarray
    value: np.ndarray


class AttentionGradients(NamedTuple):
    """Gradients of transfer losses inside self-attention, in addition to the one of its output."""

    scores: np.ndarray | None  # [B, A, T, T] attention transfer
    projections: Projections  # relation transfer


class SelfAttentionCache(NamedTuple):
    query: Any  # step 1
    key: Any
    value: Any
    attention: Any  # step 2
    output: Any  # step 3


def self_attention_forward(
    params, config, name, query_key_input, value_input, residual, mask, rng=None, keep_scores=True
):
    """query_key_input, value_input [B, T, H or C]; residual [B, T, C]; mask [B, T] -> y [B, T, C], cache"""
    q, query = dense(params, f"{name}attention.self.query", query_key_input)
    k, key = dense(params, f"{name}attention.self.key", query_key_input)
    v, value = dense(params, f"{name}attention.self.value", value_input)
    rate = config.attention_probs_dropout_prob
    c, attention = attention_forward(q, k, v, mask, config.num_attention_heads, rate, rng, keep_scores)
    names = f"{name}attention.output.dense", f"{name}attention.output.LayerNorm"
    # As in the released code, models with bottlenecks have no dropout at this point.
    rate = 0.0 if config.use_bottleneck else config.hidden_dropout_prob
    y, output = dense_norm(params, *names, c, residual, config, rng, rate)
    return y, SelfAttentionCache(query, key, value, attention, output)


def self_attention_backward(dy, cache, grads, config, name, dscores=None):
    """Reverse of `self_attention_forward`.

    dy [B, T, C]; dscores [B, A, T, T], the gradient of attention transfer, or AttentionGradients, or None
    -> dquery_key_input, dvalue_input [B, T, H or C], dresidual [B, T, C]
    """
    dscores, dprojections = dscores if isinstance(dscores, AttentionGradients) else (dscores, None)
    names = f"{name}attention.output.dense", f"{name}attention.output.LayerNorm"
    dc, dresidual = dense_norm_backward(dy, cache.output, grads, *names, config)  # step 3
    dq, dk, dv = attention_backward(dc, cache.attention, dscores)  # step 2
    if dprojections:
        dq, dk, dv = dq + dprojections.query, dk + dprojections.key, dv + dprojections.value
    dvalue_input = dense_backward(dv, cache.value, grads, f"{name}attention.self.value")  # step 1
    dquery_key_input = dense_backward(dk, cache.key, grads, f"{name}attention.self.key")
    dquery_key_input += dense_backward(dq, cache.query, grads, f"{name}attention.self.query")
    return dquery_key_input, dvalue_input, dresidual
