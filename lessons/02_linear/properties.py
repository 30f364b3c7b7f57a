"""What lesson 02's functions must do. Arguments are drawn here; what is right comes from the reference."""

import numpy as np

from minimobilebert.course.shared.bundles import backward_properties, forward_properties

LINEAR = "minimobilebert/ops/linear.py:linear_forward"


def layer(rng, tokens, size, out, bias=True, residual=False):
    return {
        "x": rng.normal(size=(*tokens, size)),
        "weight": rng.normal(size=(out, size)),
        "bias": rng.normal(size=out) if bias else None,
        **({"residual": rng.normal(size=(*tokens, out))} if residual else {}),
    }


def draw(rng):
    """[B, T, in] -> [B, T, out], all four sizes different: a transpose in the wrong place cannot fit by chance"""
    batch, tokens, size, out = rng.permutation([2, 3, 4, 5])
    return layer(rng, (batch, tokens), size, out)


def with_residual(rng):
    return layer(rng, (2, 3), 4, 5, residual=True)


def without_bias(rng):
    return layer(rng, (3, 2), 5, 4, bias=False)


def no_tokens(rng):
    return layer(rng, (0,), 3, 4)


def one_token(rng):
    return layer(rng, (), 4, 3)


def one_of_each(rng):
    return layer(rng, (1, 1), 1, 1)


def bias_of_zeros(rng):
    """As at the start of training: it is a bias, and has a gradient"""
    return {**layer(rng, (2, 3), 4, 5), "bias": np.zeros(5)}


def long_rows(rng):
    """Long sums; and three axes of products, [tokens, out, in], would be large beside the arrays"""
    return layer(rng, (4, 25), 3000, 40, residual=True)


def large(rng):
    """25 million products: a formula takes moments, loops of Python or two forward passes a number a minute."""
    return layer(rng, (8, 256), 128, 96)


edges = [with_residual, without_bias, bias_of_zeros, no_tokens, one_token, one_of_each]
forward_properties("02.1", draw, edges=edges, large=long_rows)
backward_properties("02.2", draw, forward=LINEAR, wrt=("x", "weight", "bias"), edges=edges[1:], large=large)
