"""Dropout: in training, each number is dropped with chance `rate`; the kept ones grow so the average stays.

    y  = x * keep / (1 - rate)        keep is 1 with chance 1 - rate, else 0
    dx = dy * keep / (1 - rate)
"""

from typing import NamedTuple

import numpy as np


class DropoutCache(NamedTuple):
    keep: np.ndarray  # [...] bool
    scale: float  # 1 / (1 - rate)


def dropout_forward(x, rate, rng):
    """x [...], rate in [0, 1), rng a numpy Generator or None -> y [...], cache

    Without a generator (evaluation) or with rate 0 nothing is drawn or copied: y is x itself and cache is None.
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"dropout rate: found {rate}, expected a number in [0, 1)")
    if rng is None or rate == 0.0:
        return x, None
    # float32 numbers whatever x is: the same seed drops the same places in both precisions.
    cache = DropoutCache(rng.random(x.shape, dtype=np.float32) >= rate, 1.0 / (1.0 - rate))
    return _apply(x, cache), cache


def dropout_backward(dy, cache):
    """dy [...] -> dx [...]; dy itself where the forward changed nothing"""
    return dy if cache is None else _apply(dy, cache)


def _apply(x, cache):
    # `where`, not a product: a dropped infinity is 0, not NaN.
    return np.where(cache.keep, x * x.dtype.type(cache.scale), x.dtype.type(0.0))
