"""NoNorm's scale and shift, and sums over rows (see ops/nonorm.py for the equations)."""

import numpy as np

from .backend import by_backend
from .jit import jit_parallel, prange
from .memory import empty_like
from .multiply_add import multiply_add
from .reductions import block_sums
from .rows import ROWS_PER_BLOCK, as_rows, block_count, compact


def scale_shift_forward_numpy(x, weight, bias):
    """y = weight * x + bias; x [..., N], weight [N], bias [N] -> y [..., N]"""
    return weight * x + bias


def scale_shift_backward_numpy(dy, x, weight):
    """dy, x [..., N], weight [N] -> dx [..., N], dweight [N], dbias [N]"""
    tokens = tuple(range(dy.ndim - 1))
    return dy * weight, (dy * x).sum(axis=tokens), dy.sum(axis=tokens)


@jit_parallel
def _scale_shift_forward(x, weight, bias, y):
    for i in prange(x.shape[0]):
        for j in range(x.shape[1]):
            y[i, j] = multiply_add(weight[j], x[i, j], bias[j])


@jit_parallel
def _scale_shift_backward(dy, x, weight, dx, dweights, dbiases):
    rows = x.shape[0]
    for block in prange(dweights.shape[0]):
        dweight, dbias = dweights[block], dbiases[block]
        for i in range(block * ROWS_PER_BLOCK, min((block + 1) * ROWS_PER_BLOCK, rows)):
            for j in range(x.shape[1]):
                dx[i, j] = dy[i, j] * weight[j]
                dweight[j] = multiply_add(dy[i, j], x[i, j], dweight[j])
                dbias[j] += dy[i, j]


def scale_shift_forward_numba(x, weight, bias):
    """The compiled twin of `scale_shift_forward_numpy`."""
    rows = as_rows(x)
    y = empty_like(rows)
    _scale_shift_forward(rows, compact(weight), compact(bias), y)
    return y.reshape(x.shape)


def scale_shift_backward_numba(dy, x, weight):
    """The compiled twin of `scale_shift_backward_numpy`."""
    dy_rows, x_rows = as_rows(dy), as_rows(x)
    dx = empty_like(x_rows)
    dweights, dbiases = np.zeros((2, block_count(len(x_rows)), x_rows.shape[1]), x.dtype)
    _scale_shift_backward(dy_rows, x_rows, compact(weight), dx, dweights, dbiases)
    return dx.reshape(x.shape), block_sums(dweights), block_sums(dbiases)


scale_shift_forward = by_backend(numpy=scale_shift_forward_numpy, numba=scale_shift_forward_numba)
scale_shift_backward = by_backend(numpy=scale_shift_backward_numpy, numba=scale_shift_backward_numba)
