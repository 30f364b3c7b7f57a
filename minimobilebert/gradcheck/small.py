"""A gradient checker in two small functions, to be written in lesson 01; `gradcheck.py` is the one with explanations.

Every entry of one array, two evaluations each, for a function whose value is a number:

    df/dx[i] = (f(x + h e_i) - f(x - h e_i)) / 2h   +   an error of order h^2

A whole backward pass for two evaluations in all: draw an upstream gradient dy and a direction v at random, and let
L = sum(dy * y). The slope of L along v is the sum of gradient * v over all inputs, whatever v is, so

    sum(dx * v)  must be  (L(x + h v) - L(x - h v)) / 2h

A wrong gradient could fit one v by chance, but only by chance.
"""

import numpy as np


def central_difference(function, x, step=1e-5):
    """The gradient of a function that returns a number, by differences, in float64.

    function(x) -> a number; each call gets an array of its own, so it may keep it or write into it
    x [...], left as it is -> gradient [...], float64
    """
    x = np.array(x, dtype=np.float64)
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[index] += step
        below[index] -= step
        gradient[index] = (function(above) - function(below)) / (2.0 * step)
    return gradient


def direction_error(forward, backward, inputs, rng, step=1e-5):
    """How far `backward` is from the derivative of `forward` along one random direction: near 1e-9 where it is right.

    forward   forward(*inputs) -> y, cache; y is an array or a float. Called three times, with copies of the inputs
    backward  backward(dy, cache) -> the gradient of the only input, or a tuple with one of each
    inputs    tuple of float64 arrays, left as they are
    rng       numpy.random.Generator: draws dy, then one direction an input
    -> |yours - difference| / the larger of |yours| and |difference|, as a float; 0.0 where both are 0
    """
    y, cache = forward(*(x.copy() for x in inputs))
    dy = rng.standard_normal(np.shape(y))
    gradients = backward(dy, cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    directions = [rng.standard_normal(x.shape) for x in inputs]
    yours = sum(float((gradient * v).sum()) for gradient, v in zip(gradients, directions, strict=True))
    above, below = (
        forward(*(x + h * v for x, v in zip(inputs, directions, strict=True)))[0] for h in (step, -step)
    )  # fmt: skip
    # Differences first, then the sum: two large sums would cancel and leave rounding errors.
    difference = float((dy * (above - below)).sum()) / (2.0 * step)
    larger = max(abs(yours), abs(difference))
    return abs(yours - difference) / larger if larger else 0.0
