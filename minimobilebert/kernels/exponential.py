"""exp, tanh and log for one number, in plain arithmetic.

Numba compiles `math.exp` to a call of the C library, one number at a time, and C libraries differ in the last bit.
These functions are sums and products only. So a loop that calls them handles 8 or 16 float32 at once, and they give
the same bits on every machine. `multiply_add` keeps a Horner step p * r + c at one rounding (multiply_add.py).

exp, by range reduction: write x = n ln 2 + r with n an integer and |r| <= ln(2) / 2, then

    e^x = 2^n * e^r

e^r is a short polynomial. 2^n costs one integer addition: a float's exponent is in its upper bits.

    float32      sign | exponent, 8 bits | fraction, 23 bits
                        + n                                       the same number times 2^n

log, the other way round: take the exponent n out of the bits, so that x = 2^n m with m near 1, then

    log x = n ln 2 + log m,    log m = 2 (s + s^3/3 + s^5/5 + ...),    s = (m - 1) / (m + 1)
"""

import math

import numpy as np

from .multiply_add import multiply_add
from .runtime.jit import jit_inline

# ln 2 in two parts. The first has few digits, so n * LN2_HIGH is exact; the second brings the rest.
LN2_HIGH = np.float32(0.693359375)
LN2_LOW = np.float32(math.log(2.0) - 0.693359375)
LOG2_E = np.float32(1.0 / math.log(2.0))
LARGEST = np.float32(88.72283)  # the largest float32 whose exponential is finite; above it the result is infinity
SMALLEST = np.float32(-87.33654)  # the smallest whose exponential is a normal float32; below it the result is 0
ONE = np.float32(1.0)
HALF = np.float32(0.5)
EXPONENT_SHIFT = np.int32(23)  # a float32 is 1 sign bit, 8 exponent bits, 23 fraction bits

# The same for float64: 1 sign bit, 11 exponent bits, 52 fraction bits.
LN2_HIGH_64 = float.fromhex("0x1.62e42fefa0000p-1")  # 33 bits of ln 2
LN2_LOW_64 = float.fromhex("0x1.cf79abc9e3b3ap-40")  # the rest
LOG2_E_64 = 1.4426950408889634
LARGEST_64, SMALLEST_64 = 709.782712893384, -745.1332191019412
EXPONENT_SHIFT_64, EXPONENT_BIAS_64 = np.int64(52), np.int64(1023)
FACTORIALS = tuple(1.0 / math.factorial(k) for k in range(14, 1, -1))  # 1/14!, ..., 1/2!
ODD_SHARES = tuple(2.0 / (2 * k + 1) for k in range(11, 0, -1))  # 2/23, ..., 2/3
SQRT_HALF = 0.7071067811865476


@jit_inline
def _exp_float32(x):
    inside = x if x > SMALLEST else SMALLEST  # also turns NaN into a number: an integer cannot hold NaN
    inside = inside if inside < LARGEST else LARGEST
    n = np.rint(inside * LOG2_E)
    r = multiply_add(-n, LN2_HIGH, inside)
    r = multiply_add(-n, LN2_LOW, r)
    # (e^r - 1 - r) / r^2, interpolated at Chebyshev points of |r| <= ln(2) / 2
    p = np.float32(0.00139262508)
    p = multiply_add(p, r, np.float32(0.00836323288))
    p = multiply_add(p, r, np.float32(0.0416665542))
    p = multiply_add(p, r, np.float32(0.166665767))
    p = multiply_add(p, r, HALF)
    fraction = np.float32(multiply_add(p * r, r, r) + ONE)
    bits = np.int32(fraction.view(np.int32) + (np.int32(n) << EXPONENT_SHIFT))
    y = bits.view(np.float32)
    y = y if x >= SMALLEST else np.float32(0.0)
    y = y if x <= LARGEST else np.float32(np.inf)
    return np.float32(y if x == x else x)


@jit_inline
def _two_to_the(n):
    """2^n for an integer n in -1022 ... 1023, as float64"""
    return np.int64((n + EXPONENT_BIAS_64) << EXPONENT_SHIFT_64).view(np.float64)


