"""exp, tanh and the normal distribution's Phi for one number, in plain arithmetic that LLVM can vectorise.

Numba compiles `math.exp` to a call of the C library, one number at a time. These functions are sums and
products only, so a loop that calls them handles 8 or 16 float32 at once. float64 (used to check gradients,
never to train) takes the C library's functions, which are exact to the last digit or so.

exp, by range reduction: write x = n ln 2 + r with n an integer and |r| <= ln(2) / 2, then

    e^x = 2^n * e^r

e^r is a short polynomial. 2^n costs one integer addition: a float's exponent sits in its upper bits.
"""

import math

import numpy as np

from .jit import jit_inline

# ln 2 in two parts. The first has few digits, so n * LN2_HIGH is exact; the second brings the rest.
LN2_HIGH = np.float32(0.693359375)
LN2_LOW = np.float32(math.log(2.0) - 0.693359375)
LOG2_E = np.float32(1.0 / math.log(2.0))
LARGEST = np.float32(88.72283)  # the largest float32 whose exponential is finite; above it the result is infinity
SMALLEST = np.float32(-87.33654)  # the smallest whose exponential is a normal float32; below it the result is 0
ONE = np.float32(1.0)
HALF = np.float32(0.5)
EXPONENT_SHIFT = np.int32(23)  # a float32 is 1 sign bit, 8 exponent bits, 23 fraction bits


@jit_inline
def _exp_float32(x):
    inside = x if x > SMALLEST else SMALLEST  # also turns NaN into a number: an integer cannot hold NaN
    inside = inside if inside < LARGEST else LARGEST
    n = np.rint(inside * LOG2_E)
    r = inside - n * LN2_HIGH
    r = r - n * LN2_LOW
    # (e^r - 1 - r) / r^2, interpolated at Chebyshev points of |r| <= ln(2) / 2
    p = np.float32(0.00139262508)
    p = p * r + np.float32(0.00836323288)
    p = p * r + np.float32(0.0416665542)
    p = p * r + np.float32(0.166665767)
    p = p * r + HALF
    fraction = np.float32((p * r) * r + r + ONE)
    bits = np.int32(fraction.view(np.int32) + (np.int32(n) << EXPONENT_SHIFT))
    y = bits.view(np.float32)
    y = y if x >= SMALLEST else np.float32(0.0)
    y = y if x <= LARGEST else np.float32(np.inf)
    return np.float32(y if x == x else x)


@jit_inline
def exp_scalar(x):
    """e^x; NaN stays NaN. float32: within 2 units in the last place, and results below 1.2e-38 become 0."""
    if isinstance(x, np.float32):
        return _exp_float32(x)
    else:
        return np.exp(x)


@jit_inline
def _tanh_float32(x):
    # Far from 0: tanh |x| = 1 - 2 / (e^(2|x|) + 1). Near 0 that loses digits, and an odd polynomial takes over.
    a = abs(x)
    far = ONE - np.float32(2.0) / (_exp_float32(a + a) + ONE)
    z = x * x
    p = np.float32(-0.00592372621)
    p = p * z + np.float32(0.0208734606)
    p = p * z + np.float32(-0.0538237589)
    p = p * z + np.float32(0.133325837)
    p = p * z + np.float32(-0.33333327)
    near = p * z * x + x
    far = far if x > np.float32(0.0) else -far
    return np.float32(near if a < np.float32(0.625) else far)


@jit_inline
def tanh_scalar(x):
    """tanh x. float32: within 2 units in the last place."""
    if isinstance(x, np.float32):
        return _tanh_float32(x)
    else:
        return np.tanh(x)


@jit_inline
def _normal_cdf_float32(x):
    # Far out, the tail beyond |x| is e^(-x^2/2), the bell curve, times a tame function of t = 1 / (1 + |x|/4).
    a = abs(x)
    t = ONE / (ONE + np.float32(0.25) * a)
    p = np.float32(0.0208148884)
    p = p * t + np.float32(-0.0853892301)
    p = p * t + np.float32(0.103798858)
    p = p * t + np.float32(-0.0397468636)
    p = p * t + np.float32(0.0682739958)
    p = p * t + np.float32(0.0574462582)
    p = p * t + np.float32(0.0818896318)
    p = p * t + np.float32(0.0934395147)
    p = p * t + np.float32(0.0997373968)
    p = p * t + np.float32(0.099735561)
    tail = p * t * _exp_float32(-HALF * x * x)
    far = tail if x < np.float32(0.0) else ONE - tail
    # Near 0, Phi is 1/2 plus an odd polynomial.
    z = x * x
    q = np.float32(-6.82239678e-06)
    q = q * z + np.float32(0.000111092028)
    q = q * z + np.float32(-0.00118390762)
    q = q * z + np.float32(0.00997232271)
    q = q * z + np.float32(-0.0664902159)
    q = q * z + np.float32(0.398942277)
    return np.float32(q * x + HALF if a < np.float32(1.25) else far)


@jit_inline
def normal_cdf_scalar(x):
    """Phi(x) = (1 + erf(x / sqrt 2)) / 2, the chance that a standard normal number is below x. float32: within 1e-7."""
    if isinstance(x, np.float32):
        return _normal_cdf_float32(x)
    else:
        return 0.5 * math.erfc(-x * 0.7071067811865476)
