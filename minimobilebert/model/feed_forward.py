"""One feed-forward network of a block (Section 3.2; a MobileBERT block has a stack of four).

1. m = activation(dense(x))              C -> F
2. y = Norm(dropout(dense(m)) + x)       F -> C      dropout only in models without bottlenecks
"""

from typing import Any, NamedTuple

from ..ops.fusion import replaced_by
from . import fused_feed_forward
from .layers import dense_activation, dense_activation_backward, dense_norm, dense_norm_backward


class FeedForwardCache(NamedTuple):
    intermediate: Any  # step 1
    output: Any  # step 2


@replaced_by(fused_feed_forward.forward, where=fused_feed_forward.applies)
def feed_forward_forward(params, config, name, x, rng=None):
    """x [B, T, C]; name: the prefix of `intermediate.dense`, which ends with a dot -> y [B, T, C], cache"""
    m, intermediate = dense_activation(params, f"{name}intermediate.dense", x, config)
    # As in the released code, models with bottlenecks have no dropout at this point.
    rate = 0.0 if config.use_bottleneck else config.hidden_dropout_prob
    y, output = dense_norm(params, f"{name}output.dense", f"{name}output.LayerNorm", m, x, config, rng, rate)
    return y, FeedForwardCache(intermediate, output)


@replaced_by(fused_feed_forward.backward, where=fused_feed_forward.made_the_cache)
def feed_forward_backward(dy, cache, grads, config, name):
    """dy [B, T, C] -> dx [B, T, C]"""
    names = f"{name}output.dense", f"{name}output.LayerNorm"
    dm, dx = dense_norm_backward(dy, cache.output, grads, *names, config)  # step 2; x is the residual
    dx += dense_activation_backward(dm, cache.intermediate, grads, f"{name}intermediate.dense", config)  # step 1
    return dx
