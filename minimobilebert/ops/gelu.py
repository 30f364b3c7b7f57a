"""GELU, BERT's activation: x times the chance that a standard normal number is below x. Two forms.

The erf form, exact; Phi is the normal distribution function and phi its density:

    y  = x Phi(x),               Phi(x) = (1 + erf(x / sqrt 2)) / 2
    dx = dy (Phi(x) + x phi(x)), phi(x) = e^(-x^2 / 2) / sqrt(2 pi)

The tanh form, an approximation within 5e-4, which the paper's code and its released teacher use:

    y  = x (1 + tanh u) / 2,              u = sqrt(2/pi) (x + 0.044715 x^3)
    dx = dy (s + x s (1 - s) 2u'),        u' = sqrt(2/pi) (1 + 3 * 0.044715 x^2)

with s = (1 + tanh u) / 2 = sigmoid(2u), which is how it is computed: one exponential and no cancellation.
"""

import math
from typing import NamedTuple

import numpy as np

from ..kernels import activations as kernel
from ..kernels.activation_scalars import CUBIC, FLAT, INVERSE_SQRT_2PI, SQRT_8_OVER_PI
from ..kernels.runtime.backend import accelerated_by

_erf = np.frompyfunc(math.erf, 1, 1)  # NumPy has no erf; one Python call an element is slow but plain


class GeluCache(NamedTuple):
    x: np.ndarray  # [...]; Phi, or s, is computed again in the backward: that is cheaper than reading it from memory


def _normal_cdf(x):
    """Phi(x), in float64"""
    return 0.5 + 0.5 * np.asarray(_erf(x.astype(np.float64) / math.sqrt(2.0)), dtype=np.float64)


def _sigmoid_2u(x):
    """s = 1 / (1 + e^(-2u))"""
    with np.errstate(over="ignore"):  # e^(-2u) = infinity is a sigmoid of 0
        return 1 / (1 + np.exp(x * (-SQRT_8_OVER_PI) * (1 + CUBIC * x * x)))


@accelerated_by(kernel.gelu_forward, cache=GeluCache)
def gelu_forward(x):
    """The erf form; x [...] -> y [...], cache"""
    return (x * _normal_cdf(x)).astype(x.dtype), GeluCache(x)


@accelerated_by(kernel.gelu_backward)
def gelu_backward(dy, cache):
    """dy [...] -> dx [...]"""
    x = np.clip(cache.x, -FLAT, FLAT)  # beyond, the slope is exactly 0 or 1: no infinity times 0
    density = INVERSE_SQRT_2PI * np.exp(-0.5 * x * x)
    return (dy * (_normal_cdf(x) + x * density)).astype(x.dtype)


@accelerated_by(kernel.gelu_tanh_forward, cache=GeluCache)
def gelu_tanh_forward(x):
    """The tanh form; x [...] -> y [...], cache"""
    return x * _sigmoid_2u(x), GeluCache(x)


@accelerated_by(kernel.gelu_tanh_backward)
def gelu_tanh_backward(dy, cache):
    """dy [...] -> dx [...]"""
    x = np.clip(cache.x, -FLAT, FLAT)
    s = _sigmoid_2u(x)
    return dy * (s + x * s * (1 - s) * SQRT_8_OVER_PI * (1 + 3 * CUBIC * x * x))
