"""Lesson 03 as a student would write it; never part of a student edition. Mutants are made from these."""

import math

import numpy as np

from minimobilebert.kernels.activation_scalars import FLAT
from minimobilebert.ops.layernorm import LayerNormCache
from minimobilebert.ops.nonorm import NoNormCache


def relu_backward(dy, cache):
    return dy * (cache.x > 0)


def gelu_backward(dy, cache):
    x = cache.x
    erf = np.vectorize(math.erf, otypes=[float])
    below = (1 + erf(x / math.sqrt(2))) / 2
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    slope = below + x * density
    return (dy * slope).astype(x.dtype)


def gelu_tanh_backward(dy, cache):
    x = np.clip(cache.x, -FLAT, FLAT)
    c = math.sqrt(2 / math.pi)
    t = np.tanh(c * (x + 0.044715 * x**3))
    du = c * (1 + 3 * 0.044715 * x**2)
    slope = (1 + t) / 2 + x * (1 - t**2) / 2 * du
    return dy * slope


def layernorm_forward(x, weight, bias, eps=1e-12):
    mean = x.mean(axis=-1, keepdims=True)
    centred = x - mean
    var = (centred**2).mean(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt(var + eps)
    y = centred * rstd
    if weight is not None:
        y = weight * y
    if bias is not None:
        y = y + bias
    return y, LayerNormCache(x, mean, rstd, weight)


def layernorm_backward(dy, cache):
    n = (cache.x - cache.mean) * cache.rstd
    tokens = tuple(range(dy.ndim - 1))
    if cache.weight is None:
        dn, dweight, dbias = dy, None, None
    else:
        dn = dy * cache.weight
        dweight = (dy * n).sum(axis=tokens)
        dbias = dy.sum(axis=tokens)
    through_mean = dn.mean(axis=-1, keepdims=True)
    through_rstd = n * (dn * n).mean(axis=-1, keepdims=True)
    dx = cache.rstd * (dn - through_mean - through_rstd)
    return dx, dweight, dbias


def nonorm_forward(x, weight, bias):
    return weight * x + bias, NoNormCache(x, weight)


def nonorm_backward(dy, cache):
    tokens = tuple(range(dy.ndim - 1))
    dx = dy * cache.weight
    dweight = (dy * cache.x).sum(axis=tokens)
    dbias = dy.sum(axis=tokens)
    return dx, dweight, dbias
