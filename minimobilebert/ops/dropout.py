"""Dropout: training sets each number to 0 with probability `rate` and scales the others, so that the mean is unchanged.

    y  = x * keep / (1 - rate)        keep is 1 with probability 1 - rate, else 0
    dx = dy * keep / (1 - rate)

x, y and their gradients have the same shape.
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
    """Draw the mask of the kept numbers. `rate` is rounded to a multiple of 1/65536 (0.1 becomes 0.100006).

    rng a numpy Generator -> [shape] bool; the mask depends on the seed and the shape, not on the dtype of x
    """
    # We cut each 64 random bits into four 16-bit integers: one float per number would take four times as long.
    count = math.prod(shape)
    numbers = rng.bit_generator.random_raw(-(-count // 4)).view(np.uint16)[:count]
    return (numbers >= round(rate * 65536)).reshape(shape)


@accelerated_by(kernel.drop)
def drop(x, keep, scale):
    """y = scale * x where keep, else 0; x [...], keep [...] bool -> y [...]"""
    # `where` instead of a product: a dropped infinity becomes 0, but infinity * 0 is NaN.
    return np.where(keep, x * x.dtype.type(scale), x.dtype.type(0.0))


def dropout_forward(x, rate, rng):
    """x [...], rate in [0, 1), rng a numpy Generator or None -> y [...], cache

    Without a generator (evaluation) or with rate 0, y is x itself and cache is None. ValueError for another rate.
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"dropout rate: found {rate}, expected a number in [0, 1)")
    if rng is None or rate == 0.0:
        return x, None
    cache = DropoutCache(draw_keep(rng, x.shape, rate), 1.0 / (1.0 - rate))
    return drop(x, cache.keep, cache.scale), cache


def dropout_backward(dy, cache):
    """dy [...] -> dx [...]; dy itself if the forward returned x itself"""
    return dy if cache is None else drop(dy, cache.keep, cache.scale)
