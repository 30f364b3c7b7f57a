"""The shape every row-wise kernel works on: a contiguous matrix, one token a row."""

import math

import numpy as np


def as_rows(x):
    """x [..., N] -> [R, N], contiguous; a view where x already is, a copy where it is strided. R = 0 is fine."""
    return np.ascontiguousarray(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])
