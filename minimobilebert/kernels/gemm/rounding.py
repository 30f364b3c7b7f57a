"""float32 to bfloat16 for one number, in bits (see ops/bfloat16.py for the rule).

    bits of a float32   | sign, exponent, 7 bits | 16 bits |   ->   the upper half, rounded

VectorCode.rounded (vector_code.py) does the same with vectors.
"""

import numpy as np

from ..runtime.jit import jit_inline

_LOWER, _ONE, _HALF = np.uint32(0x7FFF), np.uint32(1), np.uint32(16)
_SIGN, _MAGNITUDE, _INFINITY, _SMALLEST = (np.uint32(x) for x in (0x8000, 0x7FFFFFFF, 0x7F800000, 0x00800000))
_QUIET = np.uint32(0x40)


@jit_inline
def round_bits(bits):
    """The bits of a float32 -> those of the nearest bfloat16, in the lower half of a word"""
    magnitude, upper = np.uint32(bits & _MAGNITUDE), np.uint32(bits >> _HALF)
    nearest = np.uint32((bits + _LOWER + (upper & _ONE)) >> _HALF)
    if magnitude > _INFINITY:  # NaN must not become infinity
        nearest = np.uint32(upper | _QUIET)
    if magnitude < _SMALLEST:  # a denormal number becomes 0
        nearest = np.uint32(upper & _SIGN)
    return nearest
