"""Matrix products of a dense layer with what follows them done in the same pass (see ops/linear.py and ops/fused/).

    forward     y  = epilogue(residual + bias + x W^T)     x [R, in] times W^T [in, out], packed in panels
    backward    dx = dy W                                  dy [R, out] times W [out, in], read in place
                dW = dy^T x                                dy^T [out, R], packed in tiles, times x [R, in]

The product's tiles are finished while they are in the first-level cache (epilogue.py), so bias, residual, activation
and NoNorm cost a few percent of the product instead of a pass through memory each.
"""

import numpy as np

from .gemm.epilogue import ACTIVATIONS, FROM_OUTPUT, SCALE_SHIFT
from .gemm.matmul import matmul, product
from .reductions import column_sums
from .rows import as_rows, expect
from .runtime.memory import empty


def _dense(x, weight, bias, residual=None, **epilogue):
    """epilogue(x W^T + b + residual); x [..., in] -> [..., out]; ValueError where shapes do not fit"""
    shape = (*x.shape[:-1], len(weight))
    expect("dense layer", "weight", weight, (len(weight), x.shape[-1]), x.dtype)
    if bias is not None:
        expect("dense layer", "bias", bias, shape[-1:], x.dtype)
    if residual is not None:
        expect("dense layer", "residual", residual, shape, x.dtype)
    if 0 in shape:
        return np.zeros(shape, x.dtype)
    if x.shape[-1] == 0:  # a sum of nothing is the sum of one 0
        x, weight = np.zeros((*x.shape[:-1], 1), x.dtype), np.zeros((len(weight), 1), x.dtype)
    rows = as_rows(x)
    y = empty((len(rows), len(weight)), x.dtype)
    product(rows, weight.T, y, bias=bias, addend=None if residual is None else as_rows(residual), **epilogue)
    return y.reshape(shape)


def linear_forward(x, weight, bias, residual=None):
    """The compiled twin of ops/linear.py."""
    return _dense(x, weight, bias, residual), (x, weight, bias is not None)


def linear_backward(dy, cache):
    """The compiled twin of ops/linear.py."""
    expect("dense layer", "dy", dy, (*cache.x.shape[:-1], len(cache.weight)), cache.x.dtype)
    dy_rows = as_rows(dy)
    dbias = column_sums(dy_rows) if cache.has_bias else None
    dweight = matmul(dy_rows.T, as_rows(cache.x))
    dx = matmul(dy_rows, cache.weight)
    return dx.reshape(cache.x.shape), dweight, dbias


def dense_activation_forward(x, weight, bias, activation):
    """The compiled twin of ops/fused/dense_activation.py."""
    kept = None if activation in FROM_OUTPUT else empty((*x.shape[:-1], len(weight)), x.dtype)
    y = _dense(x, weight, bias, kind=ACTIVATIONS[activation], kept=kept)
    return y, (x, weight, activation, y if kept is None else kept)


def dense_nonorm_forward(x, weight, bias, residual, scale, shift):
    """The compiled twin of ops/fused/dense_nonorm.py."""
    s = empty((*x.shape[:-1], len(weight)), x.dtype)
    y = _dense(x, weight, bias, residual, kind=SCALE_SHIFT, kept=s, scale=scale, shift=shift)
    return y, (x, weight, s, scale)
