"""Table look-up's backward: add each token's gradient to its row of the table (see ops/embedding.py)."""

import numpy as np

from .backend import by_backend
from .jit import jit
from .memory import empty
from .rows import compact


def add_rows_numpy(indices, rows, num_rows):
    """out[v] = sum of rows[n] over all n with indices[n] == v; indices [N], rows [N, E] -> out [num_rows, E]"""
    out = np.zeros((num_rows, rows.shape[1]), rows.dtype)
    np.add.at(out, indices, rows)
    return out


@jit
def _add_rows(indices, rows, out):
    # One thread: two tokens may share a row, so threads over tokens would race.
    for n in range(indices.shape[0]):
        v = indices[n]
        for e in range(rows.shape[1]):
            out[v, e] += rows[n, e]


def add_rows_numba(indices, rows, num_rows):
    """The compiled twin of `add_rows_numpy`."""
    # Not np.zeros: mapping a whole word table's fresh pages takes longer than all the adding (see memory.py).
    out = empty((num_rows, rows.shape[1]), rows.dtype)
    out.fill(0)
    _add_rows(compact(indices, np.int64), compact(rows), out)
    return out


add_rows = by_backend(numpy=add_rows_numpy, numba=add_rows_numba)
