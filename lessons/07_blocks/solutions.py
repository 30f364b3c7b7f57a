"""Lesson 07 as a student would write it; never part of a student edition. Mutants are made from these."""

from minimobilebert.model.block import BlockCache, _names, _shares_key_and_query
from minimobilebert.model.feed_forward import FeedForwardCache
from minimobilebert.model.layers import (
    dense_activation,
    dense_activation_backward,
    dense_norm,
    dense_norm_backward,
)
from minimobilebert.model.parameters import feed_forward_names
from minimobilebert.model.self_attention import self_attention_backward, self_attention_forward


def feed_forward_forward(params, config, name, x, rng=None):
    m, first = dense_activation(params, name + "intermediate.dense", x, config)
    rate = config.hidden_dropout_prob
    if config.use_bottleneck:
        rate = 0.0
    y, second = dense_norm(params, name + "output.dense", name + "output.LayerNorm", m, x, config, rng, rate)
    return y, FeedForwardCache(first, second)


def feed_forward_backward(dy, cache, grads, config, name):
    output = name + "output.dense", name + "output.LayerNorm"
    dm, dresidual = dense_norm_backward(dy, cache.output, grads, *output, config)
    dx = dense_activation_backward(dm, cache.intermediate, grads, name + "intermediate.dense", config)
    return dx + dresidual


def block_forward(params, config, layer, h, mask, rng=None, keep_scores=True):
    name = f"{config.prefix}.encoder.layer.{layer}."
    n, narrowed, shared, widened = h, None, None, None
    if config.use_bottleneck:
        n, narrowed = dense_norm(params, *_names(name + "bottleneck.input"), h, None, config)
    reads = n if config.bottleneck_attention else h
    asks = reads
    if _shares_key_and_query(config):
        asks, shared = dense_norm(params, *_names(name + "bottleneck.attention"), h, None, config)
    x, attention = self_attention_forward(params, config, name, asks, reads, n, mask, rng, keep_scores)
    networks = []
    for each in feed_forward_names(config):
        x, cache = feed_forward_forward(params, config, name + each, x, rng)
        networks.append(cache)
    if config.use_bottleneck:
        rate = config.hidden_dropout_prob
        x, widened = dense_norm(params, *_names(name + "output.bottleneck"), x, h, config, rng, rate)
    return x, BlockCache(narrowed, shared, attention, networks, widened)


def block_backward(dy, cache, grads, config, layer, dscores=None):
    name = f"{config.prefix}.encoder.layer.{layer}."
    dx, dh = dy, None
    if config.use_bottleneck:
        out = _names(name + "output.bottleneck")
        dx, dh = dense_norm_backward(dy, cache.output_bottleneck, grads, *out, config)
    names = feed_forward_names(config)
    for i in reversed(range(len(names))):
        dx = feed_forward_backward(dx, cache.feed_forwards[i], grads, config, name + names[i])
    dasks, dreads, dn = self_attention_backward(dx, cache.self_attention, grads, config, name, dscores)
    if not config.use_bottleneck:
        return dn + dasks + dreads
    if config.bottleneck_attention:
        dn = dn + dasks + dreads
    else:
        dh = dh + dreads
        if _shares_key_and_query(config):
            att = _names(name + "bottleneck.attention")
            dasks, _ = dense_norm_backward(dasks, cache.attention_bottleneck, grads, *att, config)
        dh = dh + dasks
    inside = _names(name + "bottleneck.input")
    dthrough, _ = dense_norm_backward(dn, cache.input_bottleneck, grads, *inside, config)
    return dh + dthrough
