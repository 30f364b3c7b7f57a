"""NoNorm: scale and shift, and the sums over tokens of its backward (see ops/nonorm.py for the equations).

    forward     thread = row               x[i, :]           ->  y[i, :]
    backward    thread = block of rows     dy, x[block, :]   ->  dx[block, :]
                                                             ->  dweights[block, :], dbiases[block, :]   [N] each
                then, in the order of the blocks: dweight, dbias = sum over blocks

A block's two sums [N] stay in the first-level cache while its rows go by.
"""

import numpy as np

from .gemm.views import view
from .multiply_add import multiply_add
from .reductions import block_sums
from .rows import ROWS_PER_BLOCK, as_rows, block_count, contiguous
from .runtime.jit import jit, jit_parallel, prange
from .runtime.memory import empty_like


@jit_parallel
def _nonorm_forward(x, weight, bias, y):
    for i in prange(x.shape[0]):
        for j in range(x.shape[1]):
            y[i, j] = multiply_add(weight[j], x[i, j], bias[j])


@jit
def nonorm_backward_of_rows(dy, x, weight, dx, dweight, dbias):
    """As ops/nonorm.py for some rows: dy, x, dx [R, N]; what they give is added to dweight and dbias [N]"""
    N = weight.size
    for i in range(dy.shape[0]):
        dy_row, x_row, dx_row = view(dy, (i, 0), (N,)), view(x, (i, 0), (N,)), view(dx, (i, 0), (N,))
        for j in range(N):
            dx_row[j] = dy_row[j] * weight[j]
            dweight[j] = multiply_add(dy_row[j], x_row[j], dweight[j])
            dbias[j] += dy_row[j]


@jit_parallel
def _nonorm_backward(dy, x, weight, dx, dweights, dbiases):
    for block in prange(dweights.shape[0]):
        rows = slice(block * ROWS_PER_BLOCK, min((block + 1) * ROWS_PER_BLOCK, x.shape[0]))
        nonorm_backward_of_rows(dy[rows], x[rows], weight, dx[rows], dweights[block], dbiases[block])


def nonorm_forward(x, weight, bias):
    """The compiled twin of ops/nonorm.py."""
    rows = as_rows(x)
    y = empty_like(rows)
    _nonorm_forward(rows, contiguous(weight), contiguous(bias), y)
    return y.reshape(x.shape), (x, weight)


def nonorm_backward(dy, cache):
    """The compiled twin of ops/nonorm.py."""
    dy_rows, x_rows = as_rows(dy), as_rows(cache.x)
    dx = empty_like(x_rows)
    dweights, dbiases = np.zeros((2, block_count(len(x_rows)), x_rows.shape[1]), dy.dtype)
    _nonorm_backward(dy_rows, x_rows, contiguous(cache.weight), dx, dweights, dbiases)
    return dx.reshape(cache.x.shape), block_sums(dweights), block_sums(dbiases)
