"""One feed-forward network of a block (Section 3.2: MobileBERT stacks four of them).

1. m = dense(x)                C -> F
2. m = act(m)
3. y = Norm(dropout?(dense(m)) + x)      F -> C
"""

from typing import Any, NamedTuple

from ..ops.dropout import dropout_backward, dropout_forward
from .layers import activation, activation_backward, dense, dense_backward, norm, norm_backward


class FeedForwardCache(NamedTuple):
    intermediate: Any  # step 1
    activation: Any  # step 2
    output: Any  # step 3
    dropout: Any
    norm: Any


def feed_forward_forward(params, config, name, x, rng=None):
    """x [B, T, C] -> y [B, T, C], cache"""
    m, intermediate = dense(params, f"{name}intermediate.dense", x)
    m, activation_cache = activation(m, config)
    y, output = dense(params, f"{name}output.dense", m)
    dropout = None
    if not config.use_bottleneck:  # the released code drops out here in plain BERT only
        y, dropout = dropout_forward(y, config.hidden_dropout_prob, rng)
    y, norm_cache = norm(params, f"{name}output.LayerNorm", y + x, config)
    return y, FeedForwardCache(intermediate, activation_cache, output, dropout, norm_cache)


def feed_forward_backward(dy, cache, grads, config, name):
    """dy [B, T, C] -> dx [B, T, C]"""
    dresidual = norm_backward(dy, cache.norm, grads, f"{name}output.LayerNorm", config)
    dm = dresidual
    if not config.use_bottleneck:
        dm = dropout_backward(dm, cache.dropout)
    dm = dense_backward(dm, cache.output, grads, f"{name}output.dense")
    dm = activation_backward(dm, cache.activation, config)
    return dense_backward(dm, cache.intermediate, grads, f"{name}intermediate.dense") + dresidual
