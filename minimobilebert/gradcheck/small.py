"""A gradient checker in two small functions, the tasks of lesson 01. `check.py` is the full checker.

For a scalar function: two evaluations for each entry of an array.

    df/dx[i] = (f(x + h e_i) - f(x - h e_i)) / 2h   +   an error of order h^2

For a backward pass: two evaluations in total. Draw an upstream gradient dy and a direction v at random, and let
L = sum(dy * y). The directional derivative of L along v is the sum of gradient * v over all inputs, so

    sum(dx * v)  must be  (L(x + h v) - L(x - h v)) / 2h

With a random v, a wrong gradient passes only by chance.
"""

import numpy as np


def central_difference(function, x, step=1e-5):
    """The gradient of a scalar function by central differences in float64.

    function(x) -> a number; each call gets its own array, which it may keep or modify
    x [...], not modified -> gradient [...], float64
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
    """The relative error of `backward` along one random direction; near 1e-9 if it is correct.

    forward   forward(*inputs) -> y, cache; y is an array or a float. Called three times, with copies of the inputs
    backward  backward(dy, cache) -> the gradient of the only input, or a tuple with one per input
    inputs    tuple of float64 arrays, not modified
    rng       numpy.random.Generator: its `standard_normal` draws dy, then one direction per input, and nothing else
    -> |analytic - difference| / the larger of |analytic| and |difference|, as a float; 0.0 if both are 0
    """
    y, cache = forward(*(x.copy() for x in inputs))
    dy = rng.standard_normal(np.shape(y))
    gradients = backward(dy, cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    directions = [rng.standard_normal(x.shape) for x in inputs]
    analytic = sum(float((gradient * v).sum()) for gradient, v in zip(gradients, directions, strict=True))
    above, below = (
        forward(*(x + h * v for x, v in zip(inputs, directions, strict=True)))[0] for h in (step, -step)
    )  # fmt: skip
    # Subtract before summing: the difference of two large sums would be mostly rounding error.
    difference = float((dy * (above - below)).sum()) / (2.0 * step)
    larger = max(abs(analytic), abs(difference))
    return abs(analytic - difference) / larger if larger else 0.0
