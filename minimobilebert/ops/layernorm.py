"""Layer normalisation: each token gets mean 0 and variance 1 over its N features, then a learned scale and shift.

    1. mean = average of x                   over the N features of a token
    2. var  = average of (x - mean)^2        the population variance: divided by N, not by N - 1
    3. rstd = 1 / sqrt(var + eps)
    4. n    = (x - mean) * rstd
    5. y    = weight * n + bias

Backward, in reverse. n depends on x directly, through the mean and through rstd, which gives three terms:

    5.   dn = dy * weight        dweight = sum over tokens of dy * n        dbias = sum over tokens of dy
    1-4. dx = rstd * (dn - average(dn) - n * average(dn * n))

Without weight and bias there is no step 5. The released feature-map transfer uses that form (Section 3.4).

If all features of a token are equal, var = 0 and n = 0. With eps = 1e-12, as in BERT, rstd is then 1e6: y is the bias,
and dx is at most about 1e6 times dy, which is large but finite. float32 represents 1e-12 (its smallest normal number is
about 1e-38). It would lose 1e-12 in a sum with 1, but var + eps has no such 1.
"""

from typing import NamedTuple

import numpy as np

from ..kernels import layernorm as kernel
from ..kernels.runtime.backend import accelerated_by


class LayerNormCache(NamedTuple):
    # We store x and two numbers per token instead of n: the forward then writes only y, and the backward recomputes n
    # from x with one subtraction and one product.
    x: np.ndarray  # [..., N]
    mean: np.ndarray  # [..., 1]
    rstd: np.ndarray  # [..., 1]
    weight: np.ndarray | None  # [N]


@accelerated_by(kernel.layernorm_forward, cache=LayerNormCache)
def layernorm_forward(x, weight, bias, eps=1e-12):
    """x [..., N], weight and bias [N] or both None -> y [..., N], cache"""
    mean = x.mean(axis=-1, keepdims=True)  # step 1
    # A rounded mean has an error. The mean of the deviations is that error, because it would be 0 otherwise.
    mean = mean + (x - mean).mean(axis=-1, keepdims=True)
    centred = x - mean
    var = (centred * centred).mean(axis=-1, keepdims=True)  # step 2
    rstd = 1 / np.sqrt(var + x.dtype.type(eps))  # step 3
    n = centred * rstd  # step 4
    y = n if weight is None else n * weight + bias  # step 5
    return y, LayerNormCache(x, mean, rstd, weight)


@accelerated_by(kernel.layernorm_backward)
def layernorm_backward(dy, cache):
    """dy [..., N] -> dx [..., N], dweight [N], dbias [N] (both None if the forward had no weight and bias)"""
    n = (cache.x - cache.mean) * cache.rstd  # forward, step 4
    if cache.weight is None:
        dn, dweight, dbias = dy, None, None
    else:
        tokens = tuple(range(dy.ndim - 1))
        dn = dy * cache.weight  # step 5: y = weight * n + bias
        dweight, dbias = (dy * n).sum(axis=tokens), dy.sum(axis=tokens)
    mean_dn, mean_dn_n = dn.mean(axis=-1, keepdims=True), (dn * n).mean(axis=-1, keepdims=True)
    return cache.rstd * (dn - mean_dn - n * mean_dn_n), dweight, dbias  # steps 4 to 1
