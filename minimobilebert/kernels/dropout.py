"""Drop and scale, one pass (see ops/dropout.py)."""

import numpy as np

from .backend import by_backend
from .jit import jit_parallel, prange
from .memory import empty
from .rows import compact


def drop_numpy(x, keep, scale):
    """y = scale * x where keep, else 0; x [...], keep [...] bool -> y [...]"""
    # `where`, not a product: a dropped infinity is 0, not NaN.
    return np.where(keep, x * x.dtype.type(scale), x.dtype.type(0.0))


@jit_parallel
def _drop(x, keep, scale, y):
    zero = x.dtype.type(0.0)
    for i in prange(x.size):
        y[i] = x[i] * scale if keep[i] else zero


def drop_numba(x, keep, scale):
    """The compiled twin of `drop_numpy`."""
    y = empty(x.shape, x.dtype)
    _drop(compact(x).reshape(-1), compact(keep).reshape(-1), x.dtype.type(scale), y.reshape(-1))
    return y


drop = by_backend(numpy=drop_numpy, numba=drop_numba)
