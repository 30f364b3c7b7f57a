"""ReLU, GELU, erf, tanh and log, element by element (see the files of the same names in ops/ for the equations).

    thread 0  | x[0] ..........  |  ->  y[0] ..........
    thread 1  | .......... x[N-1]|  ->  .......... y[N-1]

Each number is read once and written once, 8 or 16 at a time.
"""

import numpy as np

from .activation_scalars import gelu_slope, gelu_tanh_scalar, gelu_tanh_slope, relu_scalar
from .exponential import log_scalar, tanh_scalar
from .multiply_add import multiply_add
from .normal_distribution import erf_scalar, normal_cdf_scalar
from .rows import contiguous
from .runtime.jit import jit_parallel, prange
from .runtime.memory import empty_like


@jit_parallel
def _logarithm(x, y):
    for i in prange(x.size):
        y[i] = log_scalar(x[i])


@jit_parallel
def _erf(x, y):
    for i in prange(x.size):
        y[i] = erf_scalar(x[i])


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


def _mapped(kernel, x):
    """y[i] = f(x[i]) for any shape and strides, as a new array of the same shape"""
    y = empty_like(x)
    kernel(contiguous(x).reshape(-1), y.reshape(-1))
    return y


def _mapped_back(kernel, dy, kept):
    """dx[i] = g(dy[i], kept[i])"""
    dx = empty_like(kept)
    kernel(contiguous(dy).reshape(-1), contiguous(kept).reshape(-1), dx.reshape(-1))
    return dx


def relu_forward(x):
    """The compiled twin of ops/relu.py."""
    return _mapped(_relu_forward, x), (x,)


def relu_backward(dy, cache):
    """The compiled twin of ops/relu.py."""
    return _mapped_back(_relu_backward, dy, cache.x)


def gelu_forward(x):
    """The compiled twin of ops/gelu.py."""
    return _mapped(_gelu_forward, x), (x,)


def gelu_backward(dy, cache):
    """The compiled twin of ops/gelu.py."""
    return _mapped_back(_gelu_backward, dy, cache.x)


def gelu_tanh_forward(x):
    """The compiled twin of ops/gelu.py."""
    return _mapped(_gelu_tanh_forward, x), (x,)


def gelu_tanh_backward(dy, cache):
    """The compiled twin of ops/gelu.py."""
    return _mapped_back(_gelu_tanh_backward, dy, cache.x)


def tanh_forward(x):
    """The compiled twin of ops/tanh.py."""
    y = _mapped(_tanh_forward, x)
    return y, (y,)


def tanh_backward(dy, cache):
    """The compiled twin of ops/tanh.py."""
    return _mapped_back(_tanh_backward, dy, cache.y)


def logarithm(x):
    """The compiled twin of ops/logarithm.py."""
    return _mapped(_logarithm, x)


def erf(x):
    """The compiled twin of ops/gelu.py."""
    return _mapped(_erf, x.astype(np.float64))
