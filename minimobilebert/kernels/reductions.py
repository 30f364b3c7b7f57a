"""Sums over whole arrays and over rows, for what is not in the hot loop of an operation: losses, norms, gradients.

NumPy's own sums and dot products depend on its version, on the processor and on the BLAS library that it was built
with. These do not: along a row the order is that of sums.py, over blocks it is the order of the blocks.
"""

import numpy as np

from .backend import by_backend
from .jit import jit, jit_parallel, prange
from .rows import as_rows, compact
from .sums import dot_of, sum_of

_CHUNK = 4096  # numbers that are added in their own type; the chunks' sums are added in float64


def dot_numpy(x, y):
    """sum of x * y over all numbers of two arrays of one shape -> float"""
    return float(np.vdot(x, y))


def row_sums_numpy(x):
    """x [..., N] -> [...]"""
    return x.sum(axis=-1)


def row_dots_numpy(x, y):
    """sum over the last axis of x * y; x, y [..., N] -> [...]"""
    return (x * y).sum(axis=-1)


def block_sums_numpy(blocks):
    """sum over the first axis, in its order; blocks [K, N] -> [N]"""
    return blocks.sum(axis=0)


@jit_parallel
def _chunk_dots(x, y, sums):
    for chunk in prange(sums.size):
        part = slice(chunk * _CHUNK, min((chunk + 1) * _CHUNK, x.size))
        sums[chunk] = dot_of(x[part], y[part])


@jit
def _dot(x, y):
    total = 0.0
    for start in range(0, x.size, _CHUNK):
        part = slice(start, min(start + _CHUNK, x.size))
        total += dot_of(x[part], y[part])
    return total


@jit
def _in_order(sums):
    total = 0.0
    for i in range(sums.size):
        total += sums[i]
    return total


@jit
def _row_sums(x, sums):
    for i in range(sums.size):
        sums[i] = sum_of(x[i])


@jit
def _row_dots(x, y, sums):
    for i in range(sums.size):
        sums[i] = dot_of(x[i], y[i])


@jit
def _block_sums(blocks, sums):
    for k in range(blocks.shape[0]):
        for j in range(sums.size):
            sums[j] += blocks[k, j]


def dot_numba(x, y):
    """The compiled twin of `dot_numpy`."""
    x, y = compact(x).reshape(-1), compact(y).reshape(-1)
    if x.size < 16 * _CHUNK:
        return float(_dot(x, y))
    sums = np.empty(-(-x.size // _CHUNK), x.dtype)
    _chunk_dots(x, y, sums)
    return float(_in_order(sums))


def row_sums_numba(x):
    """The compiled twin of `row_sums_numpy`."""
    sums = np.empty(x.shape[:-1], x.dtype)
    _row_sums(as_rows(x), sums.reshape(-1))
    return sums


def row_dots_numba(x, y):
    """The compiled twin of `row_dots_numpy`."""
    sums = np.empty(x.shape[:-1], x.dtype)
    _row_dots(as_rows(x), as_rows(y), sums.reshape(-1))
    return sums


def block_sums_numba(blocks):
    """The compiled twin of `block_sums_numpy`."""
    sums = np.zeros(blocks.shape[1], blocks.dtype)
    _block_sums(blocks, sums)
    return sums


dot = by_backend(numpy=dot_numpy, numba=dot_numba)
row_sums = by_backend(numpy=row_sums_numpy, numba=row_sums_numba)
row_dots = by_backend(numpy=row_dots_numpy, numba=row_dots_numba)
block_sums = by_backend(numpy=block_sums_numpy, numba=block_sums_numba)
