"""ReLU, the released MobileBERT's activation: cheaper than GELU on a phone (Section 3.3).

    y  = max(x, 0)
    dx = dy where x > 0, else 0        at x = 0 there is a kink; 0 is returned there, as everywhere else in the field
"""

from typing import NamedTuple

import numpy as np

from ..kernels import activations


class ReluCache(NamedTuple):
    x: np.ndarray  # [...]


def relu_forward(x):
    """x [...] -> y [...], cache"""
    return activations.relu_forward(x), ReluCache(x)


def relu_backward(dy, cache):
    """dy [...] -> dx [...]"""
    return activations.relu_backward(dy, cache.x)
