"""tanh, in BERT's pooler.

    y  = tanh x
    dx = dy (1 - y^2)        a function of y alone, so the cache stores only y

x, y and their gradients have the same shape.
"""

from typing import NamedTuple

import numpy as np

from ..kernels import activations as kernel
from ..kernels.runtime.backend import accelerated_by


class TanhCache(NamedTuple):
    y: np.ndarray  # [...]


@accelerated_by(kernel.tanh_forward, cache=TanhCache)
def tanh_forward(x):
    """x [...] -> y [...], cache"""
    y = np.tanh(x)
    return y, TanhCache(y)


@accelerated_by(kernel.tanh_backward)
def tanh_backward(dy, cache):
    """dy [...] -> dx [...]"""
    return dy * (1 - cache.y * cache.y)
