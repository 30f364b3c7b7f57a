"""What lesson 03's functions must do."""

import numpy as np

from minimobilebert.course.shared.bundles import backward_properties, forward_properties

RELU = "minimobilebert/ops/relu.py:relu_forward"
GELU = "minimobilebert/ops/gelu.py:gelu_forward"
GELU_TANH = "minimobilebert/ops/gelu.py:gelu_tanh_forward"
LAYERNORM = "minimobilebert/ops/layernorm.py:layernorm_forward"
NONORM = "minimobilebert/ops/nonorm.py:nonorm_forward"


# --- activations, number by number


def numbers(rng):
    return {"x": 1.5 * rng.normal(size=rng.permutation([2, 3, 5]))}


def many_numbers(rng):
    return {"x": rng.normal(size=(4, 32, 64))}


def far_out(rng):
    """Where e^(2u) is more than a float64 can hold"""
    return {"x": np.array([[-300.0, -30.0, -6.0], [6.0, 30.0, 300.0]])}


def no_numbers(rng):
    return {"x": rng.normal(size=(0, 3))}


def one_number(rng):
    return {"x": rng.normal(size=1)}


def huge_numbers(rng):
    """Where x^2 and x^3 are infinite: the slope is 0 or 1 there, and not 0 times infinity"""
    return {"x": np.array([[-1e300, -1e150, -1e100], [1e100, 1e150, 1e300]])}


borders = [no_numbers, one_number, far_out, huge_numbers]


def zeros(rng):
    return {"x": np.array([[-1.0, 0.0, 2.0], [0.0, -0.0, 1e-300]])}


# A difference of all entries at once is right to ten or eleven digits, a formula of a few roundings to fifteen.
FORMULA = 1e-13
backward_properties("03.1", numbers, forward=RELU, wrt=("x",), edges=[*borders, zeros], large=many_numbers,
                    kinks=lambda x: x, tolerance=FORMULA)  # fmt: skip
backward_properties(
    "03.1:gelu_backward", numbers, forward=GELU, wrt=("x",), edges=borders, large=many_numbers, tolerance=FORMULA
)
backward_properties(
    "03.2", numbers, forward=GELU_TANH, wrt=("x",), edges=borders, large=many_numbers, tolerance=FORMULA
)


# --- normalisation, token by token


def features(rng, *shape):
    return {"x": rng.normal(size=shape), "weight": rng.normal(size=shape[-1]), "bias": rng.normal(size=shape[-1])}


def draw(rng):
    return features(rng, *rng.permutation([2, 3, 5]))


def one_token(rng):
    """No axis for it"""
    return features(rng, 4)


def no_tokens(rng):
    return features(rng, 0, 3)


def one_feature(rng):
    return features(rng, 2, 1, 1)


def four_axes(rng):
    return features(rng, 2, 3, 2, 4)


def weight_and_bias_of_zeros(rng):
    """Zeros are a weight and a bias like any other"""
    return {**features(rng, 2, 3, 4), "weight": np.zeros(4), "bias": np.zeros(4)}


edges = [one_token, no_tokens, one_feature, four_axes, weight_and_bias_of_zeros]


def large(rng):
    return features(rng, 8, 64, 128)


def four_or_more(rng):
    """LayerNorm of two features is always -1 and 1, with no gradient worth the name"""
    return features(rng, *rng.permutation([2, 3]), int(rng.integers(4, 7)))


def plain(rng):
    """No weight and no bias: the form of feature-map transfer"""
    return {"x": rng.normal(size=(2, 3, 5)), "weight": None, "bias": None}


def all_equal(rng):
    """A token whose features are all equal has variance 0"""
    return {**features(rng, 2, 4), "x": np.array([[3.0, 3.0, 3.0, 3.0], [1.0, 2.0, 4.0, 8.0]])}


def far_from_zero(rng):
    """A mean of 1e4 beside a deviation of 1"""
    given = features(rng, 3, 6)
    return {**given, "x": given["x"] + 1e4}


def large_eps(rng):
    return {**features(rng, 3, 5), "eps": 0.3}


def many_features(rng):
    """A mean of 30 beside a deviation of 1, of 12,000 numbers: a sum one after the other loses digits in float32"""
    given = features(rng, 2, 3, 12000)
    return {**given, "x": given["x"] + 30.0}


normal_edges = [
    plain, all_equal, far_from_zero, large_eps, one_token, no_tokens, four_axes, weight_and_bias_of_zeros,
]  # fmt: skip
forward_properties("03.3", four_or_more, edges=normal_edges, large=many_features)
backward_properties(
    "03.3:layernorm_backward",
    four_or_more,
    forward=LAYERNORM,
    wrt=("x", "weight", "bias"),
    edges=normal_edges,
    large=large,
)
forward_properties("03.4", draw, edges=edges, large=large)
backward_properties("03.5", draw, forward=NONORM, wrt=("x", "weight", "bias"), edges=edges, large=large)
