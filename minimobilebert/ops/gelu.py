"""GELU, BERT's activation: x times the probability that a standard normal variable is below x. It has two forms.

The erf form is exact. Phi is the standard normal distribution function and phi its density:

    y  = x Phi(x),               Phi(x) = (1 + erf(x / sqrt 2)) / 2
    dx = dy (Phi(x) + x phi(x)), phi(x) = e^(-x^2 / 2) / sqrt(2 pi)

The tanh form approximates it with an absolute error below 5e-4. The released code and teacher use it:

    y  = x (1 + tanh u) / 2,              u = sqrt(2/pi) (x + 0.044715 x^3)
    dx = dy (s + x s (1 - s) 2u'),        u' = sqrt(2/pi) (1 + 3 * 0.044715 x^2)

with s = (1 + tanh u) / 2 = sigmoid(2u). We compute the sigmoid: it needs one exponential and has no cancellation.
"""

import math
from typing import NamedTuple

import numpy as np

from ..kernels import activations as kernel
from ..kernels.activation_scalars import CUBIC, FLAT, INVERSE_SQRT_2PI, SQRT_8_OVER_PI
from ..kernels.runtime.backend import accelerated_by

_erf = np.frompyfunc(math.erf, 1, 1)  # NumPy has no erf; one Python call per element is simple and slow


@accelerated_by(kernel.erf)
def erf(x):
    """x [...] -> the error function of each number, in float64"""
    return np.asarray(_erf(x.astype(np.float64)), dtype=np.float64)


class GeluCache(NamedTuple):
    x: np.ndarray  # [...]; the backward recomputes Phi or s: that is cheaper than storing and reading it


def _normal_cdf(x):
    """Phi(x), in float64"""
    return 0.5 + 0.5 * erf(x.astype(np.float64) / math.sqrt(2.0))


def _sigmoid_2u(x):
    """s = 1 / (1 + e^(-2u))"""
    with np.errstate(over="ignore"):  # where e^(-2u) overflows to infinity, the sigmoid is 0
        return 1 / (1 + np.exp(x * (-SQRT_8_OVER_PI) * (1 + CUBIC * x * x)))


@accelerated_by(kernel.gelu_forward, cache=GeluCache)
def gelu_forward(x):
    """The erf form; x [...] -> y [...], cache"""
    return (x * _normal_cdf(x)).astype(x.dtype), GeluCache(x)


@accelerated_by(kernel.gelu_backward)
def gelu_backward(dy, cache):
    """dy [...] -> dx [...]"""
    x = np.clip(cache.x, -FLAT, FLAT)  # beyond FLAT the derivative is exactly 0 or 1; this avoids infinity * 0
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
