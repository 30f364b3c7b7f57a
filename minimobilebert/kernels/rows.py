"""What the row-wise kernels share: their matrix shape, the largest number of a row, and blocks of rows to sum."""

import math

import numpy as np

from .jit import jit_matmul

# Sums over rows go block by block and then over the blocks in order, whichever thread took which block: the result
# is the same for any number of threads.
ROWS_PER_BLOCK = 64

LANES = 64


def as_rows(x):
    """x [..., N] -> [R, N], contiguous; a view where x already is, a copy where it is strided. R = 0 is fine."""
    return np.ascontiguousarray(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])


def block_count(rows):
    """How many blocks of ROWS_PER_BLOCK rows there are, the last one perhaps short."""
    return -(-rows // ROWS_PER_BLOCK)


@jit_matmul
def row_maximum(row, scratch):
    """The largest of row [N]; scratch [N] is overwritten.

    One running maximum would wait for itself at every step, so 64 of them run side by side, in vector registers.
    NaN may be passed over: whoever subtracts the maximum from the row meets it there.
    """
    whole = row.size // LANES * LANES
    largest = row[0]
    if whole > 0:
        for k in range(LANES):
            scratch[k] = row[k]
        for first in range(LANES, whole, LANES):
            for k in range(LANES):
                candidate, best = row[first + k], scratch[k]
                scratch[k] = candidate if candidate > best else best
        for k in range(LANES):
            largest = scratch[k] if scratch[k] > largest else largest
    for j in range(whole, row.size):
        largest = row[j] if row[j] > largest else largest
    return largest
