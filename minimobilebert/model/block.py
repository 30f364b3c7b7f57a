"""The transformer block of every model in the paper (Figure 1).

    1. n  = Norm(dense(h))                 H -> C    the input bottleneck
    2. qk = Norm(dense(h))                 H -> C    the shared key-query bottleneck (released MobileBERT only)
    3. x  = self-attention                 its residual is n
    4. x  = feed-forward networks          1 in BERT and IB-BERT, 2 in MobileBERT_TINY, 4 in MobileBERT
    5. y  = Norm(dropout(dense(x)) + h)    C -> H    the output bottleneck; its residual is the block's input h

BERT has no steps 1, 2 and 5: n = h and C = H.
"""

from typing import Any, NamedTuple

from .feed_forward import feed_forward_backward, feed_forward_forward
from .layers import dense_norm, dense_norm_backward
from .parameters import feed_forward_names
from .self_attention import self_attention_backward, self_attention_forward


class BlockCache(NamedTuple):
    input_bottleneck: Any  # step 1
    attention_bottleneck: Any  # step 2
    self_attention: Any  # step 3
    feed_forwards: list  # step 4
    output_bottleneck: Any  # step 5


def _names(name):
    """The names of a bottleneck's dense layer and of its normalisation."""
    return f"{name}.dense", f"{name}.LayerNorm"


def _shares_key_and_query(config):
    return config.key_query_shared_bottleneck and not config.bottleneck_attention


def block_forward(params, config, layer, h, mask, rng=None, keep_scores=True):
    """h [B, T, H], mask [B, T] bool; layer counts from 0; keep_scores as in ops/attention.py -> y [B, T, H], cache"""
    name = f"{config.prefix}.encoder.layer.{layer}."
    n, input_bottleneck, attention_bottleneck = h, None, None
    if config.use_bottleneck:
        n, input_bottleneck = dense_norm(params, *_names(f"{name}bottleneck.input"), h, None, config)

    query_key_input = value_input = n if config.bottleneck_attention else h
    if _shares_key_and_query(config):
        names = _names(f"{name}bottleneck.attention")
        query_key_input, attention_bottleneck = dense_norm(params, *names, h, None, config)
    x, self_attention = self_attention_forward(
        params, config, name, query_key_input, value_input, n, mask, rng, keep_scores
    )

    feed_forwards = []
    for ffn in feed_forward_names(config):
        x, cache = feed_forward_forward(params, config, name + ffn, x, rng)
        feed_forwards.append(cache)

    output_bottleneck = None
    if config.use_bottleneck:
        names = _names(f"{name}output.bottleneck")
        x, output_bottleneck = dense_norm(params, *names, x, h, config, rng, config.hidden_dropout_prob)
    return x, BlockCache(input_bottleneck, attention_bottleneck, self_attention, feed_forwards, output_bottleneck)


def block_backward(dy, cache, grads, config, layer, dscores=None):
    """Reverse of `block_forward`; dy [B, T, H], dscores [B, A, T, T] or None -> dh [B, T, H]

    h affects y along up to four paths: the residual of step 5, and steps 1, 2 and 3. dh is the sum of their gradients.
    """
    name = f"{config.prefix}.encoder.layer.{layer}."
    dx, dh = dy, None
    if config.use_bottleneck:  # step 5
        dx, dh = dense_norm_backward(dy, cache.output_bottleneck, grads, *_names(f"{name}output.bottleneck"), config)

    for ffn, ffn_cache in zip(reversed(feed_forward_names(config)), reversed(cache.feed_forwards), strict=True):
        dx = feed_forward_backward(dx, ffn_cache, grads, config, name + ffn)  # step 4

    dqk, dv, dn = self_attention_backward(dx, cache.self_attention, grads, config, name, dscores)  # step 3
    if not config.use_bottleneck:  # the inputs of the queries, keys and values and the residual n are all h
        dqk += dn
        dqk += dv
        return dqk
    if config.bottleneck_attention:  # the inputs of the queries, keys and values are n
        dqk += dn
        dqk += dv
        dn = dqk
    else:  # the values read h; queries and keys read h or the output of step 2
        dh += dv
        if _shares_key_and_query(config):  # step 2
            names = _names(f"{name}bottleneck.attention")
            dqk, _ = dense_norm_backward(dqk, cache.attention_bottleneck, grads, *names, config)
        dh += dqk
    dh_of_n, _ = dense_norm_backward(dn, cache.input_bottleneck, grads, *_names(f"{name}bottleneck.input"), config)
    dh += dh_of_n  # step 1
    return dh
