"""Layer normalisation over the last axis (see ops/layernorm.py for the equations).

    thread = row      x[i, :]  ->  mean  ->  y = x - mean  ->  correction, variance  ->  y = weight * y * rstd + bias

A row stays in the first-level cache for its passes. The variance is taken in two passes with a correction: first a
mean, then the deviations from it and their sum. That sum would be 0 in exact arithmetic; where it is not, it corrects
the mean. In float32 this keeps a row of equal large numbers at deviation 0 rather than at the rounding error of their
mean.
"""

import numpy as np

from .multiply_add import multiply_add
from .reductions import block_sums
from .rows import ROWS_PER_BLOCK, as_rows, block_count, contiguous
from .runtime.jit import jit, jit_parallel, prange
from .runtime.memory import empty_like
from .sums import sum_and_dot_of, sum_of


@jit
def normalize_row(x, weight, bias, eps, y):
    """One row, x and y [N], which may be the same -> mean, rstd"""
    zero, one, count = x.dtype.type(0.0), x.dtype.type(1.0), x.dtype.type(x.size)
    first = sum_of(x) / count
    for j in range(x.size):
        y[j] = x[j] - first
    total, squares = sum_and_dot_of(y, y)
    correction = total / count
    variance = squares / count - correction * correction
    rstd = one / np.sqrt(max(variance, zero) + eps)
    for j in range(x.size):
        y[j] = multiply_add((y[j] - correction) * rstd, weight[j], bias[j])
    return first + correction, rstd


@jit_parallel
def _layernorm_forward(x, weight, bias, eps, y, mean, rstd):
    for i in prange(x.shape[0]):
        mean[i], rstd[i] = normalize_row(x[i], weight, bias, eps, y[i])


@jit_parallel
def _layernorm_backward(dy, x, mean, rstd, weight, dx, dweights, dbiases):
    rows, size = x.shape
    count = x.dtype.type(size)
    for block in prange(dweights.shape[0]):
        dweight, dbias = dweights[block], dbiases[block]
        normalized, dnormalized = np.empty(size, x.dtype), np.empty(size, x.dtype)
        for i in range(block * ROWS_PER_BLOCK, min((block + 1) * ROWS_PER_BLOCK, rows)):
            m, r = mean[i], rstd[i]
            for j in range(size):
                normalized[j] = (x[i, j] - m) * r
                dnormalized[j] = dy[i, j] * weight[j]
            total, along = sum_and_dot_of(dnormalized, normalized)
            average, along = total / count, along / count
            for j in range(size):
                dx[i, j] = r * (dnormalized[j] - average - normalized[j] * along)
            for j in range(size):
                dweight[j] = multiply_add(dy[i, j], normalized[j], dweight[j])
                dbias[j] += dy[i, j]


def layernorm_forward(x, weight, bias, eps=1e-12):
    """The compiled twin of ops/layernorm.py."""
    rows, size = as_rows(x), x.shape[-1]
    y, mean, rstd = empty_like(rows), np.empty(len(rows), x.dtype), np.empty(len(rows), x.dtype)
    scale = np.ones(size, x.dtype) if weight is None else contiguous(weight)
    shift = np.zeros(size, x.dtype) if bias is None else contiguous(bias)
    _layernorm_forward(rows, scale, shift, x.dtype.type(eps), y, mean, rstd)
    one_a_token = (*x.shape[:-1], 1)
    return y.reshape(x.shape), (x, mean.reshape(one_a_token), rstd.reshape(one_a_token), weight)


def layernorm_backward(dy, cache):
    """The compiled twin of ops/layernorm.py."""
    dy_rows, x_rows = as_rows(dy), as_rows(cache.x)
    size = x_rows.shape[1]
    weight = np.ones(size, dy.dtype) if cache.weight is None else contiguous(cache.weight)
    dx = empty_like(x_rows)
    dweights, dbiases = np.zeros((2, block_count(len(x_rows)), size), dy.dtype)
    _layernorm_backward(
        dy_rows, x_rows, cache.mean.reshape(-1), cache.rstd.reshape(-1), weight, dx, dweights, dbiases
    )  # fmt: skip
    dx = dx.reshape(cache.x.shape)
    return (dx, None, None) if cache.weight is None else (dx, block_sums(dweights), block_sums(dbiases))
