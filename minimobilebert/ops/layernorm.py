"""Layer normalisation: every token is brought to mean 0 and variance 1 over its own features.

    1. mean = average of x          over the N features of a token
    2. var  = average of (x - mean)^2        the population variance: divided by N, not by N - 1
    3. rstd = 1 / sqrt(var + eps)
    4. n    = (x - mean) * rstd
    5. y    = weight * n + bias

Backward, in reverse. x reaches n directly, through the mean and through rstd; the two averages are those paths:

    5. dn = dy * weight        dweight = sum over tokens of dy * n        dbias = sum over tokens of dy
    1-4. dx = rstd * (dn - average(dn) - n * average(dn * n))

Without weight and bias step 5 falls away; feature-map transfer uses that form (Section 3.4, released code).

A token whose features are all equal has var = 0 and n = 0. eps = 1e-12 (the paper's) keeps rstd at 1e6 there,
so y is the bias and dx is at most about 1e6 times dy: large, finite, and never 0/0. float32 holds 1e-12 with
room to spare (its smallest normal number is 1e-38); what it would lose is 1 + 1e-12, which nobody computes here.
"""

from typing import NamedTuple

import numpy as np

from ..kernels import layernorm as kernel
from ..kernels.runtime.backend import accelerated_by


class LayerNormCache(NamedTuple):
    # x and two numbers a token, instead of n: the forward then writes y alone, and the backward gets n back
    # with one subtraction and one product while it reads x.
    x: np.ndarray  # [..., N]
    mean: np.ndarray  # [..., 1]
    rstd: np.ndarray  # [..., 1]
    weight: np.ndarray | None  # [N]


@accelerated_by(kernel.layernorm_forward, cache=LayerNormCache)
def layernorm_forward(x, weight, bias, eps=1e-12):
    """x [..., N], weight and bias [N] or both None -> y [..., N], cache"""
    mean = x.mean(axis=-1, keepdims=True)  # step 1
    # The mean of many large numbers is rounded. Its error is the mean of the deviations, which would else be 0.
    mean = mean + (x - mean).mean(axis=-1, keepdims=True)
    centred = x - mean
    var = (centred * centred).mean(axis=-1, keepdims=True)  # step 2
    rstd = 1 / np.sqrt(var + x.dtype.type(eps))  # step 3
    n = centred * rstd  # step 4
    y = n if weight is None else n * weight + bias  # step 5
    return y, LayerNormCache(x, mean, rstd, weight)


@accelerated_by(kernel.layernorm_backward)
def layernorm_backward(dy, cache):
    """dy [..., N] -> dx [..., N], dweight [N], dbias [N] (both None where the forward had none)"""
    n = (cache.x - cache.mean) * cache.rstd  # forward, step 4
    if cache.weight is None:
        dn, dweight, dbias = dy, None, None
    else:
        tokens = tuple(range(dy.ndim - 1))
        dn = dy * cache.weight  # step 5: y = weight * n + bias
        dweight, dbias = (dy * n).sum(axis=tokens), dy.sum(axis=tokens)
    average, along = dn.mean(axis=-1, keepdims=True), (dn * n).mean(axis=-1, keepdims=True)
    return cache.rstd * (dn - average - n * along), dweight, dbias  # steps 4 to 1
