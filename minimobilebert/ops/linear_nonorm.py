"""A dense layer, the residual and NoNorm in one pass (Section 3.3): what ends every part of a MobileBERT block.

    1. s = x W^T + b + residual
    2. y = scale * s + shift                 NoNorm, see ops/nonorm.py

Backward, in reverse, from dy = dL/dy:

    2. ds = dy * scale      dscale = sum over tokens of dy * s      dshift = sum over tokens of dy
    1. dx = ds W            dW = ds^T x      db = scale * dshift    dresidual = ds

db needs no sum of its own: sum(dy * scale) = scale * sum(dy).
"""

from typing import NamedTuple

import numpy as np

from ..kernels.elementwise import scale_shift_backward
from ..kernels.linear import dense_scale_shift
from ..kernels.rows import as_rows
from .linear import LinearCache
from .linear_fused import linear_backward_fused


class LinearNoNormCache(NamedTuple):
    linear: LinearCache  # step 1
    s: np.ndarray  # [..., out]
    scale: np.ndarray  # [out]


def linear_nonorm_forward(x, weight, bias, residual, scale, shift):
    """x [..., in], weight [out, in], bias, scale, shift [out], residual [..., out] or None -> y [..., out], cache"""
    y, s = dense_scale_shift(
        as_rows(x), weight, bias, None if residual is None else as_rows(residual), scale, shift
    )  # fmt: skip
    shape = *x.shape[:-1], len(weight)
    return y.reshape(shape), LinearNoNormCache(LinearCache(x, weight, False), s.reshape(shape), scale)


def linear_nonorm_backward(dy, cache, *, add=None, through=None):
    """Reverse of `linear_nonorm_forward`; dy [..., out]; add and through as in `linear_backward_fused`

    -> dx [..., in], dweight [out, in], dbias [out], dresidual [..., out], dscale [out], dshift [out]
    """
    ds, dscale, dshift = scale_shift_backward(dy, cache.s, cache.scale)
    dx, dweight, _ = linear_backward_fused(ds, cache.linear, add=add, through=through)
    return dx, dweight, cache.scale * dshift, ds, dscale, dshift
