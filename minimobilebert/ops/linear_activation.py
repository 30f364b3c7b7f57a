"""A dense layer and its activation in one pass: the first half of a feed-forward network.

    1. s = x W^T + b
    2. y = activation(s)            "relu", "gelu" or "gelu_tanh"; see ops/relu.py and ops/gelu.py

Backward, in reverse, from dy = dL/dy:

    2. ds = dy * activation'(s)     ReLU's slope can be read off y (0 or not), so s is never stored for it
    1. dx = ds W     dW = ds^T x     db = sum over tokens of ds
"""

from typing import NamedTuple

import numpy as np

from ..kernels.activations import ACTIVATION_BACKWARD
from ..kernels.linear import dense_activation
from ..kernels.rows import as_rows
from .linear import LinearCache, linear_backward


class LinearActivationCache(NamedTuple):
    linear: LinearCache  # step 1
    activation: str
    kept: np.ndarray  # [..., out] y for "relu", else s


def linear_activation_forward(x, weight, bias, activation):
    """x [..., in], weight [out, in], bias [out] -> y [..., out], cache"""
    y, kept = dense_activation(as_rows(x), weight, bias, activation)
    shape = *x.shape[:-1], len(weight)
    return y.reshape(shape), LinearActivationCache(LinearCache(x, weight, True), activation, kept.reshape(shape))


def linear_activation_backward(dy, cache):
    """Reverse of `linear_activation_forward`.

    dy [..., out] -> dx [..., in], dweight [out, in], dbias [out]
    """
    return linear_backward(ACTIVATION_BACKWARD[cache.activation](dy, cache.kept), cache.linear)
