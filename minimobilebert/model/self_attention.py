"""Self-attention inside a block: which input feeds queries, keys and values, and the output projection.

    1. q = dense(x_qk)   k = dense(x_qk)   v = dense(x_v)
    2. c = attention(q, k, v)                                  ops/attention.py
    3. y = Norm(dense(dropout?(c)) + residual)

Which x (Figure 1 and Table 1 of the paper; h is the block's input [B, T, H], n its narrowed form [B, T, C]):

    model                               x_qk                      x_v    residual
    BERT                                h                         h      h
    IB-BERT, MobileBERT as in Table 1   h                         h      n
    MobileBERT as released              Norm(dense(h)), shared    h      n
    MobileBERT_TINY                     n                         n      n
"""

from typing import Any, NamedTuple

from ..ops.attention import attention_backward, attention_forward
from ..ops.dropout import dropout_backward, dropout_forward
from .layers import dense, dense_backward, norm, norm_backward


class SelfAttentionCache(NamedTuple):
    query: Any  # step 1
    key: Any
    value: Any
    attention: Any  # step 2
    output: Any  # step 3
    dropout: Any
    norm: Any


def self_attention_forward(params, config, name, query_key_input, value_input, residual, mask, rng=None):
    """query_key_input, value_input [B, T, H or C]; residual [B, T, C]; mask [B, T] -> y [B, T, C], cache"""
    q, query = dense(params, f"{name}attention.self.query", query_key_input)
    k, key = dense(params, f"{name}attention.self.key", query_key_input)
    v, value = dense(params, f"{name}attention.self.value", value_input)
    rate = config.attention_probs_dropout_prob
    c, attention = attention_forward(q, k, v, mask, config.num_attention_heads, rate, rng)
    y, output = dense(params, f"{name}attention.output.dense", c)
    dropout = None
    if not config.use_bottleneck:  # the released code drops out here in plain BERT only
        y, dropout = dropout_forward(y, config.hidden_dropout_prob, rng)
    y, norm_cache = norm(params, f"{name}attention.output.LayerNorm", y + residual, config)
    return y, SelfAttentionCache(query, key, value, attention, output, dropout, norm_cache)


def self_attention_backward(dy, cache, grads, config, name, dscores=None):
    """Reverse of `self_attention_forward`; dscores [B, A, T, T] or None comes from attention transfer.

    dy [B, T, C] -> dquery_key_input, dvalue_input [B, T, H or C], dresidual [B, T, C]
    """
    dresidual = norm_backward(dy, cache.norm, grads, f"{name}attention.output.LayerNorm", config)
    dc = dresidual
    if not config.use_bottleneck:
        dc = dropout_backward(dc, cache.dropout)
    dc = dense_backward(dc, cache.output, grads, f"{name}attention.output.dense")
    dq, dk, dv = attention_backward(dc, cache.attention, dscores)
    dvalue_input = dense_backward(dv, cache.value, grads, f"{name}attention.self.value")
    dquery_key_input = dense_backward(dk, cache.key, grads, f"{name}attention.self.key")
    dquery_key_input += dense_backward(dq, cache.query, grads, f"{name}attention.self.query")
    return dquery_key_input, dvalue_input, dresidual
