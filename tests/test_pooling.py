"""Pooling and normalisation of sentence vectors: against plain loops, at padding, ties, zeros, and huge activations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimobilebert.ops.pooling import POOLINGS, normalize_backward, normalize_forward, pool_backward, pool_forward


def by_loops(hidden, mask, mode):
    rows = []
    for states, real in zip(hidden, mask, strict=True):
        tokens = [states[t].astype(np.float64) for t in range(len(real)) if real[t]]
        rows.append({"mean": sum(tokens) / len(tokens), "cls": states[0], "max": np.max(tokens, axis=0)}[mode])
    return np.array(rows)


@st.composite
def batches(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    batch, tokens, size = (int(n) for n in rng.integers(1, 9, 3))
    mask = rng.random((batch, tokens)) < 0.7  # padding anywhere, not only behind the text
    mask[:, 0] = True
    return rng.normal(size=(batch, tokens, size)).astype(np.float32), mask


@pytest.mark.parametrize("mode", POOLINGS)
@given(batches())
def test_pooling_is_that_of_plain_loops_and_ignores_padding(backend, mode, batch):
    hidden, mask = batch
    vectors, cache = pool_forward(hidden, mask, mode)
    np.testing.assert_allclose(vectors, by_loops(hidden, mask, mode), rtol=1e-5, atol=1e-6)
    other = np.where(mask[:, :, None], hidden, np.float32(1e7))
    np.testing.assert_array_equal(pool_forward(other, mask, mode)[0], vectors)
    dhidden = pool_backward(np.ones_like(vectors), cache)
    assert dhidden.dtype == np.float32 and not dhidden[~mask].any()
    # Each mode hands the whole gradient back to the tokens.
    np.testing.assert_allclose(dhidden.sum(axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("mode", POOLINGS)
@given(batches(), st.integers(1, 6))
def test_more_padding_changes_no_bit(mode, batch, more):
    hidden, mask = batch
    padded = np.concatenate([hidden, np.full((len(hidden), more, hidden.shape[2]), 9, np.float32)], axis=1)
    longer = np.concatenate([mask, np.zeros((len(mask), more), bool)], axis=1)
    np.testing.assert_array_equal(pool_forward(padded, longer, mode)[0], pool_forward(hidden, mask, mode)[0])


def test_the_first_of_equal_maxima_gets_the_gradient():
    hidden = np.array([[[9.0], [2.0], [5.0], [5.0]]])
    vectors, cache = pool_forward(hidden, np.array([[False, True, True, True]]), "max")
    assert vectors.tolist() == [[5.0]]
    assert pool_backward(np.array([[3.0]]), cache)[0, :, 0].tolist() == [0.0, 0.0, 3.0, 0.0]


def test_what_cannot_be_pooled_is_named():
    hidden, mask = np.zeros((2, 3, 4)), np.array([[True, True, False], [False, False, False]])
    with pytest.raises(ValueError, match="no token in row 1"):
        pool_forward(hidden, mask, "mean")
    with pytest.raises(ValueError, match=r"pooling: found 'sum', expected one of mean, cls, max"):
        pool_forward(hidden, mask, "sum")
    with pytest.raises(ValueError, match=r"found shape \(2, 2\), expected \(2, 3\)"):
        pool_forward(hidden, mask[:, :2], "cls")


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e7, 1e30])
def test_length_is_one_at_every_scale_of_float32(backend, scale):
    """The squares of 1e30 overflow float32, those of 1e-30 vanish in it."""
    rng = np.random.default_rng(3)
    x = (rng.normal(size=(50, 512)) * scale).astype(np.float32)
    with np.errstate(all="raise", under="ignore"):
        y, cache = normalize_forward(x, eps=0.0)
        dx = normalize_backward(rng.normal(size=x.shape).astype(np.float32), cache)
    assert y.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(y.astype(np.float64), axis=1), 1.0, rtol=1e-6)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(y, exact / np.linalg.norm(exact, axis=1, keepdims=True), rtol=1e-5, atol=1e-9)
    # A gradient has no part along the vector, whose length does not matter.
    along = (dx.astype(np.float64) * y).sum(axis=1)
    assert np.abs(along).max() < 1e-5 * np.abs(dx).max()


def test_a_vector_of_zeros_has_no_direction_and_stays_finite(backend):
    x = np.zeros((2, 4), np.float32)
    y, cache = normalize_forward(x)
    assert not y.any()
    assert np.isfinite(normalize_backward(np.ones_like(x), cache)).all()
    assert normalize_forward(np.zeros((0, 4), np.float32))[0].shape == (0, 4)
