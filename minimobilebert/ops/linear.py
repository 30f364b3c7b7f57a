"""The dense layer: one matrix product for all tokens, plus a bias.

    y = x W^T + b (+ residual)      W is [out, in], as in PyTorch and in Hugging Face's files

Backward, from dy = dL/dy, with all tokens as rows of x and dy:

    dx = dy W
    dW = dy^T x              a sum over tokens: each one adds the outer product of its dy and x
    db = sum over tokens of dy
    dresidual = dy
"""

from typing import NamedTuple

import numpy as np

from ..kernels.linear import column_sums, dense_dx, dense_residual
from ..kernels.matmul import matmul
from ..kernels.rows import as_rows


class LinearCache(NamedTuple):
    x: np.ndarray  # [..., in]
    weight: np.ndarray  # [out, in]
    has_bias: bool


def linear_forward(x, weight, bias, residual=None):
    """y = x W^T + b, and + residual where there is one, in the same pass.

    x [..., in], weight [out, in], bias [out] or None, residual [..., out] or None -> y [..., out], cache
    """
    if residual is None:
        y = matmul(as_rows(x), weight.T, bias=bias)
    else:
        y = dense_residual(as_rows(x), weight, bias, as_rows(residual))
    return y.reshape(*x.shape[:-1], weight.shape[0]), LinearCache(x, weight, bias is not None)


def linear_backward(dy, cache):
    """Reverse of `linear_forward`; the gradient of a residual is dy itself.

    dy [..., out] -> dx [..., in], dweight [out, in], dbias [out] (None where there was no bias)
    """
    dy_rows = as_rows(dy)
    dbias = column_sums(dy_rows) if cache.has_bias else None
    dweight = matmul(dy_rows.T, as_rows(cache.x))
    dx = dense_dx(dy_rows, cache.weight, None, None, None)
    return dx.reshape(cache.x.shape), dweight, dbias
