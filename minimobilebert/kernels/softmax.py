"""Softmax over the last axis (see ops/softmax.py for the equations).

    thread = row      x[i, :]  ->  maximum  ->  y = e^(x - maximum)  ->  sum  ->  y / sum

A row stays in the first-level cache for its four passes.
"""

from .exponential import exp_scalar
from .rows import as_rows, row_maximum
from .runtime.jit import jit, jit_parallel, prange
from .runtime.memory import empty_like
from .sums import dot_of, sum_of


@jit
def softmax_row(x, y):
    """y = softmax(x) for one row [N] -> the row's maximum, and the sum of e^(x - maximum)"""
    largest = row_maximum(x)
    for j in range(x.size):
        y[j] = exp_scalar(x[j] - largest)
    total = sum_of(y)
    scale = x.dtype.type(1.0) / total
    for j in range(x.size):
        y[j] *= scale
    return largest, total


@jit_parallel
def _softmax_forward(x, y):
    for i in prange(x.shape[0]):
        softmax_row(x[i], y[i])


@jit_parallel
def _softmax_backward(dy, y, dx):
    for i in prange(y.shape[0]):
        along = dot_of(dy[i], y[i])
        for j in range(y.shape[1]):
            dx[i, j] = y[i, j] * (dy[i, j] - along)


def softmax_forward(x):
    """The compiled twin of ops/softmax.py."""
    rows = as_rows(x)
    y = empty_like(rows)
    _softmax_forward(rows, y)
    y = y.reshape(x.shape)
    return y, (y,)


def softmax_backward(dy, cache):
    """The compiled twin of ops/softmax.py."""
    y_rows = as_rows(cache.y)
    dx = empty_like(y_rows)
    _softmax_backward(as_rows(dy), y_rows, dx)
    return dx.reshape(dy.shape)
