"""Softmax and cross-entropy: values in exact arithmetic, large logits, empty batches, wrong labels."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimobilebert.kernels.softmax import softmax_row
from minimobilebert.ops.cross_entropy import (
    cross_entropy_backward,
    cross_entropy_forward,
    soft_cross_entropy_backward,
    soft_cross_entropy_forward,
)
from minimobilebert.ops.softmax import softmax_backward, softmax_forward

SEEDS = st.integers(0, 2**32 - 1)
SIZES = [1, 2, 63, 64, 65, 129, 300]  # the kernels look for the maximum 64 numbers at a time


def exact_softmax(row):
    exponentials = [math.exp(v - max(row)) for v in row]
    return [e / math.fsum(exponentials) for e in exponentials]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("dtype", "digits"), [(np.float64, 1e-14), (np.float32, 2e-6)])
def test_softmax_values(backend, size, dtype, digits):
    x = (5.0 * np.random.default_rng(size).normal(size=(2, 3, size))).astype(dtype)
    y, _ = softmax_forward(x)
    expected = np.array([exact_softmax(row) for row in x.reshape(6, size).tolist()]).reshape(x.shape)
    # exp of a rounded difference: a relative error of |x| roundings, |x| up to 30
    np.testing.assert_allclose(y, expected, rtol=30 * digits, atol=digits)
    np.testing.assert_allclose(y.sum(axis=-1, dtype=np.float64), 1.0, rtol=10 * digits)


@pytest.mark.parametrize("place", [0, 1, 63, 64, 127, 128, 131])
def test_the_maximum_is_found_wherever_it_is(backend, place):
    x = np.zeros((1, 132), np.float32)
    x[0, place] = 1e4  # e^1e4 overflows: only if this one is the maximum are all numbers finite
    y, cache = softmax_forward(x)
    np.testing.assert_array_equal(y[0], np.arange(132) == place)
    assert np.isfinite(softmax_backward(np.ones_like(y), cache)).all()
    losses, cache = cross_entropy_forward(x, np.array([place]))
    assert losses[0] == 0.0
    losses, _ = cross_entropy_forward(x, np.array([5]))
    assert losses[0] == (0.0 if place == 5 else 1e4)


@pytest.mark.parametrize("size", [4, 5, 8, 40])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_do_not_depend_on_how_far_apart_two_arrays_lie(size, dtype):
    """LLVM compiles a loop that writes twice and picks by addresses. A sum in such a loop would have two orders."""
    for seed in range(5):
        results = set()
        for gap in range(size, 100):
            room = np.zeros(200, dtype)
            x, y = room[:size], room[gap : gap + size]
            x[:] = 3.0 * np.random.default_rng(seed).normal(size=size)
            softmax_row(x, y)
            results.add(y.tobytes())
        assert len(results) == 1


@given(SEEDS)
def test_softmax_ignores_a_constant_and_treats_minus_infinity_as_absent(backend, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, 6))
    np.testing.assert_allclose(softmax_forward(x + rng.normal(size=(3, 1)))[0], softmax_forward(x)[0], rtol=1e-13)
    shut = np.insert(x, 2, -np.inf, axis=1)
    y, _ = softmax_forward(shut)
    assert not y[:, 2].any()
    np.testing.assert_allclose(np.delete(y, 2, axis=1), softmax_forward(x)[0], rtol=1e-14)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("dtype", "digits"), [(np.float64, 1e-14), (np.float32, 3e-6)])
def test_cross_entropy_values(backend, size, dtype, digits):
    rng = np.random.default_rng(size)
    logits, labels = (4.0 * rng.normal(size=(5, size))).astype(dtype), rng.integers(0, size, 5)
    targets = rng.dirichlet(np.ones(size), 5).astype(dtype)
    logs = np.array([[v - max(row) for v in row] for row in logits.tolist()])
    logs -= np.array([[math.log(math.fsum(math.exp(v) for v in row))] for row in logs])
    losses, _ = cross_entropy_forward(logits, labels)
    np.testing.assert_allclose(losses, -logs[np.arange(5), labels], rtol=digits, atol=digits)
    losses, _ = soft_cross_entropy_forward(logits, targets)
    expected = [-math.fsum(row) for row in targets.astype(np.float64) * logs]
    np.testing.assert_allclose(losses, expected, rtol=digits, atol=10 * digits)


@given(SEEDS)
def test_one_right_answer_is_a_distribution_of_one(backend, seed):
    rng = np.random.default_rng(seed)
    rows, words = rng.integers(1, 6, 2)
    logits, labels, dlosses = rng.normal(size=(rows, words)), rng.integers(0, words, rows), rng.normal(size=rows)
    hard, hard_cache = cross_entropy_forward(logits, labels)
    soft, soft_cache = soft_cross_entropy_forward(logits, np.eye(words)[labels])
    np.testing.assert_allclose(hard, soft, rtol=1e-12, atol=1e-13)
    dhard = cross_entropy_backward(dlosses, hard_cache)
    np.testing.assert_allclose(dhard, soft_cross_entropy_backward(dlosses, soft_cache), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(dhard.sum(axis=1), 0.0, atol=1e-14)  # a constant added to a row changes no loss
    assert (hard > -1e-15).all()


def test_equal_logits_give_the_log_of_their_number(backend):
    losses, cache = cross_entropy_forward(np.full((2, 7), 3.25), np.array([0, 6], np.int32))
    np.testing.assert_allclose(losses, math.log(7), rtol=1e-15)
    share = float(Fraction(1, 7))
    np.testing.assert_allclose(cross_entropy_backward(np.ones(2), cache)[0], [share - 1, *[share] * 6], rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_rows(backend, dtype):
    """A batch may have no masked word."""
    losses, cache = cross_entropy_forward(np.zeros((0, 5), dtype), np.zeros(0, np.int32))
    assert (losses.shape, losses.dtype) == ((0,), dtype)
    assert cross_entropy_backward(losses, cache).shape == (0, 5)
    losses, cache = soft_cross_entropy_forward(np.zeros((0, 5), dtype), np.zeros((0, 5), dtype))
    assert soft_cross_entropy_backward(losses, cache).shape == (0, 5)


@pytest.mark.parametrize(("labels", "found"), [([0, 5], "0..5"), ([-1, 2], "-1..2")])
def test_a_label_outside_is_one_clear_line(backend, labels, found):
    with pytest.raises(ValueError, match=f"label: found {found}, expected 0..4"):
        cross_entropy_forward(np.zeros((2, 5)), np.array(labels))


def test_targets_get_no_gradient_and_stay_as_they_are(backend):
    rng = np.random.default_rng(6)
    logits, targets = rng.normal(size=(3, 4)), rng.random((3, 4))
    before = targets.copy()
    _, cache = soft_cross_entropy_forward(logits, targets)
    assert soft_cross_entropy_backward(np.ones(3), cache).shape == logits.shape
    np.testing.assert_array_equal(targets, before)
