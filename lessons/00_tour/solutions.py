"""Lesson 00 as a student would write it; never part of a student edition. Mutants are made from these."""

import numpy as np

from minimobilebert.ops.tanh import TanhCache


def tanh_forward(x):
    y = np.tanh(x)
    return y, TanhCache(y)
