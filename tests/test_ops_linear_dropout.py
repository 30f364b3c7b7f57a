"""The dense layer by plain loops; dropout's mask, average, and what it leaves alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.ops.dropout import draw_keep, drop, dropout_backward, dropout_forward
from minimobilebert.ops.linear import linear_backward, linear_forward

SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("leading", [(), (1,), (4,), (2, 3), (0,), (2, 0)])
@pytest.mark.parametrize(("size", "out"), [(1, 1), (3, 5), (7, 2)])
def test_linear_values(backend, leading, size, out):
    rng = np.random.default_rng(size)
    x, dy = rng.normal(size=(*leading, size)), rng.normal(size=(*leading, out))
    weight, bias = rng.normal(size=(out, size)), rng.normal(size=out)
    y, cache = linear_forward(x, weight, bias)
    dx, dweight, dbias = linear_backward(dy, cache)
    expected_dweight, expected_dbias = np.zeros_like(weight), np.zeros_like(bias)
    assert y.shape == dy.shape and dx.shape == x.shape
    for token in np.ndindex(leading):
        for o in range(out):
            total = sum(weight[o, i] * x[token][i] for i in range(size)) + bias[o]
            assert y[token][o] == pytest.approx(total, rel=1e-11, abs=1e-13)
            expected_dweight[o] += dy[token][o] * x[token]
            expected_dbias[o] += dy[token][o]
        for i in range(size):
            total = sum(weight[o, i] * dy[token][o] for o in range(out))
            assert dx[token][i] == pytest.approx(total, rel=1e-11, abs=1e-13)
    np.testing.assert_allclose(dweight, expected_dweight, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(dbias, expected_dbias, rtol=1e-12, atol=1e-13)


def test_linear_without_bias(backend):
    rng = np.random.default_rng(1)
    x, weight, dy = rng.normal(size=(4, 3)), rng.normal(size=(2, 3)), rng.normal(size=(4, 2))
    y, cache = linear_forward(x, weight, None)
    np.testing.assert_allclose(y, linear_forward(x, weight, np.zeros(2))[0], rtol=1e-14)
    dx, dweight, dbias = linear_backward(dy, cache)
    assert dbias is None and dx.shape == x.shape and dweight.shape == weight.shape


@pytest.mark.parametrize(("rate", "rng"), [(0.0, np.random.default_rng(0)), (0.5, None)])
def test_dropout_that_does_nothing_copies_nothing_and_draws_nothing(rate, rng):
    x = np.ones((2, 3))
    state = rng and rng.bit_generator.state["state"]["state"]
    y, cache = dropout_forward(x, rate, rng)
    assert y is x and cache is None and dropout_backward(x, cache) is x
    assert state == (rng and rng.bit_generator.state["state"]["state"])


@given(SEEDS, st.sampled_from([0.1, 0.5, 0.9]))
def test_dropout_drops_its_share_and_keeps_the_average(seed, rate):
    x = np.full((200, 100), 3.0)
    y, cache = dropout_forward(x, rate, np.random.default_rng(seed))
    # 20,000 draws: the share of dropped ones has a deviation of at most 0.0036; five of them
    assert abs((y == 0).mean() - rate) < 0.018
    np.testing.assert_allclose(y[y != 0], 3.0 / (1.0 - rate), rtol=1e-15)
    np.testing.assert_array_equal(dropout_backward(x, cache), y)  # what was dropped forward is dropped backward


def test_dropout_drops_the_same_places_in_both_precisions():
    masks = [
        dropout_forward(np.ones((5, 7), dtype), 0.4, np.random.default_rng(2))[0] != 0
        for dtype in (np.float32, np.float64)
    ]
    np.testing.assert_array_equal(*masks)


def test_a_dropped_infinity_is_zero_and_a_kept_nan_stays():
    y, cache = dropout_forward(np.full(100, np.inf), 0.5, np.random.default_rng(3))
    assert set(np.unique(y)) == {0.0, np.inf}
    np.testing.assert_array_equal(np.isnan(dropout_backward(np.full(100, np.nan), cache)), y == np.inf)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
def test_a_rate_outside_is_one_clear_line(rate):
    with pytest.raises(ValueError, match=rf"dropout rate: found {rate}, expected a number in \[0, 1\)"):
        dropout_forward(np.ones(3), rate, np.random.default_rng(0))


@pytest.mark.parametrize("shape", [(), (0,), (1,), (5,), (3, 0, 2), (2, 5, 7)])
def test_places_are_drawn_for_any_shape(shape):
    keep = draw_keep(np.random.default_rng(4), shape, 0.5)
    assert keep.shape == shape and keep.dtype == bool
    assert draw_keep(np.random.default_rng(4), shape, 0.0).all()


def test_a_place_says_nothing_about_its_neighbours():
    """Four places share 64 random bits."""
    kept = draw_keep(np.random.default_rng(5), (400_000,), 0.3) - 0.7
    for distance in range(1, 9):
        along = (kept[distance:] * kept[:-distance]).mean() / 0.21
        assert abs(along) < 5 / np.sqrt(kept.size)  # five deviations of the mean of independent products


@given(SEEDS, st.sampled_from([(0,), (1,), (33,), (4, 17), (3, 5, 70)]), st.sampled_from([np.float32, np.float64]))
def test_both_twins_of_drop_give_the_same_bits(seed, shape, dtype):
    rng = np.random.default_rng(seed)
    x, keep = rng.standard_normal((*shape[:-1], 2 * shape[-1])).astype(dtype)[..., ::2], rng.random(shape) < 0.6
    np.testing.assert_array_equal(drop.numpy_twin(x, keep, 1.25), drop.compiled_twin(x, keep, 1.25))


@pytest.mark.parametrize("wrong", ["weight", "bias", "residual"])
def test_shapes_that_do_not_fit_are_refused(wrong):
    """Compiled code would read and write past the arrays."""
    pytest.importorskip("numba", reason="numba is not installed")
    given = {"weight": np.ones((4, 3)), "bias": np.ones(4), "residual": np.ones((5, 4))}
    given[wrong] = given[wrong][..., :-1]
    with use_backend("numba"), pytest.raises(ValueError, match=f"dense layer: found {wrong}"):
        linear_forward(np.ones((5, 3)), *given.values())


def test_a_gradient_that_does_not_fit_and_another_dtype_are_refused():
    pytest.importorskip("numba", reason="numba is not installed")
    x, weight = np.ones((5, 3), np.float32), np.ones((4, 3), np.float32)
    with use_backend("numba"):
        _, cache = linear_forward(x, weight, None)
        with pytest.raises(ValueError, match="dense layer: found dy"):
            linear_backward(np.ones((4, 4), np.float32), cache)
        with pytest.raises(ValueError, match="found weight float64"):
            linear_forward(x, weight.astype(np.float64), None)
