r"""Table look-up's backward: add each token's gradient to its row of the table (see ops/embedding.py).

    ids      7      2      7
             |      |      |
    dy     row 0  row 1  row 2
              \     |     /
    dtable [V, E]:  row 2 += dy[1],  row 7 += dy[0] + dy[2]

One thread, token after token: two tokens may share a row, and threads would race.
"""

import numpy as np

from .rows import as_rows, contiguous
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
    _add_rows(contiguous(cache.ids.reshape(-1), np.int64), as_rows(dy), dtable)
    return dtable
