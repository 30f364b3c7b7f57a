"""tanh, in BERT's pooler.

    y  = tanh x
    dx = dy (1 - y^2)        needs only y, so y is what the cache keeps
"""

from typing import NamedTuple

import numpy as np

from ..kernels import activations


class TanhCache(NamedTuple):
    y: np.ndarray  # [...]


def tanh_forward(x):
    """x [...] -> y [...], cache"""
    y = activations.tanh_forward(x)
    return y, TanhCache(y)


def tanh_backward(dy, cache):
    """dy [...] -> dx [...]"""
    return activations.tanh_backward(dy, cache.y)
