"""NoNorm: MobileBERT's replacement for layer normalisation (Section 3.3, Equation 1).

    y = weight * x + bias            elementwise over the features

It computes no mean and no variance, so it is much cheaper than LayerNorm. It also does not bound y: the activations of
the released model reach 1e7.

Backward, from dy = dL/dy:

    dx      = dy * weight
    dweight = sum over all tokens of dy * x
    dbias   = sum over all tokens of dy
"""

from typing import NamedTuple

import numpy as np

from ..kernels import nonorm as kernel
from ..kernels.runtime.backend import accelerated_by


class NoNormCache(NamedTuple):
    x: np.ndarray  # [..., N]
    weight: np.ndarray  # [N]


@accelerated_by(kernel.nonorm_forward, cache=NoNormCache)
def nonorm_forward(x, weight, bias):
    """x [..., N], weight [N], bias [N] -> y [..., N], cache"""
    return weight * x + bias, NoNormCache(x, weight)


@accelerated_by(kernel.nonorm_backward)
def nonorm_backward(dy, cache):
    """dy [..., N] -> dx [..., N], dweight [N], dbias [N]"""
    tokens = tuple(range(dy.ndim - 1))
    return dy * cache.weight, (dy * cache.x).sum(axis=tokens), dy.sum(axis=tokens)
