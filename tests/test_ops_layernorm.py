"""LayerNorm and NoNorm: values by plain loops, and the rows where a careless LayerNorm breaks."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimobilebert.ops.layernorm import layernorm_backward, layernorm_forward
from minimobilebert.ops.nonorm import nonorm_backward, nonorm_forward

SEEDS = st.integers(0, 2**32 - 1)


def normalized(row, eps):
    mean = math.fsum(row) / len(row)
    variance = math.fsum((v - mean) ** 2 for v in row) / len(row)
    return [(v - mean) / math.sqrt(variance + eps) for v in row]


@given(SEEDS, st.sampled_from([1e-12, 1e-5, 0.5]))
def test_layernorm_values(backend, seed, eps):
    rng = np.random.default_rng(seed)
    rows, size = rng.integers(1, 5), rng.integers(1, 70)
    x = rng.normal(rng.normal(), 2.0, (rows, size))
    weight, bias = rng.normal(size=(2, size))
    expected = [[w * n + b for n, w, b in zip(normalized(row, eps), weight, bias, strict=True)] for row in x]
    np.testing.assert_allclose(layernorm_forward(x, weight, bias, eps)[0], expected, rtol=1e-10, atol=1e-10)
    plain, _ = layernorm_forward(x, None, None, eps)
    np.testing.assert_allclose(plain, [normalized(row, eps) for row in x], rtol=1e-10, atol=1e-10)


def test_without_weight_and_bias_only_dx_comes_back(backend):
    rng = np.random.default_rng(1)
    x, dy = rng.normal(size=(2, 3, 4, 9))
    _, cache = layernorm_forward(x, None, None)
    dx, dweight, dbias = layernorm_backward(dy, cache)
    assert dweight is None and dbias is None
    _, cache = layernorm_forward(x, np.ones(9), np.zeros(9))
    np.testing.assert_array_equal(dx, layernorm_backward(dy, cache)[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, -3.3, 1e7, 1e-30])
@pytest.mark.parametrize("size", [1, 3, 128, 513])
def test_rows_of_equal_numbers_are_finite_and_become_the_bias(backend, dtype, value, size):
    rng = np.random.default_rng(2)
    x = np.full((2, size), value, dtype)
    weight, bias = rng.normal(size=(2, size)).astype(dtype)
    y, cache = layernorm_forward(x, weight, bias)
    # The mean of n equal numbers is off by a rounding at most, and the correction removes that.
    np.testing.assert_array_equal(y, np.broadcast_to(bias, y.shape))
    np.testing.assert_allclose(cache.rstd, 1e6, rtol=1e-6)
    gradients = layernorm_backward(rng.normal(size=x.shape).astype(dtype), cache)
    assert all(np.isfinite(g).all() for g in gradients)
    assert np.abs(gradients[0]).max() <= 1e8  # 1 / sqrt(1e-12) = 1e6 times numbers of size 1


def test_a_large_common_offset_costs_no_digits(backend):
    """float32 rows around 1000 with deviation 0.1: E[x^2] - E[x]^2 would lose everything here."""
    rng = np.random.default_rng(3)
    x = (1000.0 + 0.1 * rng.normal(size=(8, 300))).astype(np.float32)
    expected = [normalized(row.astype(np.float64), 1e-12) for row in x]
    # The mean is known to about 1e-5 (half a unit in the last place of 1000 is 3e-5), in deviations: 3e-4
    np.testing.assert_allclose(layernorm_forward(x, None, None)[0], expected, atol=5e-4)


@given(SEEDS)
def test_layernorm_ignores_level_and_scale_of_a_token(backend, seed):
    rng = np.random.default_rng(seed)
    x, weight, bias = rng.normal(size=(4, 7)), *rng.normal(size=(2, 7))
    moved = x * rng.uniform(0.5, 4.0, (4, 1)) + rng.normal(size=(4, 1))
    np.testing.assert_allclose(
        layernorm_forward(moved, weight, bias)[0], layernorm_forward(x, weight, bias)[0], rtol=1e-8, atol=1e-8
    )


def test_nonorm_is_scale_and_shift_and_nothing_else(backend):
    rng = np.random.default_rng(4)
    x, weight, bias = 1e7 * rng.normal(size=(2, 3, 5)), *rng.normal(size=(2, 5))
    y, cache = nonorm_forward(x, weight, bias)
    dy = rng.normal(size=x.shape)
    dx, dweight, dbias = nonorm_backward(dy, cache)
    for b, t, n in np.ndindex(x.shape):
        assert y[b, t, n] == pytest.approx(weight[n] * x[b, t, n] + bias[n], rel=1e-14)
        assert dx[b, t, n] == dy[b, t, n] * weight[n]
    for n in range(5):
        assert dweight[n] == pytest.approx(math.fsum((dy[..., n] * x[..., n]).flat), rel=1e-12)
        assert dbias[n] == pytest.approx(math.fsum(dy[..., n].flat), rel=1e-12)


@pytest.mark.parametrize("rows", [0, 1, 63, 64, 65, 128, 200])
@pytest.mark.parametrize("name", ["nonorm", "layernorm"])
def test_sums_over_rows_at_the_borders_of_blocks(backend, name, rows):
    """The kernels sum 64 rows at a time: no row is lost or counted twice where a block ends."""
    forward, backward = {
        "nonorm": (nonorm_forward, nonorm_backward), "layernorm": (layernorm_forward, layernorm_backward)
    }[name]  # fmt: skip
    rng = np.random.default_rng(rows)
    x, dy, weight = rng.normal(size=(rows, 3)), rng.normal(size=(rows, 3)), rng.normal(size=3)
    _, cache = forward(x, weight, np.zeros(3))
    dx, dweight, dbias = backward(dy, cache)
    factor = x if name == "nonorm" else np.array([normalized(row, 1e-12) for row in x]).reshape(rows, 3)
    assert dx.shape == x.shape
    np.testing.assert_allclose(dweight, (dy * factor).sum(axis=0), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(dbias, dy.sum(axis=0), rtol=1e-12, atol=1e-12)
