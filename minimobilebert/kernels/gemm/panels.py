"""b in panels, of numbers or of words: one name for what packing.py and bfloat16.py do.

    memory in float32, float64  ->  panels [P, K, NR]               packing.py
    memory in words             ->  panels [P, words_of(K), NR]     bfloat16.py

Which of the two a kernel is compiled for depends on the type of the memory alone.
"""

import numpy as np

from ..runtime.by_kind import by_kind
from ..runtime.jit import jit, jit_inline
from .bfloat16 import pack_panel_in_pairs, words_of
from .packing import pack_panel, panels_of
from .tiles import lanes_of, nr_of
from .views import as_view, strided, view


@jit_inline
def packed_depth(depth, like):
    """Rows of a panel for K = depth."""
    if isinstance(like.dtype.type(0), np.uint32):
        return words_of(depth)
    else:
        return depth


@jit_inline
def panels_size(depth, columns, like):
    """Numbers or words of memory for b [depth, columns]."""
    return panels_of(columns, like) * packed_depth(depth, like) * nr_of(like)


@jit_inline
def panels_in(memory, depth, columns):
    """Room for b [depth, columns] in memory [size] -> panels"""
    nr, rows = nr_of(memory), packed_depth(depth, memory)
    return strided(memory, 0, (panels_of(columns, memory), rows, nr), (rows * nr, nr, 1))


@jit_inline
def _pack_numbers(b, panel):
    pack_panel(b, panel)


@jit_inline
def _pack_words(b, panel):
    pack_panel_in_pairs(b, panel, np.empty(lanes_of(panel) ** 2, np.uint32))


_pack = by_kind(numbers=_pack_numbers, words=_pack_words)


@jit_inline
def pack(b, panel):
    """One panel of b [K, 1 ... NR]."""
    _pack(b, panel)


@jit
def pack_all(b, panels):
    """All columns of b [K, N]."""
    depth, columns = b.shape
    count, rows, nr = panels.shape
    for p in range(count):
        pack(view(b, (0, p * nr), (depth, min(nr, columns - p * nr))), view(panels, (p, 0, 0), (rows, nr)))


@jit
def pack_matrix(b, panels):
    """`pack_all` for Python: b as `as_matrix` makes it, panels contiguous"""
    pack_all(as_view(b), view(panels, (0, 0, 0), panels.shape))
