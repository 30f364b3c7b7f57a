"""Lesson 18 as a student would write it; never part of a student edition. Mutants are made from these."""

import numpy as np

from minimobilebert.kernels.runtime.precision import rounds


def rounded(x):
    bits = np.array(x, dtype=np.float32, order="C").view(np.uint32)
    lower = bits & 0xFFFF
    last_bit = (bits >> 16) & 1
    up = (lower > 0x8000) | ((lower == 0x8000) & (last_bit == 1))
    result = (bits - lower) + 0x10000 * up.astype(np.uint32)
    magnitude = bits & 0x7FFFFFFF
    tiny = magnitude < 0x00800000
    result[tiny] = bits[tiny] & 0x80000000
    nan = magnitude > 0x7F800000
    result[nan] = 0x7FC00000
    return result.view(np.float32)


def product(a, b):
    if rounds(a.dtype):
        return rounded(a) @ rounded(b)
    return a @ b


def stochastically_rounded(x, rng):
    bits = np.array(x, dtype=np.float32, order="C").view(np.uint32)
    lower = bits & 0xFFFF
    up = rng.integers(0, 0x10000, size=bits.shape) < lower
    result = (bits - lower) + 0x10000 * up.astype(np.uint32)
    result = result.view(np.float32)
    magnitude = bits & 0x7FFFFFFF
    special = (magnitude < 0x00800000) | (magnitude >= 0x7F800000)
    result[special] = rounded(x)[special]
    return result
