"""Softmax over the last axis: it turns scores into a probability distribution.

    1. z = x - max(x)        e^z is then at most 1; y is unchanged, because e^(a - c) / e^(b - c) = e^a / e^b
    2. y = e^z / sum e^z

Backward. The Jacobian is dy_i/dx_j = y_i (delta_ij - y_j). Its product with dy needs no matrix:

    dx = y (dy - sum_i dy_i y_i)
"""

from typing import NamedTuple

import numpy as np

from ..kernels import softmax as kernel
from ..kernels.runtime.backend import accelerated_by


class SoftmaxCache(NamedTuple):
    y: np.ndarray  # [..., N]; the Jacobian is a function of the output alone


@accelerated_by(kernel.softmax_forward, cache=SoftmaxCache)
def softmax_forward(x):
    """x [..., N] -> y [..., N], cache"""
    z = x - x.max(axis=-1, keepdims=True)  # step 1
    exponentials = np.exp(z)
    y = exponentials / exponentials.sum(axis=-1, keepdims=True)  # step 2
    return y, SoftmaxCache(y)


@accelerated_by(kernel.softmax_backward)
def softmax_backward(dy, cache):
    """dy [..., N] -> dx [..., N]"""
    return cache.y * (dy - (dy * cache.y).sum(axis=-1, keepdims=True))
