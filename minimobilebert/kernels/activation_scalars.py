"""Activations and their slopes for one number, inlined by the kernels (see ops/relu.py and ops/gelu.py).

    x, in a register  ->  relu(x), gelu(x), or the slope at x, in a register      no memory in between

`like` is any array of the numbers' type: Numba has no other way to name the type of a literal.
"""

import math

from .exponential import exp_scalar
from .multiply_add import multiply_add
from .normal_distribution import normal_cdf_scalar
from .runtime.jit import jit_inline

INVERSE_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
SQRT_8_OVER_PI = 2.0 * math.sqrt(2.0 / math.pi)
CUBIC = 0.044715
# From |x| = 40 on, e^(-x^2 / 2) and e^(-2u) are 0 even in float64, so both derivatives are exactly 0 or 1. Stopping
# there keeps a huge x from becoming 0 * infinity.
FLAT = 40.0


@jit_inline
def _clip(x, limit):
    # In this order a comparison with NaN, always false, leaves NaN as it is.
    x = limit if x > limit else x
    return -limit if x < -limit else x


@jit_inline
def relu_scalar(x, like):
    """max(x, 0); NaN is not <= 0 and passes"""
    zero = like.dtype.type(0.0)
    return zero if x <= zero else x


@jit_inline
def gelu_tanh_scalar(x, like):
    """x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3)"""
    one, slope, cubic = like.dtype.type(1.0), like.dtype.type(-SQRT_8_OVER_PI), like.dtype.type(CUBIC)
    return x / (one + exp_scalar(x * slope * multiply_add(cubic * x, x, one)))


@jit_inline
def gelu_slope(x, like):
    """The slope of GELU at x, as in ops/gelu.py"""
    half, scale = like.dtype.type(-0.5), like.dtype.type(INVERSE_SQRT_2PI)
    v = _clip(x, like.dtype.type(FLAT))
    return multiply_add(v, scale * exp_scalar(half * v * v), normal_cdf_scalar(v))


@jit_inline
def gelu_tanh_slope(x, like):
    """The slope of the tanh form at x, as in ops/gelu.py"""
    one, three = like.dtype.type(1.0), like.dtype.type(3.0)
    slope, cubic = like.dtype.type(SQRT_8_OVER_PI), like.dtype.type(CUBIC)
    v = _clip(x, like.dtype.type(FLAT))
    square = cubic * v * v
    s = one / (one + exp_scalar(-slope * v * (one + square)))
    return multiply_add(v * s * (one - s) * slope, multiply_add(three, square, one), s)
