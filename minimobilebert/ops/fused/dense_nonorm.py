"""A dense layer, the residual and NoNorm in one pass: the end of every sublayer of a MobileBERT block (Section 3.3).

    1. s = x W^T + b + residual
    2. y = scale * s + shift                 NoNorm, see ops/nonorm.py

Backward, in reverse, from dy = dL/dy:

    2. ds = dy * scale      dscale = sum over tokens of dy * s      dshift = sum over tokens of dy
    1. dx = ds W            dW = ds^T x      db = scale * dshift    dresidual = ds

db is the sum of ds over tokens. It needs no second sum: sum(dy * scale) = scale * sum(dy) = scale * dshift.
"""

from typing import NamedTuple

import numpy as np

from ...kernels import linear as kernel
from ...kernels.runtime.backend import accelerated_by
from ..linear import LinearCache, linear_backward, linear_forward
from ..nonorm import NoNormCache, nonorm_backward, nonorm_forward


class DenseNoNormCache(NamedTuple):
    x: np.ndarray  # [..., in]
    weight: np.ndarray  # [out, in]
    s: np.ndarray  # [..., out] step 1
    scale: np.ndarray  # [out]


@accelerated_by(kernel.dense_nonorm_forward, cache=DenseNoNormCache)
def dense_nonorm_forward(x, weight, bias, residual, scale, shift):
    """x [..., in], weight [out, in], bias, scale, shift [out], residual [..., out] or None -> y [..., out], cache"""
    s, _ = linear_forward(x, weight, bias, residual)
    y, _ = nonorm_forward(s, scale, shift)
    return y, DenseNoNormCache(x, weight, s, scale)


def dense_nonorm_backward(dy, cache):
    """dy [..., out]

    -> dx [..., in], dweight [out, in], dbias [out], dresidual [..., out], dscale [out], dshift [out]
    """
    ds, dscale, dshift = nonorm_backward(dy, NoNormCache(cache.s, cache.scale))  # step 2
    dx, dweight, _ = linear_backward(ds, LinearCache(cache.x, cache.weight, has_bias=False))  # step 1
    return dx, dweight, cache.scale * dshift, ds, dscale, dshift
