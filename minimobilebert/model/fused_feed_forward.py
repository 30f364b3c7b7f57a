"""The feed-forward network as one operation, where that computes the same: with NoNorm and without dropout.

It has the arguments and results of model/feed_forward.py; ops/fused/feed_forward.py has the arithmetic.
"""

from ..ops.fusion import feed_forward_pair
from .layers import fuses

_LAYERS = ("intermediate.dense", "output.dense", "output.LayerNorm")


def applies(params, config, name, x, rng=None):
    """Whether the fused operation computes the same as `feed_forward_forward` of these arguments."""
    drops = rng is not None and config.hidden_dropout_prob > 0.0 and not config.use_bottleneck
    return fuses(params, f"{name}intermediate.dense") and config.normalization_type == "no_norm" and not drops


def made_the_cache(dy, cache, grads, config, name):
    """Whether the cache is one of the fused operation."""
    return feed_forward_pair is not None and isinstance(cache, feed_forward_pair.cache)


def forward(params, config, name, x, rng=None):
    """x [B, T, C]; name: the prefix of `intermediate.dense`, which ends with a dot -> y [B, T, C], cache"""
    weights = [params[f"{name}{layer}.{part}"] for layer in _LAYERS for part in ("weight", "bias")]
    return feed_forward_pair.forward(x, *weights, config.hidden_act)


def backward(dy, cache, grads, config, name):
    """dy [B, T, C] -> dx [B, T, C]"""
    dx, *gradients = feed_forward_pair.backward(dy, cache)
    keys = [f"{name}{layer}.{part}" for layer in _LAYERS for part in ("weight", "bias")]
    grads.update(zip(keys, gradients, strict=True))
    return dx
