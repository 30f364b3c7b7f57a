"""The dense (linear) layer: one matrix product for all tokens, plus a bias.

    y = x W^T + b (+ residual)      W is [out, in], as in PyTorch and in Hugging Face's files

Backward, from dy = dL/dy; the rows of x and dy are the tokens:

    dx = dy W
    dW = dy^T x              the sum over tokens of the outer products of dy and x
    db = sum over tokens of dy
    dresidual = dy
"""

from typing import NamedTuple

import numpy as np

from ..kernels import linear as kernel
from ..kernels.runtime.backend import accelerated_by
from .bfloat16 import product


class LinearCache(NamedTuple):
    x: np.ndarray  # [..., in]
    weight: np.ndarray  # [out, in]
    has_bias: bool


@accelerated_by(kernel.linear_forward, cache=LinearCache)
def linear_forward(x, weight, bias, residual=None):
    """x [..., in], weight [out, in], bias [out] or None, residual [..., out] or None -> y [..., out], cache"""
    y = product(x, weight.T)
    if bias is not None:
        y = y + bias
    if residual is not None:
        y = y + residual
    return y, LinearCache(x, weight, bias is not None)


@accelerated_by(kernel.linear_backward)
def linear_backward(dy, cache):
    """Reverse of `linear_forward`; the gradient of a residual is dy itself.

    dy [..., out] -> dx [..., in], dweight [out, in], dbias [out] (None if there was no bias)
    """
    outputs, inputs = cache.weight.shape
    dy_rows, x_rows = dy.reshape(-1, outputs), cache.x.reshape(-1, inputs)
    dweight = product(dy_rows.T, x_rows)
    dbias = dy_rows.sum(axis=0) if cache.has_bias else None
    return product(dy, cache.weight), dweight, dbias
