"""Dropout: in training, each number is dropped with chance `rate`; the kept ones grow so the average stays.

    y  = x * keep / (1 - rate)        keep is 1 with chance 1 - rate, else 0
    dx = dy * keep / (1 - rate)

x, y and their gradients have one shape, whatever it is.
"""

import math
from typing import NamedTuple

import numpy as np

from ..kernels import dropout as kernel
from ..kernels.runtime.backend import accelerated_by


class DropoutCache(NamedTuple):
    keep: np.ndarray  # [...] bool
    scale: float  # 1 / (1 - rate)


def draw_keep(rng, shape, rate):
    """Which numbers stay: each with chance 1 - rate, and rate counts in steps of 1/65536 (0.1 is 0.100006).

    rng a numpy Generator -> [shape] bool; the same seed keeps the same places whatever the type of the numbers is
    """
    # Four 16-bit numbers out of each 64 random bits: drawing a float for each place takes four times as long.
    count = math.prod(shape)
    numbers = rng.bit_generator.random_raw(-(-count // 4)).view(np.uint16)[:count]
    return (numbers >= round(rate * 65536)).reshape(shape)


@accelerated_by(kernel.drop)
def drop(x, keep, scale):
    """y = scale * x where keep, else 0; x [...], keep [...] bool -> y [...]"""
    # `where`, not a product: a dropped infinity is 0, not NaN.
    return np.where(keep, x * x.dtype.type(scale), x.dtype.type(0.0))


def dropout_forward(x, rate, rng):
    """x [...], rate in [0, 1), rng a numpy Generator or None -> y [...], cache

    Without a generator (evaluation) or with rate 0 nothing is drawn or copied: y is x itself and cache is None.
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"dropout rate: found {rate}, expected a number in [0, 1)")
    if rng is None or rate == 0.0:
        return x, None
    cache = DropoutCache(draw_keep(rng, x.shape, rate), 1.0 / (1.0 - rate))
    return drop(x, cache.keep, cache.scale), cache


def dropout_backward(dy, cache):
    """dy [...] -> dx [...]; dy itself where the forward changed nothing"""
    return dy if cache is None else drop(dy, cache.keep, cache.scale)
