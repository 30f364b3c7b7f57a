"""Drop and scale, one pass (see ops/dropout.py).

    x [N], keep [N] bool   ->   y[i] = x[i] * scale, or 0

Each number is read once and written once.
"""

from .rows import contiguous
from .runtime.jit import jit_parallel, prange
from .runtime.memory import empty


@jit_parallel
def _drop(x, keep, scale, y):
    zero = x.dtype.type(0.0)
    for i in prange(x.size):
        y[i] = x[i] * scale if keep[i] else zero


def drop(x, keep, scale):
    """The compiled twin of ops/dropout.py."""
    y = empty(x.shape, x.dtype)
    _drop(contiguous(x).reshape(-1), contiguous(keep).reshape(-1), x.dtype.type(scale), y.reshape(-1))
    return y
