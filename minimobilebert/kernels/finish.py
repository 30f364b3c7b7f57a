"""What may follow a matrix product, done to one tile of it while it is in the first-level cache.

    RELU, GELU, GELU_TANH      y = activation(x)
    SCALE_SHIFT                y = scale * x + shift
    RELU_GATE, ..._GATE        y = y * activation'(kept)          the step back through the activation

x is the product. `kept` is what the backward pass needs of it: for ReLU y itself, so nothing else is written, for the
others x. An empty `kept` keeps nothing (inference).
"""

import math

from .exponential import exp_scalar
from .jit import jit, jit_inline
from .multiply_add import multiply_add
from .normal_distribution import normal_cdf_scalar
from .simd import copy_vector, gate_tile, lanes_of, relu_tile, scale_shift_tile, width_of

NOTHING, RELU, GELU, GELU_TANH, SCALE_SHIFT, RELU_GATE, GELU_GATE, GELU_TANH_GATE = range(8)
ACTIVATIONS = {"relu": RELU, "gelu": GELU, "gelu_tanh": GELU_TANH}
GATES = {"relu": RELU_GATE, "gelu": GELU_GATE, "gelu_tanh": GELU_TANH_GATE}

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
    """Phi(x) + x phi(x)"""
    half, scale = like.dtype.type(-0.5), like.dtype.type(INVERSE_SQRT_2PI)
    v = _clip(x, like.dtype.type(FLAT))
    return multiply_add(v, scale * exp_scalar(half * v * v), normal_cdf_scalar(v))


@jit_inline
def gelu_tanh_slope(x, like):
    """s + x s (1 - s) 2u', s = sigmoid(2u)"""
    one, three = like.dtype.type(1.0), like.dtype.type(3.0)
    slope, cubic = like.dtype.type(SQRT_8_OVER_PI), like.dtype.type(CUBIC)
    v = _clip(x, like.dtype.type(FLAT))
    square = cubic * v * v
    s = one / (one + exp_scalar(-slope * v * (one + square)))
    return multiply_add(v * s * (one - s) * slope, multiply_add(three, square, one), s)


@jit_inline
def _finish_row(kind, count, y, kept, scale, shift, column):
    """y[:count] in place, or from y and kept"""
    zero = y.dtype.type(0.0)
    if kind == RELU:
        for j in range(count):
            y[j] = relu_scalar(y[j], y)
    elif kind == SCALE_SHIFT:
        for j in range(count):
            y[j] = multiply_add(y[j], scale[column + j], shift[column + j])
    elif kind == RELU_GATE:
        for j in range(count):
            y[j] = y[j] if kept[j] > zero else zero
    elif kind == GELU:
        for j in range(count):
            y[j] = y[j] * normal_cdf_scalar(y[j])
    elif kind == GELU_TANH:
        for j in range(count):
            y[j] = gelu_tanh_scalar(y[j], y)
    elif kind == GELU_GATE:
        for j in range(count):
            y[j] = y[j] * gelu_slope(kept[j], y)
    elif kind == GELU_TANH_GATE:
        for j in range(count):
            y[j] = y[j] * gelu_tanh_slope(kept[j], y)


@jit
def finish_tile(kind, rows, used, out, out_at, out_row, kept, kept_at, kept_row, scale, shift, column):
    """out [rows, used] in place, after a copy of it to `kept` where `kind` has one; scale, shift: from `column` on"""
    width, lanes = width_of(out), lanes_of(out)
    keep = kept.size > 0 and (kind == GELU or kind == GELU_TANH or kind == SCALE_SHIFT)
    if used == width:
        if keep:
            for i in range(rows):
                for j in range(0, width, lanes):
                    copy_vector(out, out_at + i * out_row + j, kept, kept_at + i * kept_row + j)
        if kind == RELU:
            relu_tile(rows, out, out_at, out_row)
            return
        if kind == RELU_GATE:
            gate_tile(rows, out, out_at, out_row, kept, kept_at, kept_row)
            return
        if kind == SCALE_SHIFT:
            scale_shift_tile(rows, scale, shift, column, out, out_at, out_row)
            return
    for i in range(rows):
        # Slices, because Numba knows of an index into a slice, and not of out_at + j, that it is not negative.
        y = out[out_at + i * out_row : out_at + i * out_row + used]
        k = kept[kept_at + i * kept_row : kept_at + i * kept_row + used]
        # Twice the same on purpose. Of a whole row the compiler knows the length; a loop that may be of any length
        # handles so many numbers at once that a row is never long enough for it.
        if used == width:
            _finish_row(kind, width, y, k, scale, shift, column)
        else:
            if keep:
                for j in range(used):
                    k[j] = y[j]
            _finish_row(kind, used, y, k, scale, shift, column)
