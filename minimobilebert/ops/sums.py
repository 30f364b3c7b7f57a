"""Sums over arrays, rows and columns, for losses, norms and gradients outside of an operation.

The rounding of NumPy's sums and dot products depends on its version, the processor and the BLAS library. The compiled
versions add in a fixed order: along a row that of kernels/sums.py, over blocks of rows that of the blocks.
"""

import numpy as np

from ..kernels import reductions as kernel
from ..kernels.runtime.backend import accelerated_by


@accelerated_by(kernel.dot)
def dot(x, y):
    """sum over all elements of x * y; x and y have the same shape -> float"""
    return float(np.vdot(x, y))


@accelerated_by(kernel.row_sums)
def row_sums(x):
    """x [..., N] -> [...]"""
    return x.sum(axis=-1)


@accelerated_by(kernel.row_dots)
def row_dots(x, y):
    """sum over the last axis of x * y; x, y [..., N] -> [...]"""
    return (x * y).sum(axis=-1)


@accelerated_by(kernel.column_sums)
def column_sums(x):
    """sum over all axes but the last: x [..., N] -> [N]"""
    return x.sum(axis=tuple(range(x.ndim - 1)))
