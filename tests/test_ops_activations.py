"""ReLU, GELU, tanh, and the exponential they are made of: values against the C library's, and the far ends."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimobilebert.kernels.exponential import exp_scalar, log_scalar, tanh_scalar
from minimobilebert.kernels.normal_distribution import normal_cdf_scalar
from minimobilebert.kernels.runtime.jit import jit
from minimobilebert.ops.gelu import erf, gelu_backward, gelu_forward, gelu_tanh_backward, gelu_tanh_forward
from minimobilebert.ops.relu import relu_backward, relu_forward
from minimobilebert.ops.tanh import tanh_backward, tanh_forward

SEEDS = st.integers(0, 2**32 - 1)
FORWARD = {"relu": relu_forward, "gelu": gelu_forward, "gelu_tanh": gelu_tanh_forward, "tanh": tanh_forward}
BACKWARD = {"relu": relu_backward, "gelu": gelu_backward, "gelu_tanh": gelu_tanh_backward, "tanh": tanh_backward}
ORACLE = {
    "relu": lambda x: max(x, 0.0),
    "gelu": lambda x: 0.5 * x * (1.0 + math.erf(x / math.sqrt(2.0))),
    "gelu_tanh": lambda x: 0.5 * x * (1.0 + math.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3))),
    "tanh": math.tanh,
}


@jit
def _exp(x, y):
    for i in range(x.size):
        y[i] = exp_scalar(x[i])


@jit
def _log(x, y):
    for i in range(x.size):
        y[i] = log_scalar(x[i])


@jit
def _tanh(x, y):
    for i in range(x.size):
        y[i] = tanh_scalar(x[i])


@jit
def _normal_cdf(x, y):
    for i in range(x.size):
        y[i] = normal_cdf_scalar(x[i])


def apply(function, x):
    y = np.empty_like(x)
    function(x, y)
    return y


def distance(y, exact):
    """Distance from the exact value in units of the last place of y's type."""
    return np.abs(y.astype(np.float64) - exact) / np.spacing(np.abs(exact).astype(y.dtype)).astype(np.float64)


def bit_patterns(seed, count=200_000):
    """Random float32 of every size: random bits."""
    x = np.random.default_rng(seed).integers(0, 2**32, count, dtype=np.uint32).view(np.float32)
    return x[np.isfinite(x)]


@pytest.mark.parametrize("seed", range(3))
def test_float32_exponential_is_within_two_units_in_the_last_place(seed):
    uniform = np.random.default_rng(seed).uniform(-87.3, 88.7, 200_000).astype(np.float32)
    for x in (bit_patterns(seed), uniform):
        with np.errstate(over="ignore", under="ignore"):
            y, exact = apply(_exp, x), np.exp(x.astype(np.float64))
        normal = (x > np.float32(-87.33)) & (x < np.float32(88.72))
        assert distance(y[normal], exact[normal]).max() <= 2.0
        assert (y[x < np.float32(-87.34)] == 0.0).all()
        assert np.isposinf(y[x > np.float32(88.73)]).all()


def test_exponential_at_its_edges():
    largest, smallest = np.float32(88.72283), np.float32(-87.33654)
    x = np.array([0.0, -0.0, largest, np.nextafter(largest, np.float32(100)), smallest,
                  np.nextafter(smallest, np.float32(-100)), np.inf, -np.inf, np.nan], np.float32)  # fmt: skip
    y = apply(_exp, x)
    assert (y[:2] == 1.0).all()
    assert 3.4e38 < y[2] < np.inf and y[3] == np.inf
    assert y[4] >= np.finfo(np.float32).tiny and y[5] == 0.0
    assert y[6] == np.inf and y[7] == 0.0 and np.isnan(y[8])
    # the limits themselves are the right ones
    assert np.exp(np.float64(np.nextafter(largest, np.float32(100)))) > np.finfo(np.float32).max
    assert np.exp(np.float64(np.nextafter(smallest, np.float32(-100)))) < np.finfo(np.float32).tiny


