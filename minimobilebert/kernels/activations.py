"""ReLU, GELU and tanh, element by element (see the files of the same names in ops/ for the equations)."""

import math

import numpy as np

from .backend import by_backend
from .exponential import exp_scalar, normal_cdf_scalar, tanh_scalar
from .jit import jit_inline, jit_parallel, prange

INVERSE_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
SQRT_8_OVER_PI = 2.0 * math.sqrt(2.0 / math.pi)
CUBIC = 0.044715
# From |x| = 40 on, e^(-x^2 / 2) and e^(-2u) are 0 even in float64, so both derivatives are exactly 0 or 1. Stopping
# there keeps a huge x from becoming 0 * infinity.
FLAT = 40.0

_erf = np.frompyfunc(math.erf, 1, 1)  # NumPy has no erf; one Python call an element is slow but plain


def _normal_cdf(x):
    return 0.5 + 0.5 * np.asarray(_erf(x.astype(np.float64) / math.sqrt(2.0)), dtype=np.float64)


def relu_forward_numpy(x):
    """y = max(x, 0); x [...] -> y [...]"""
    return np.maximum(x, x.dtype.type(0))


def relu_backward_numpy(dy, x):
    """dx = dy where x > 0, else 0; dy, x [...] -> dx [...]"""
    return np.where(x > 0, dy, x.dtype.type(0))


def gelu_forward_numpy(x):
    """y = x Phi(x); x [...] -> y [...]"""
    return (x * _normal_cdf(x)).astype(x.dtype)


def gelu_backward_numpy(dy, x):
    """dx = dy (Phi(x) + x phi(x)); dy, x [...] -> dx [...]"""
    x = np.clip(x, -FLAT, FLAT)
    density = INVERSE_SQRT_2PI * np.exp(-0.5 * x * x)
    return (dy * (_normal_cdf(x) + x * density)).astype(x.dtype)


def _sigmoid_2u(x):
    with np.errstate(over="ignore"):  # e^(-2u) = infinity is a sigmoid of 0
        return 1 / (1 + np.exp(x * (-SQRT_8_OVER_PI) * (1 + CUBIC * x * x)))


def gelu_tanh_forward_numpy(x):
    """y = x sigmoid(2u) = x (1 + tanh u) / 2, u = sqrt(2/pi) (x + 0.044715 x^3); x [...] -> y [...]"""
    return x * _sigmoid_2u(x)


def gelu_tanh_backward_numpy(dy, x):
    """dx = dy (s + x s (1 - s) 2u'), s = sigmoid(2u); dy, x [...] -> dx [...]"""
    x = np.clip(x, -FLAT, FLAT)
    s = _sigmoid_2u(x)
    return dy * (s + x * s * (1 - s) * SQRT_8_OVER_PI * (1 + 3 * CUBIC * x * x))


def tanh_forward_numpy(x):
    """x [...] -> tanh x [...]"""
    return np.tanh(x)


def tanh_backward_numpy(dy, y):
    """dx = dy (1 - y^2); dy, y [...] -> dx [...]"""
    return dy * (1 - y * y)


@jit_inline
def _clip(x, limit):
    # In this order a comparison with NaN, always false, leaves NaN as it is.
    x = limit if x > limit else x
    return -limit if x < -limit else x


@jit_parallel
def _relu_forward(x, y):
    zero = x.dtype.type(0.0)
    for i in prange(x.size):
        y[i] = zero if x[i] <= zero else x[i]  # NaN is not <= 0 and passes


@jit_parallel
def _relu_backward(dy, x, dx):
    zero = x.dtype.type(0.0)
    for i in prange(x.size):
        dx[i] = dy[i] if x[i] > zero else zero


@jit_parallel
def _gelu_forward(x, y):
    for i in prange(x.size):
        y[i] = x[i] * normal_cdf_scalar(x[i])


@jit_parallel
def _gelu_backward(dy, x, dx):
    half, scale, flat = x.dtype.type(-0.5), x.dtype.type(INVERSE_SQRT_2PI), x.dtype.type(FLAT)
    for i in prange(x.size):
        v = _clip(x[i], flat)
        density = scale * exp_scalar(half * v * v)
        dx[i] = dy[i] * (normal_cdf_scalar(v) + v * density)


@jit_parallel
def _gelu_tanh_forward(x, y):
    one, slope, cubic = x.dtype.type(1.0), x.dtype.type(-SQRT_8_OVER_PI), x.dtype.type(CUBIC)
    for i in prange(x.size):
        y[i] = x[i] / (one + exp_scalar(x[i] * slope * (one + cubic * x[i] * x[i])))


@jit_parallel
def _gelu_tanh_backward(dy, x, dx):
    one, slope, cubic = x.dtype.type(1.0), x.dtype.type(SQRT_8_OVER_PI), x.dtype.type(CUBIC)
    three, flat = x.dtype.type(3.0), x.dtype.type(FLAT)
    for i in prange(x.size):
        v = _clip(x[i], flat)
        square = cubic * v * v
        s = one / (one + exp_scalar(-slope * v * (one + square)))
        dx[i] = dy[i] * (s + v * s * (one - s) * slope * (one + three * square))


@jit_parallel
def _tanh_forward(x, y):
    for i in prange(x.size):
        y[i] = tanh_scalar(x[i])


@jit_parallel
def _tanh_backward(dy, y, dx):
    one = y.dtype.type(1.0)
    for i in prange(y.size):
        dx[i] = dy[i] * (one - y[i] * y[i])


def _forward(kernel):
    """The Python side of a kernel y[i] = f(x[i]): any shape and strides in, a new array of the same shape out."""

    def forward(x):
        y = np.empty(x.shape, x.dtype)
        kernel(np.ascontiguousarray(x).reshape(-1), y.reshape(-1))
        return y

    return forward


def _backward(kernel):
    """The same for dx[i] = g(dy[i], x[i])."""

    def backward(dy, x):
        dx = np.empty(x.shape, x.dtype)
        kernel(np.ascontiguousarray(dy).reshape(-1), np.ascontiguousarray(x).reshape(-1), dx.reshape(-1))
        return dx

    return backward


relu_forward = by_backend(numpy=relu_forward_numpy, numba=_forward(_relu_forward))
relu_backward = by_backend(numpy=relu_backward_numpy, numba=_backward(_relu_backward))
gelu_forward = by_backend(numpy=gelu_forward_numpy, numba=_forward(_gelu_forward))
gelu_backward = by_backend(numpy=gelu_backward_numpy, numba=_backward(_gelu_backward))
gelu_tanh_forward = by_backend(numpy=gelu_tanh_forward_numpy, numba=_forward(_gelu_tanh_forward))
gelu_tanh_backward = by_backend(numpy=gelu_tanh_backward_numpy, numba=_backward(_gelu_tanh_backward))
tanh_forward = by_backend(numpy=tanh_forward_numpy, numba=_forward(_tanh_forward))
tanh_backward = by_backend(numpy=tanh_backward_numpy, numba=_backward(_tanh_backward))
