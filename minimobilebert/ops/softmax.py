"""Softmax over the last axis: scores in, a probability distribution out.

    1. z = x - max(x)        changes nothing, because e^(a - c) / e^(b - c) = e^a / e^b, and keeps e^z at most 1
    2. y = e^z / sum e^z

Backward. dy_i/dx_j = y_i (delta_ij - y_j); summed over i this needs no matrix:

    dx = y (dy - sum_i dy_i y_i)
"""

from typing import NamedTuple

import numpy as np

from ..kernels import softmax as kernel


class SoftmaxCache(NamedTuple):
    y: np.ndarray  # [..., N]; the derivative of softmax is a function of its output alone


def softmax_forward(x):
    """x [..., N] -> y [..., N], cache"""
    y = kernel.softmax_forward(x)
    return y, SoftmaxCache(y)


def softmax_backward(dy, cache):
    """dy [..., N] -> dx [..., N]"""
    return kernel.softmax_backward(dy, cache.y)
