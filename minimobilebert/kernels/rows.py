"""What many kernels share: arrays as they are compiled for, rows and their largest number, blocks of rows to sum.

    x [B, T, N]  ->  rows [B * T, N], contiguous        block 0 | rows 0 .. 63
                                                        block 1 | rows 64 .. 127
                                                        ...

Sums over rows go block by block and then over the blocks in order, whichever thread took which block.
"""

import math

import numpy as np

from .gemm.tiles import lanes_of
from .gemm.vector_loops import maximum_of
from .runtime.jit import jit_inline

# Sums over rows go block by block and then over the blocks in order, whichever thread took which block: the result
# is the same for any number of threads.
ROWS_PER_BLOCK = 64


def contiguous(x, dtype=None):
    """x contiguous and writable, a copy only where it is not: Numba compiles a kernel anew for every other kind."""
    x = np.ascontiguousarray(x, dtype)
    return x if x.flags.writeable else x.copy()


def expect(operation, name, x, shape, dtype):
    """ValueError unless x has this shape and dtype: compiled code would read and write past arrays that do not fit."""
    if x.shape != shape or x.dtype != dtype:
        raise ValueError(f"{operation}: found {name} {x.dtype} {x.shape}, expected {dtype} {shape}")


def as_rows(x):
    """x [..., N] -> [R, N], contiguous; R = 0 is fine."""
    return contiguous(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])


def block_count(rows):
    """How many blocks of ROWS_PER_BLOCK rows there are, the last one perhaps short."""
    return -(-rows // ROWS_PER_BLOCK)


@jit_inline
def row_maximum(row):
    """The largest of row [N]. NaN may be passed over: whoever subtracts the maximum from the row meets it there."""
    whole = row.size // lanes_of(row)
    largest = maximum_of(row[: whole * lanes_of(row)]) if whole > 0 else row[0]
    for j in range(whole * lanes_of(row), row.size):
        largest = row[j] if row[j] > largest else largest
    return largest
