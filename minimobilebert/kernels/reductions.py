"""Sums over whole arrays and over rows, for what is not in the hot loop of an operation: losses, norms, gradients.

    dot           x, y [N] in chunks of 4096  ->  one sum a chunk (sums.py)  ->  added in order, in float64
    row_sums      x [R, N]                    ->  one sum a row (sums.py)
    column_sums   x [R, N] in blocks of rows  ->  one row of sums a block    ->  added in order

NumPy's own sums and dot products depend on its version, on the processor and on the BLAS library that it was built
with. These do not: along a row the order is that of sums.py, over blocks it is the order of the blocks.
"""

import numpy as np

from .rows import ROWS_PER_BLOCK, as_rows, block_count, contiguous
from .runtime.jit import jit, jit_parallel, prange
from .sums import dot_of, sum_of

_CHUNK = 4096  # numbers that are added in their own type; the chunks' sums are added in float64


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


def dot(x, y):
    """The compiled twin of ops/sums.py."""
    x, y = contiguous(x).reshape(-1), contiguous(y).reshape(-1)
    if x.size < 16 * _CHUNK:
        return float(_dot(x, y))
    sums = np.empty(-(-x.size // _CHUNK), x.dtype)
    _chunk_dots(x, y, sums)
    return float(_in_order(sums))


def row_sums(x):
    """The compiled twin of ops/sums.py."""
    sums = np.empty(x.shape[:-1], x.dtype)
    _row_sums(as_rows(x), sums.reshape(-1))
    return sums


def row_dots(x, y):
    """The compiled twin of ops/sums.py."""
    sums = np.empty(x.shape[:-1], x.dtype)
    _row_dots(as_rows(x), as_rows(y), sums.reshape(-1))
    return sums


def block_sums(blocks):
    """sum over the first axis, in its order; blocks [K, N] -> [N]"""
    sums = np.zeros(blocks.shape[1], blocks.dtype)
    _block_sums(blocks, sums)
    return sums


@jit_parallel
def _column_sums(x, sums):
    rows = x.shape[0]
    for block in prange(sums.shape[0]):
        total = sums[block]
        for i in range(block * ROWS_PER_BLOCK, min((block + 1) * ROWS_PER_BLOCK, rows)):
            for j in range(x.shape[1]):
                total[j] += x[i, j]


def column_sums(x):
    """The compiled twin of ops/sums.py."""
    x = as_rows(x)
    sums = np.zeros((block_count(len(x)), x.shape[1]), x.dtype)
    _column_sums(x, sums)
    return block_sums(sums)
