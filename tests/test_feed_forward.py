"""The fused feed-forward: many blocks and groups of rows, every activation and precision, any number of threads."""

import numpy as np
import pytest
from thread_counts import threads

from minimobilebert.kernels.feed_forward import GROUPS, LARGEST_BLOCK, rows_of_block
from minimobilebert.kernels.rows import ROWS_PER_BLOCK
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.kernels.runtime.precision import use_precision
from minimobilebert.ops.fused.dense_activation import dense_activation_backward, dense_activation_forward
from minimobilebert.ops.fused.dense_nonorm import dense_nonorm_backward, dense_nonorm_forward
from minimobilebert.ops.fused.feed_forward import feed_forward_backward, feed_forward_forward

ACTIVATIONS = ("relu", "gelu", "gelu_tanh")
NAMES = ("y", "dx", "dweight1", "dbias1", "dweight2", "dbias2", "dscale", "dshift")
# rows, C, F: one row; blocks of 64 with a short last one; a partial panel; wide layers; more blocks than groups
SIZES = [(1, 3, 5), (130, 32, 128), (1000, 24, 75), (700, 128, 200), (GROUPS * LARGEST_BLOCK + 70, 4, 9)]


def draw(rows, C, F, dtype, seed=0):
    """-> the arguments of feed_forward_forward but the last, and dy"""
    rng = np.random.default_rng(seed)
    shapes = (rows, C), (F, C), (F,), (C, F), (C,), (C,), (C,), (rows, C)
    *arrays, dy = (rng.normal(size=shape).astype(dtype) for shape in shapes)
    return arrays, dy


def one_operation(arrays, dy, activation):
    """y and all gradients, as a dict of NAMES"""
    y, cache = feed_forward_forward(*arrays, activation)
    return dict(zip(NAMES, (y, *feed_forward_backward(dy, cache)), strict=True))


def two_operations(arrays, dy, activation):
    """The same with a dense layer and a dense layer."""
    x, weight1, bias1, weight2, bias2, scale, shift = arrays
    m, first = dense_activation_forward(x, weight1, bias1, activation)
    y, second = dense_nonorm_forward(m, weight2, bias2, x, scale, shift)
    dm, dweight2, dbias2, ds, dscale, dshift = dense_nonorm_backward(dy, second)
    dx, dweight1, dbias1 = dense_activation_backward(dm, first)
    return dict(zip(NAMES, (y, dx + ds, dweight1, dbias1, dweight2, dbias2, dscale, dshift), strict=True))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("size", SIZES)
def test_equals_two_operations(backend, size, activation):
    """In float64, where sums in another order differ by rounding only: 1e-12 of the largest of up to 4,166 terms."""
    arrays, dy = draw(*size, np.float64)
    expected = two_operations(arrays, dy, activation)
    for name, found in one_operation(arrays, dy, activation).items():
        assert found.shape == expected[name].shape
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(found, expected[name], rtol=0, atol=1e-12 * scale, err_msg=name)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("size", SIZES)
def test_bfloat16_equals_two_operations(size, activation):
    """The operands are rounded alike, and the wide layer that is computed again has the same bits; only sums differ."""
    arrays, dy = draw(*size, np.float32)
    with use_precision("bfloat16"):
        expected, found = two_operations(arrays, dy, activation), one_operation(arrays, dy, activation)
    for name, array in found.items():
        scale = np.abs(expected[name]).max()
        # Sums of up to 4,166 numbers with rounding errors of 6e-8 each; a bfloat16 rounding error would be 4e-3.
        np.testing.assert_allclose(array, expected[name], rtol=0, atol=1e-5 * scale, err_msg=name)


def test_bfloat16_keeps_no_wide_layer(backend):
    arrays, _ = draw(130, 32, 128, np.float32)
    for activation in ACTIVATIONS:
        _, cache = feed_forward_forward(*arrays, activation)
        assert cache.m.shape == (130, 128) and len(cache.u) == (0 if activation == "relu" else 130)
        with use_precision("bfloat16"):
            _, cache = feed_forward_forward(*arrays, activation)
        assert cache.m.size == cache.u.size == 0


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", SIZES)
def test_any_number_of_threads_gives_the_same_bits(size, precision):
    arrays, dy = draw(*size, np.float32)
    with use_precision(precision):
        with threads(1):
            alone = one_operation(arrays, dy, "relu")
        with threads(2):
            together = one_operation(arrays, dy, "relu")
    for name, array in alone.items():
        assert np.array_equal(array, together[name]), name


def test_any_leading_dimensions(backend):
    arrays, dy = draw(60, 5, 7, np.float64)
    flat = one_operation(arrays, dy, "gelu")
    shaped = one_operation([arrays[0].reshape(3, 20, 5), *arrays[1:]], dy.reshape(3, 20, 5), "gelu")
    assert shaped["y"].shape == shaped["dx"].shape == (3, 20, 5)
    for name, array in flat.items():
        assert np.array_equal(array, shaped[name].reshape(array.shape)), name


def test_no_rows(backend):
    arrays, dy = draw(0, 5, 7, np.float64)
    results = one_operation(arrays, dy, "relu")
    assert results["y"].shape == results["dx"].shape == (0, 5)
    assert all(not results[name].any() for name in NAMES[2:])


@pytest.mark.parametrize("position", range(1, 7))
def test_arrays_that_do_not_fit_are_named(position):
    arrays, _ = draw(9, 5, 7, np.float64)
    arrays[position] = arrays[position][:-1]
    with use_backend("numba"), pytest.raises(ValueError, match="feed-forward: found "):
        feed_forward_forward(*arrays, "relu")


@pytest.mark.parametrize("C, F", [(8, 8), (32, 128), (128, 512)])
def test_blocks_of_rows_are_whole_blocks_of_sums(C, F):
    for rows in (1, 63, 64, 65, 1000, 2048, 100_000):
        block = rows_of_block(rows, C, F)
        assert ROWS_PER_BLOCK <= block <= LARGEST_BLOCK and block % ROWS_PER_BLOCK == 0
