"""Embedding lookup: row `ids[b, t]` of a table of words or segments.

    y[b, t] = table[ids[b, t]]

Backward: the gradient of a row is the sum over all positions that looked it up.

    dtable[v] = sum over all (b, t) with ids[b, t] == v of dy[b, t]
"""

from typing import NamedTuple

import numpy as np

from ..kernels import embedding as kernel
from ..kernels.runtime.backend import accelerated_by


class EmbeddingCache(NamedTuple):
    ids: np.ndarray  # [B, T] integers
    num_rows: int  # V


def embedding_forward(ids, table):
    """ids [B, T] integers in [0, V), table [V, E] -> y [B, T, E], cache. ValueError for an id outside the table."""
    if ids.size and not (0 <= ids.min() and ids.max() < table.shape[0]):
        raise ValueError(f"token id: found {ids.min()}..{ids.max()}, expected 0..{table.shape[0] - 1}")
    return table[ids], EmbeddingCache(ids, table.shape[0])


@accelerated_by(kernel.embedding_backward)
def embedding_backward(dy, cache):
    """dy [B, T, E] -> dtable [V, E]"""
    dtable = np.zeros((cache.num_rows, dy.shape[-1]), dy.dtype)
    np.add.at(dtable, cache.ids, dy)  # unlike dtable[ids] += dy, this adds up the gradients of repeated ids
    return dtable