@jit_inline
def _exp_float64(x):
    inside = x if x > SMALLEST_64 else SMALLEST_64
    inside = inside if inside < LARGEST_64 else LARGEST_64
    n = np.rint(inside * LOG2_E_64)
    r = multiply_add(-n, LN2_HIGH_64, inside)
    r = multiply_add(-n, LN2_LOW_64, r)
    p = 0.0
    for factor in FACTORIALS:  # (e^r - 1 - r) / r^2, the power series
        p = multiply_add(p, r, factor)
    fraction = multiply_add(p * r, r, r) + 1.0
    # In two steps: 2^n itself may be too large or too small for a float64 where the product is not.
    half = np.int64(n) >> 1
    y = fraction * _two_to_the(half) * _two_to_the(np.int64(n) - half)
    y = y if x >= SMALLEST_64 else 0.0
    y = y if x <= LARGEST_64 else np.inf
    return y if x == x else x


@jit_inline
def exp_scalar(x):
    """e^x; NaN stays NaN. Within 2 units in the last place; float32 results below 1.2e-38 become 0."""
    if isinstance(x, np.float32):
        return _exp_float32(x)
    else:
        return _exp_float64(x)


@jit_inline
def _log_float64(x):
    subnormal = x < 2.2250738585072014e-308  # no leading 1 in its fraction: multiply by 2^54 first
    scaled = x * 18014398509481984.0 if subnormal else x
    bits = np.float64(scaled).view(np.int64)
    n = (bits >> EXPONENT_SHIFT_64) - EXPONENT_BIAS_64
    m = np.int64(bits - (n << EXPONENT_SHIFT_64)).view(np.float64)  # 1 <= m < 2
    if m > 2.0 * SQRT_HALF:
        n, m = n + 1, 0.5 * m
    count = np.float64(n - 54 if subnormal else n)
    f = m - 1.0
    s = f / (2.0 + f)
    square = s * s
    p = 0.0
    for share in ODD_SHARES:
        p = multiply_add(p, square, share)
    # log m = 2 s + s (square p), and 2 s = f - s f
    y = multiply_add(count, LN2_HIGH_64, f - multiply_add(s, f - square * p, -count * LN2_LOW_64))
    y = y if x > 0.0 else (-np.inf if x == 0.0 else np.nan)
    y = y if x < np.inf else x
    return y if x == x else x


@jit_inline
def log_scalar(x):
    """log x, -infinity of 0, NaN of a negative number. Within 1 unit in the last place."""
    if isinstance(x, np.float32):
        return np.float32(_log_float64(np.float64(x)))
    else:
        return _log_float64(x)


@jit_inline
def _tanh_float32(x):
    # Far from 0: tanh |x| = 1 - 2 / (e^(2|x|) + 1). Near 0 that loses digits, and an odd polynomial takes over.
    a = abs(x)
    far = ONE - np.float32(2.0) / (_exp_float32(a + a) + ONE)
    z = x * x
    p = np.float32(-0.00592372621)
    p = multiply_add(p, z, np.float32(0.0208734606))
    p = multiply_add(p, z, np.float32(-0.0538237589))
    p = multiply_add(p, z, np.float32(0.133325837))
    p = multiply_add(p, z, np.float32(-0.33333327))
    near = multiply_add(p * z, x, x)
    far = far if x > np.float32(0.0) else -far
    return np.float32(near if a < np.float32(0.625) else far)


@jit_inline
def _tanh_float64(x):
    # The same; near 0 Lambert's continued fraction x / (1 + x^2 / (3 + x^2 / (5 + ...))).
    a = abs(x)
    far = 1.0 - 2.0 / (_exp_float64(a + a) + 1.0)
    z = x * x
    q = 17.0
    for odd in (15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0):
        q = odd + z / q
    near = x - x * (z / (q + z))  # x / (1 + z / q), with the small part apart
    far = far if x > 0.0 else -far
    return near if a < 0.625 else far


@jit_inline
def tanh_scalar(x):
    """tanh x, within 2 units in the last place."""
    if isinstance(x, np.float32):
        return _tanh_float32(x)
    else:
        return _tanh_float64(x)