@pytest.mark.parametrize("seed", range(3))
def test_float32_tanh_and_normal_distribution(seed):
    uniform = np.random.default_rng(seed).uniform(-9.0, 9.0, 20_000).astype(np.float32)
    for x in (bit_patterns(seed, 20_000), uniform):
        assert distance(apply(_tanh, x), np.tanh(x.astype(np.float64))).max() <= 2.0
        exact = np.array([0.5 * math.erfc(-float(v) / math.sqrt(2.0)) for v in x])
        assert np.abs(apply(_normal_cdf, x) - exact).max() <= 1e-7
    edges = np.array([0.0, np.inf, -np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(apply(_tanh, edges), [0.0, 1.0, -1.0, np.nan])
    np.testing.assert_array_equal(apply(_normal_cdf, edges), [0.5, 1.0, 0.0, np.nan])


@pytest.mark.parametrize("size", [1e-300, 1e-9, 1e-3, 0.5, 1.0, 8.0, 30.0, 700.0])
def test_float64_functions_are_within_two_units_in_the_last_place(size):
    x = np.random.default_rng(4).uniform(-size, size, 5_000)
    assert distance(apply(_exp, x), np.array([math.exp(v) for v in x])).max() <= 2.0
    assert distance(apply(_tanh, x), np.array([math.tanh(v) for v in x])).max() <= 2.0
    for positive in (np.abs(x), 1.0 + np.minimum(np.abs(x), 1.0) * 1e-3, np.exp(x)):  # log is hardest near 1
        positive = positive[positive > 0.0]
        assert distance(apply(_log, positive), np.array([math.log(v) for v in positive])).max() <= 2.0
    exact = np.array([0.5 * math.erfc(-v / math.sqrt(2.0)) for v in x])
    np.testing.assert_allclose(apply(_normal_cdf, x), exact, rtol=0, atol=4e-16)  # two units of numbers below 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-300, 1e-9, 0.5, 0.9, 2.0, 8.0, 700.0])
def test_erf_of_both_back_ends(backend, size, dtype):
    """In float64 for both types; near 0 it is right relative to x."""
    x = np.random.default_rng(5).uniform(-size, size, (40, 50)).astype(dtype)
    exact = np.array([math.erf(float(v)) for v in x.reshape(-1)]).reshape(x.shape)
    found = erf(x[:, ::2])
    assert found.dtype == np.float64 and distance(found, exact[:, ::2]).max() <= 4.0
    edges = np.array([0.0, -0.0, np.inf, -np.inf, np.nan], dtype)
    np.testing.assert_array_equal(erf(edges), [0.0, -0.0, 1.0, -1.0, np.nan])


@pytest.mark.parametrize("seed", range(3))
def test_float32_logarithm_is_rounded_once(seed):
    x = np.abs(bit_patterns(seed, 20_000))
    x = x[x > 0]
    assert distance(apply(_log, x), np.array([math.log(float(v)) for v in x])).max() <= 0.51


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exp_and_log_at_zero_infinity_and_nan(dtype):
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -1.0], dtype)
    np.testing.assert_array_equal(apply(_log, x), [-np.inf, -np.inf, np.inf, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(apply(_exp, x[:5]), [1.0, 1.0, np.inf, 0.0, np.nan])
    smallest = np.array([5e-324, 2.2250738585072014e-308, 1e-310])
    np.testing.assert_array_equal(apply(_log, smallest), [math.log(v) for v in smallest])
    np.testing.assert_array_equal(apply(_exp, np.array([709.782712893384, 709.79, -745.2])),
                                  [math.exp(709.782712893384), np.inf, 0.0])  # fmt: skip


@pytest.mark.parametrize("name", FORWARD)
@given(seed=SEEDS)
def test_values(backend, name, seed):
    x = 4.0 * np.random.default_rng(seed).normal(size=(3, 5))
    expected = np.vectorize(ORACLE[name])(x)
    # The textbook form 1 + erf cancels for negative x, to about 1e-16 of |x|.
    np.testing.assert_allclose(FORWARD[name](x)[0], expected, rtol=1e-13, atol=1e-15)
    single, _ = FORWARD[name](x.astype(np.float32))
    np.testing.assert_allclose(single, np.vectorize(ORACLE[name])(x.astype(np.float32)), rtol=1e-6, atol=1e-6)


def test_the_two_forms_of_gelu_differ_by_less_than_5e_4(backend):
    x = np.linspace(-8.0, 8.0, 20_001)
    gap = np.abs(gelu_forward(x)[0] - gelu_tanh_forward(x)[0]).max()
    assert 4e-4 < gap < 5e-4


@pytest.mark.parametrize("name", ["relu", "gelu", "gelu_tanh"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_out_the_slope_is_exactly_zero_or_one(backend, name, dtype):
    """NoNorm activations reach 1e7; whatever is squared or cubed on the way must not turn into NaN."""
    x = np.array([50.0, 1e7, 1e20, 1e30, np.finfo(dtype).max, -50.0, -1e7, -1e20, -1e30, np.finfo(dtype).min], dtype)
    with np.errstate(over="ignore"):
        y, cache = FORWARD[name](x)
        dx = BACKWARD[name](np.ones_like(x), cache)
        assert BACKWARD[name](np.ones(1, dtype), FORWARD[name](np.array([np.inf], dtype))[1]) == 1.0
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    np.testing.assert_array_equal(dx, x > 0)


@pytest.mark.parametrize("name", FORWARD)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0, 3), (1, 1, 1)])
def test_any_number_of_dimensions(backend, name, shape):
    x = np.random.default_rng(5).normal(size=shape)
    y, cache = FORWARD[name](np.asarray(x))
    assert np.shape(y) == np.shape(BACKWARD[name](np.ones(shape), cache)) == shape


def test_relu_at_its_kink_has_slope_zero(backend):
    _, cache = relu_forward(np.array([-1.0, 0.0, -0.0, 1.0]))
    np.testing.assert_array_equal(relu_backward(np.full(4, 3.0), cache), [0.0, 0.0, 0.0, 3.0])
    y, _ = relu_forward(np.array([np.nan, np.inf, -np.inf]))
    np.testing.assert_array_equal(y, [np.nan, np.inf, 0.0])
