"""The transformer block of every model in the paper (Figure 1).

    1. n  = Norm(dense(h))           H -> C    the input bottleneck
    2. qk = Norm(dense(h))           H -> C    the shared key-query bottleneck (released MobileBERT only)
    3. x  = self-attention           residual n
    4. x  = feed-forward, stacked    1 in BERT and IB-BERT, 2 in MobileBERT_TINY, 4 in MobileBERT
    5. y  = Norm(dropout(dense(x)) + h)    C -> H    the output bottleneck; h goes around the whole block

Plain BERT is the same without steps 1, 2 and 5: there n = h and C = H.
"""

from typing import Any, NamedTuple

from ..ops.dropout import dropout_backward, dropout_forward
from .feed_forward import feed_forward_backward, feed_forward_forward
from .layers import dense, dense_backward, norm, norm_backward
from .parameters import feed_forward_names
from .self_attention import self_attention_backward, self_attention_forward


class BlockCache(NamedTuple):
    input_bottleneck: Any  # step 1
    attention_bottleneck: Any  # step 2
    self_attention: Any  # step 3
    feed_forwards: list  # step 4
    output_bottleneck: Any  # step 5
    dropout: Any
    norm: Any


def _bottleneck_forward(params, config, name, h):
    """Norm(dense(h)); h [B, T, H] -> [B, T, C], cache"""
    n, dense_cache = dense(params, f"{name}.dense", h)
    n, norm_cache = norm(params, f"{name}.LayerNorm", n, config)
    return n, (dense_cache, norm_cache)


def _bottleneck_backward(dn, cache, grads, config, name):
    """dn [B, T, C] -> dh [B, T, H]"""
    dense_cache, norm_cache = cache
    dn = norm_backward(dn, norm_cache, grads, f"{name}.LayerNorm", config)
    return dense_backward(dn, dense_cache, grads, f"{name}.dense")


def _shares_key_and_query(config):
    return config.key_query_shared_bottleneck and not config.bottleneck_attention


def block_forward(params, config, layer, h, mask, rng=None):
    """h [B, T, H], mask [B, T] bool -> y [B, T, H], cache"""
    name = f"{config.prefix}.encoder.layer.{layer}."
    n, input_bottleneck, attention_bottleneck = h, None, None
    if config.use_bottleneck:
        n, input_bottleneck = _bottleneck_forward(params, config, f"{name}bottleneck.input", h)

    query_key_input = value_input = n if config.bottleneck_attention else h
    if _shares_key_and_query(config):
        query_key_input, attention_bottleneck = _bottleneck_forward(params, config, f"{name}bottleneck.attention", h)
    x, self_attention = self_attention_forward(params, config, name, query_key_input, value_input, n, mask, rng)

    feed_forwards = []
    for ffn in feed_forward_names(config):
        x, cache = feed_forward_forward(params, config, name + ffn, x, rng)
        feed_forwards.append(cache)

    output_bottleneck = dropout = norm_cache = None
    if config.use_bottleneck:
        x, output_bottleneck = dense(params, f"{name}output.bottleneck.dense", x)
        x, dropout = dropout_forward(x, config.hidden_dropout_prob, rng)
        x, norm_cache = norm(params, f"{name}output.bottleneck.LayerNorm", x + h, config)
    return x, BlockCache(
        input_bottleneck, attention_bottleneck, self_attention, feed_forwards, output_bottleneck, dropout, norm_cache
    )


def block_backward(dy, cache, grads, config, layer, dscores=None):
    """Reverse of `block_forward`; dy [B, T, H], dscores [B, A, T, T] or None -> dh [B, T, H]"""
    name = f"{config.prefix}.encoder.layer.{layer}."
    dx = dy
    if config.use_bottleneck:
        dh = norm_backward(dy, cache.norm, grads, f"{name}output.bottleneck.LayerNorm", config)
        dx = dropout_backward(dh, cache.dropout)
        dx = dense_backward(dx, cache.output_bottleneck, grads, f"{name}output.bottleneck.dense")

    for ffn, ffn_cache in zip(reversed(feed_forward_names(config)), reversed(cache.feed_forwards), strict=True):
        dx = feed_forward_backward(dx, ffn_cache, grads, config, name + ffn)

    dqk, dv, dn = self_attention_backward(dx, cache.self_attention, grads, config, name, dscores)
    if not config.use_bottleneck:
        return dn + dqk + dv  # n, the queries' and the values' input are all h
    if config.bottleneck_attention:
        dn = dn + dqk + dv
    else:
        if _shares_key_and_query(config):
            dqk = _bottleneck_backward(dqk, cache.attention_bottleneck, grads, config, f"{name}bottleneck.attention")
        dh = dh + dqk + dv
    return dh + _bottleneck_backward(dn, cache.input_bottleneck, grads, config, f"{name}bottleneck.input")
