"""Matrix products of a dense layer with what follows them done in the same pass (see ops/linear*.py for the equations).

The product's tiles are finished while they are in the first-level cache (finish.py), so bias, residual, activation
and NoNorm cost a few percent of the product instead of a pass through memory each.
"""

import numpy as np

from .activations import ACTIVATION_BACKWARD, ACTIVATION_FORWARD
from .backend import by_backend
from .finish import ACTIVATIONS, GATES, NOTHING, SCALE_SHIFT
from .jit import jit_parallel, prange
from .matmul import product
from .memory import empty
from .reductions import block_sums
from .rows import ROWS_PER_BLOCK, as_rows, block_count


def dense_activation_numpy(x, weight, bias, activation):
    """y = activation(x W^T + b)

    x [R, in], weight [out, in], bias [out] -> y [R, out], and what the backward needs: y for ReLU, x W^T + b for GELU
    """
    s = x @ weight.T + bias
    y = ACTIVATION_FORWARD[activation].numpy_twin(s)
    return y, y if activation == "relu" else s


def dense_residual_numpy(x, weight, bias, residual):
    """x W^T + b + residual; x [R, in], residual [R, out] -> [R, out]"""
    return x @ weight.T + bias + residual


def dense_scale_shift_numpy(x, weight, bias, residual, scale, shift):
    """s = x W^T + b + residual, y = scale * s + shift; residual [R, out] or None -> y, s [R, out]"""
    s = x @ weight.T + bias
    if residual is not None:
        s = s + residual
    return scale * s + shift, s


def dense_dx_numpy(dy, weight, add, activation, kept):
    """dx = (dy W + add) * activation'(kept), with or without add, and with or without activation

    dy [R, out], add [R, in] or None, which is overwritten with the result, kept [R, in] or None -> [R, in]
    """
    dx = dy @ weight
    if add is not None:
        add += dx
        dx = add
    return dx if activation is None else ACTIVATION_BACKWARD[activation].numpy_twin(dx, kept)


def column_sums_numpy(x):
    """sum over rows; x [R, N] -> [N]"""
    return x.sum(axis=0)


def _product(a, b, out_columns, **more):
    return product(a, b, empty((a.shape[0], out_columns), a.dtype), **more)


def _no_product(x, weight):
    return not (x.size and weight.size)


def dense_activation_numba(x, weight, bias, activation):
    """The compiled twin of `dense_activation_numpy`."""
    x = as_rows(x)
    if _no_product(x, weight):
        return dense_activation_numpy(x, weight, bias, activation)
    shape = len(x), len(weight)
    kept = None if activation == "relu" else empty(shape, x.dtype)
    y = _product(x, weight.T, len(weight), bias=bias, kind=ACTIVATIONS[activation], kept=kept)
    return y, y if kept is None else kept


def dense_residual_numba(x, weight, bias, residual):
    """The compiled twin of `dense_residual_numpy`."""
    if _no_product(x, weight):
        return dense_residual_numpy(x, weight, bias, residual)
    return _product(x, weight.T, len(weight), bias=bias, add=residual)


def dense_scale_shift_numba(x, weight, bias, residual, scale, shift):
    """The compiled twin of `dense_scale_shift_numpy`."""
    if _no_product(x, weight):
        return dense_scale_shift_numpy(x, weight, bias, residual, scale, shift)
    s = empty((len(x), len(weight)), x.dtype)
    y = _product(
        x, weight.T, len(weight), bias=bias, add=residual, kind=SCALE_SHIFT, kept=s,
        scale=scale, shift=shift,
    )  # fmt: skip
    return y, s


def dense_dx_numba(dy, weight, add, activation, kept):
    """The compiled twin of `dense_dx_numpy`."""
    if _no_product(dy, weight):
        return dense_dx_numpy(dy, weight, add, activation, kept)
    out = empty((len(dy), weight.shape[1]), dy.dtype) if add is None else add
    kind = NOTHING if activation is None else GATES[activation]
    return product(dy, weight, out, add=add, kind=kind, kept=None if kind == NOTHING else as_rows(kept))


@jit_parallel
def _column_sums(x, sums):
    rows = x.shape[0]
    for block in prange(sums.shape[0]):
        total = sums[block]
        for i in range(block * ROWS_PER_BLOCK, min((block + 1) * ROWS_PER_BLOCK, rows)):
            for j in range(x.shape[1]):
                total[j] += x[i, j]


def column_sums_numba(x):
    """The compiled twin of `column_sums_numpy`."""
    x = as_rows(x)
    sums = np.zeros((block_count(len(x)), x.shape[1]), x.dtype)
    _column_sums(x, sums)
    return block_sums(sums)


dense_activation = by_backend(numpy=dense_activation_numpy, numba=dense_activation_numba)
dense_residual = by_backend(numpy=dense_residual_numpy, numba=dense_residual_numba)
dense_scale_shift = by_backend(numpy=dense_scale_shift_numpy, numba=dense_scale_shift_numba)
dense_dx = by_backend(numpy=dense_dx_numpy, numba=dense_dx_numba)
column_sums = by_backend(numpy=column_sums_numpy, numba=column_sums_numba)
