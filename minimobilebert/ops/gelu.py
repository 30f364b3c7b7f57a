"""GELU, BERT's activation: x times the chance that a standard normal number is below x. Two forms.

The erf form, exact; Phi is the normal distribution function and phi its density:

    y  = x Phi(x),               Phi(x) = (1 + erf(x / sqrt 2)) / 2
    dx = dy (Phi(x) + x phi(x)), phi(x) = e^(-x^2 / 2) / sqrt(2 pi)

The tanh form, an approximation within 5e-4, which the paper's code and its released teacher use:

    y  = x (1 + tanh u) / 2,              u = sqrt(2/pi) (x + 0.044715 x^3)
    dx = dy (s + x s (1 - s) 2u'),        u' = sqrt(2/pi) (1 + 3 * 0.044715 x^2)

with s = (1 + tanh u) / 2 = sigmoid(2u), which is how it is computed: one exponential and no cancellation.
"""

from typing import NamedTuple

import numpy as np

from ..kernels import activations


class GeluCache(NamedTuple):
    x: np.ndarray  # [...]; Phi, or s, is computed again in the backward: that is cheaper than reading it from memory


def gelu_forward(x):
    """The erf form; x [...] -> y [...], cache"""
    return activations.gelu_forward(x), GeluCache(x)


def gelu_backward(dy, cache):
    """dy [...] -> dx [...]"""
    return activations.gelu_backward(dy, cache.x)


def gelu_tanh_forward(x):
    """The tanh form; x [...] -> y [...], cache"""
    return activations.gelu_tanh_forward(x), GeluCache(x)


def gelu_tanh_backward(dy, cache):
    """dy [...] -> dx [...]"""
    return activations.gelu_tanh_backward(dy, cache.x)
