"""Principal directions: LAPACK's eigenvectors, but with the same bits everywhere."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimobilebert.distillation.principal_directions import eigenvectors, principal_directions

SEEDS = st.integers(0, 2**32 - 1)


def symmetric(rng, size):
    a = rng.normal(size=(size, size)) * rng.choice([1e-6, 1.0, 1e6])
    return a + a.T


@given(SEEDS, st.integers(1, 17))
def test_eigenvectors_are_lapacks(seed, size):
    a = symmetric(np.random.default_rng(seed), size)
    values, vectors = eigenvectors(a)
    scale = np.abs(values).max()
    np.testing.assert_allclose(values, np.linalg.eigh(a)[0][::-1], atol=1e-11 * scale)
    np.testing.assert_allclose(a @ vectors, vectors * values, atol=1e-10 * scale)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(size), atol=1e-12)
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(size)]
    assert (largest > 0.0).all()


@pytest.mark.parametrize(
    "matrix", [np.zeros((3, 3)), np.eye(5), np.ones((4, 4)), np.diag([2.0, 2.0, 1.0]), np.diag([1.0, -3.0])]
)
def test_equal_eigenvalues_and_rank_one_are_no_trouble(matrix):
    values, vectors = eigenvectors(matrix)
    np.testing.assert_allclose((vectors * values) @ vectors.T, matrix, atol=1e-14)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(len(matrix)), atol=1e-14)


@given(SEEDS)
def test_no_table_of_this_rank_is_nearer(backend, seed):
    """The error is that of the best approximation, by the singular values (Eckart and Young)."""
    table = np.random.default_rng(seed).normal(size=(40, 9)) @ np.diag(np.arange(1.0, 10.0))
    squares = np.linalg.svd(table, compute_uv=False) ** 2
    for count in (1, 4, 9):
        directions, kept = principal_directions(table, count)
        assert directions.shape == (9, count)
        error = ((table - table @ directions @ directions.T) ** 2).sum()
        assert error == pytest.approx(squares[count:].sum(), abs=1e-9 * squares.sum())
        assert kept == pytest.approx(squares[:count].sum() / squares.sum(), rel=1e-10)


def test_the_type_is_the_tables_and_the_bits_are_fixed():
    """Jacobi's method only multiplies, adds and takes roots: the same digits for every NumPy, BLAS and processor."""
    table = (np.arange(12 * 8).reshape(12, 8) % 7 - 3).astype(np.float32)  # X^T X is exact in float64
    directions, _ = principal_directions(table, 3)
    assert directions.dtype == np.float32
    assert hashlib.sha256(directions.tobytes()).hexdigest()[:16] == "9a969540502661e7"
