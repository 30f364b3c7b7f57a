"""A dense layer and its activation in one pass: the first half of a feed-forward network.

    1. s = x W^T + b
    2. y = activation(s)            "relu", "gelu" or "gelu_tanh"; see ops/relu.py and ops/gelu.py

Backward, in reverse, from dy = dL/dy:

    2. ds = dy * activation'(s)     ReLU'(s) is 1 where y > 0, else 0; for ReLU the cache stores y instead of s
    1. dx = ds W     dW = ds^T x     db = sum over tokens of ds
"""

from typing import NamedTuple

import numpy as np

from ...kernels import linear as kernel
from ...kernels.runtime.backend import accelerated_by
from ..activations import ACTIVATIONS
from ..linear import LinearCache, linear_backward, linear_forward


class DenseActivationCache(NamedTuple):
    x: np.ndarray  # [..., in]
    weight: np.ndarray  # [out, in]
    activation: str
    kept: np.ndarray  # [..., out] y for "relu", else s


@accelerated_by(kernel.dense_activation_forward, cache=DenseActivationCache)
def dense_activation_forward(x, weight, bias, activation):
    """x [..., in], weight [out, in], bias [out] -> y [..., out], cache"""
    s, _ = linear_forward(x, weight, bias)
    y, _ = ACTIVATIONS[activation].forward(s)
    kept = y if ACTIVATIONS[activation].from_output else s
    return y, DenseActivationCache(x, weight, activation, kept)


def dense_activation_backward(dy, cache):
    """dy [..., out] -> dx [..., in], dweight [out, in], dbias [out]"""
    activation = ACTIVATIONS[cache.activation]
    ds = activation.backward(dy, activation.cache(cache.kept))  # step 2
    return linear_backward(ds, LinearCache(cache.x, cache.weight, has_bias=True))  # step 1
