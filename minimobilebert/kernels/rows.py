"""What the row-wise kernels share: their matrix shape, the largest number of a row, and blocks of rows to sum."""

import math

import numpy as np

from .jit import jit_matmul
from .simd import lanes_of, maximum_of

# Sums over rows go block by block and then over the blocks in order, whichever thread took which block: the result
# is the same for any number of threads.
ROWS_PER_BLOCK = 64


def as_rows(x):
    """x [..., N] -> [R, N], contiguous; a view where x already is, a copy where it is strided. R = 0 is fine."""
    return np.ascontiguousarray(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])


def block_count(rows):
    """How many blocks of ROWS_PER_BLOCK rows there are, the last one perhaps short."""
    return -(-rows // ROWS_PER_BLOCK)


@jit_matmul
def row_maximum(row):
    """The largest of row [N]. NaN may be passed over: whoever subtracts the maximum from the row meets it there."""
    whole = row.size // lanes_of(row)
    largest = maximum_of(row, np.int64(0), whole) if whole > 0 else row[0]
    for j in range(whole * lanes_of(row), row.size):
        largest = row[j] if row[j] > largest else largest
    return largest
