"""Lesson 01 as a student would write it; never part of a student edition. Mutants are made from these."""

import numpy as np


def central_difference(function, x, step=1e-5):
    x = np.array(x, dtype=np.float64)
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


def direction_error(forward, backward, inputs, rng, step=1e-5):
    y, cache = forward(*[x.copy() for x in inputs])
    dy = rng.standard_normal(np.shape(y))
    gradients = backward(dy, cache)
    if not isinstance(gradients, tuple):
        gradients = (gradients,)
    vs = [rng.standard_normal(x.shape) for x in inputs]
    analytic = sum((g * v).sum() for g, v in zip(gradients, vs, strict=True))
    up = forward(*[x + step * v for x, v in zip(inputs, vs, strict=True)])[0]
    down = forward(*[x - step * v for x, v in zip(inputs, vs, strict=True)])[0]
    difference = (dy * (up - down)).sum() / (2 * step)
    larger = max(abs(analytic), abs(difference))
    if larger == 0:
        return 0.0
    return float(abs(analytic - difference) / larger)


def tanh_backward(dy, cache):
    slope = 1 - cache.y**2
    return dy * slope
