"""Table look-up's backward: add each token's gradient to its row of the table (see ops/embedding.py)."""

import numpy as np

from .rows import as_rows, compact
from .runtime.jit import jit
from .runtime.memory import empty


@jit
def _add_rows(indices, rows, out):
    # One thread: two tokens may share a row, so threads over tokens would race.
    for n in range(indices.shape[0]):
        v = indices[n]
        for e in range(rows.shape[1]):
            out[v, e] += rows[n, e]


def embedding_backward(dy, cache):
    """The compiled twin of ops/embedding.py."""
    # Not np.zeros: mapping a whole word table's fresh pages takes longer than all the adding (see memory.py).
    dtable = empty((cache.num_rows, dy.shape[-1]), dy.dtype)
    dtable.fill(0)
    _add_rows(compact(cache.ids.reshape(-1), np.int64), as_rows(dy), dtable)
    return dtable
