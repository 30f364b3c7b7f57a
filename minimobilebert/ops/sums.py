"""Sums over whole arrays, rows and columns, for what is not inside an operation: losses, norms, gradients.

NumPy's own sums and dot products depend on its version, on the processor and on the BLAS library that it was built
with. The compiled twins do not: along a row the order is that of kernels/sums.py, over blocks of rows it is the order
of the blocks.
"""

import numpy as np

from ..kernels import reductions as kernel
from ..kernels.runtime.backend import accelerated_by


@accelerated_by(kernel.dot)
def dot(x, y):
    """sum of x * y over all numbers of two arrays of one shape -> float"""
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
