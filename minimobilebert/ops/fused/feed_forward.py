"""A feed-forward network with NoNorm in one pass (Section 3.2, and Section 3.3 for NoNorm): four of these in a block.

    1. m = activation(x W1^T + b1)               C -> F     dense_activation.py
    2. y = scale * (m W2^T + b2 + x) + shift     F -> C     dense_nonorm.py

Backward, from dy = dL/dy, in reverse; the residual x has two paths, and dx is the sum of both:

    2. dm, dW2, db2, ds, dscale, dshift          ds = dy * scale is the gradient of the residual
    1. dx, dW1, db1                              dx += ds

m is the widest array of a block. In bfloat16 it is not kept: the backward pass computes it a second time, with the same
bits, because such a product takes less time than writing its result to memory and reading it again.
"""

from typing import NamedTuple

import numpy as np

from ...kernels import feed_forward as kernel
from ...kernels.runtime.backend import accelerated_by
from ...kernels.runtime.precision import rounds
from .dense_activation import DenseActivationCache, dense_activation_backward, dense_activation_forward
from .dense_nonorm import DenseNoNormCache, dense_nonorm_backward, dense_nonorm_forward


class FeedForwardCache(NamedTuple):
    x: np.ndarray  # [..., C]
    weight1: np.ndarray  # [F, C]
    bias1: np.ndarray  # [F]
    weight2: np.ndarray  # [C, F]
    scale: np.ndarray  # [C]
    activation: str
    m: np.ndarray  # [..., F], or no rows
    u: np.ndarray  # [..., F] x W1^T + b1 for GELU, or no rows
    s: np.ndarray  # [..., C] m W2^T + b2 + x


@accelerated_by(kernel.feed_forward_forward, cache=FeedForwardCache)
def feed_forward_forward(x, weight1, bias1, weight2, bias2, scale, shift, activation):
    """x [..., C], weight1 [F, C], bias1 [F], weight2 [C, F], bias2, scale, shift [C] -> y [..., C], cache"""
    m, first = dense_activation_forward(x, weight1, bias1, activation)
    y, second = dense_nonorm_forward(m, weight2, bias2, x, scale, shift)
    none = np.empty((0, len(weight1)), x.dtype)
    kept_m = none if rounds(x.dtype) else m
    kept_u = none if rounds(x.dtype) or first.kept is m else first.kept
    return y, FeedForwardCache(x, weight1, bias1, weight2, scale, activation, kept_m, kept_u, second.s)


@accelerated_by(kernel.feed_forward_backward)
def feed_forward_backward(dy, cache):
    """dy [..., C]

    -> dx [..., C], dweight1 [F, C], dbias1 [F], dweight2 [C, F], dbias2 [C], dscale [C], dshift [C]
    """
    m, first = (
        cache.m,
        DenseActivationCache(cache.x, cache.weight1, cache.activation, cache.u if len(cache.u) else cache.m),
    )
    if not len(m):
        m, first = dense_activation_forward(cache.x, cache.weight1, cache.bias1, cache.activation)
    second = DenseNoNormCache(m, cache.weight2, cache.s, cache.scale)
    dm, dweight2, dbias2, ds, dscale, dshift = dense_nonorm_backward(dy, second)  # step 2
    dx, dweight1, dbias1 = dense_activation_backward(dm, first)  # step 1
    return dx + ds, dweight1, dbias1, dweight2, dbias2, dscale, dshift
