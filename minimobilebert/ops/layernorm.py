"""Layer normalisation: every token is brought to mean 0 and variance 1 over its own features.

    1. mean = average of x          over the N features of a token
    2. var  = average of (x - mean)^2        the population variance: divided by N, not by N - 1
    3. rstd = 1 / sqrt(var + eps)
    4. n    = (x - mean) * rstd
    5. y    = weight * n + bias

Backward, in reverse. x reaches n directly, through the mean and through rstd; the two averages are those paths:

    5. dn = dy * weight        dweight = sum over tokens of dy * n        dbias = sum over tokens of dy
    1-4. dx = rstd * (dn - average(dn) - n * average(dn * n))

Without weight and bias steps 5 fall away; feature-map transfer uses that form (Section 3.4, released code).

A token whose features are all equal has var = 0 and n = 0. eps = 1e-12 (the paper's) keeps rstd at 1e6 there,
so y is the bias and dx is at most about 1e6 times dy: large, finite, and never 0/0. float32 holds 1e-12 with
room to spare (its smallest normal number is 1e-38); what it would lose is 1 + 1e-12, which nobody computes here.
"""

from typing import NamedTuple

import numpy as np

from ..kernels import layernorm as kernel


class LayerNormCache(NamedTuple):
    # x and two numbers a token, instead of n: the forward then writes y alone, and the backward gets n back
    # with one subtraction and one product while it reads x.
    x: np.ndarray  # [..., N]
    mean: np.ndarray  # [..., 1]
    rstd: np.ndarray  # [..., 1]
    weight: np.ndarray | None  # [N]


def layernorm_forward(x, weight, bias, eps=1e-12):
    """x [..., N], weight and bias [N] or both None -> y [..., N], cache"""
    size = x.shape[-1]
    scale = np.ones(size, x.dtype) if weight is None else weight
    shift = np.zeros(size, x.dtype) if bias is None else bias
    y, mean, rstd = kernel.layernorm_forward(x, scale, shift, eps)
    return y, LayerNormCache(x, mean, rstd, weight)


def layernorm_backward(dy, cache):
    """dy [..., N] -> dx [..., N], dweight [N], dbias [N] (both None where the forward had none)"""
    if cache.weight is None:
        ones = np.ones(dy.shape[-1], dy.dtype)
        return kernel.layernorm_backward(dy, cache.x, cache.mean, cache.rstd, ones)[0], None, None
    return kernel.layernorm_backward(dy, cache.x, cache.mean, cache.rstd, cache.weight)
