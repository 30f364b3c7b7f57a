"""tanh, in BERT's pooler.

    y  = tanh x
    dx = dy (1 - y^2)        needs only y, so y is what the cache keeps

x, y and their gradients have one shape, whatever it is.
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
