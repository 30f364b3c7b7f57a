"""ReLU, GELU, tanh and log, element by element (see the files of the same names in ops/ for the equations)."""

import math

import numpy as np

from .backend import by_backend
from .exponential import log_scalar, tanh_scalar
from .finish import (
    CUBIC,
    FLAT,
    INVERSE_SQRT_2PI,
    SQRT_8_OVER_PI,
    gelu_slope,
    gelu_tanh_scalar,
    gelu_tanh_slope,
    relu_scalar,
)
from .jit import jit_parallel, prange
from .memory import empty_like
from .multiply_add import multiply_add
from .normal_distribution import normal_cdf_scalar
from .rows import compact

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


def logarithm_numpy(x):
    """log x; x [...] -> [...]"""
    return np.log(x)


@jit_parallel
def _logarithm(x, y):
    for i in prange(x.size):
        y[i] = log_scalar(x[i])


@jit_parallel
def _relu_forward(x, y):
    for i in prange(x.size):
        y[i] = relu_scalar(x[i], x)


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
    for i in prange(x.size):
        dx[i] = dy[i] * gelu_slope(x[i], x)


@jit_parallel
def _gelu_tanh_forward(x, y):
    for i in prange(x.size):
        y[i] = gelu_tanh_scalar(x[i], x)


@jit_parallel
def _gelu_tanh_backward(dy, x, dx):
    for i in prange(x.size):
        dx[i] = dy[i] * gelu_tanh_slope(x[i], x)


@jit_parallel
def _tanh_forward(x, y):
    for i in prange(x.size):
        y[i] = tanh_scalar(x[i])


@jit_parallel
def _tanh_backward(dy, y, dx):
    one = y.dtype.type(1.0)
    for i in prange(y.size):
        dx[i] = dy[i] * multiply_add(-y[i], y[i], one)


def _forward(kernel):
    """The Python side of a kernel y[i] = f(x[i]): any shape and strides in, a new array of the same shape out."""

    def forward(x):
        y = empty_like(x)
        kernel(compact(x).reshape(-1), y.reshape(-1))
        return y

    return forward


def _backward(kernel):
    """The same for dx[i] = g(dy[i], x[i])."""

    def backward(dy, x):
        dx = empty_like(x)
        kernel(compact(dy).reshape(-1), compact(x).reshape(-1), dx.reshape(-1))
        return dx

    return backward


logarithm = by_backend(numpy=logarithm_numpy, numba=_forward(_logarithm))
relu_forward = by_backend(numpy=relu_forward_numpy, numba=_forward(_relu_forward))
relu_backward = by_backend(numpy=relu_backward_numpy, numba=_backward(_relu_backward))
gelu_forward = by_backend(numpy=gelu_forward_numpy, numba=_forward(_gelu_forward))
gelu_backward = by_backend(numpy=gelu_backward_numpy, numba=_backward(_gelu_backward))
gelu_tanh_forward = by_backend(numpy=gelu_tanh_forward_numpy, numba=_forward(_gelu_tanh_forward))
gelu_tanh_backward = by_backend(numpy=gelu_tanh_backward_numpy, numba=_backward(_gelu_tanh_backward))
tanh_forward = by_backend(numpy=tanh_forward_numpy, numba=_forward(_tanh_forward))
tanh_backward = by_backend(numpy=tanh_backward_numpy, numba=_backward(_tanh_backward))

# By the name that a configuration has for them.
ACTIVATION_FORWARD = {"relu": relu_forward, "gelu": gelu_forward, "gelu_tanh": gelu_tanh_forward}
ACTIVATION_BACKWARD = {"relu": relu_backward, "gelu": gelu_backward, "gelu_tanh": gelu_tanh_backward}
