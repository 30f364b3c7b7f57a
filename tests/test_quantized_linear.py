"""Products in 8 bits: rows and sums exact in integers, both back ends equal bit for bit, extremes, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.ops.quantized_linear import (
    MOST_INPUTS,
    PER_TENSOR,
    SCALES,
    QuantizedWeight,
    quantize_rows,
    quantize_weight,
    quantized_linear_forward,
)

FLOAT = np.float32
sizes = st.integers(1, 70)


def by_hand(x, weight, bias, residual):
    """The same arithmetic in loops over Python's integers"""
    y = np.empty((len(x), len(weight.integers)), FLOAT)
    for t, row in enumerate(x):
        integers, scale = quantize_rows(row, weight.input_range)
        for o, w in enumerate(weight.integers):
            total = sum(int(a) * int(b) for a, b in zip(integers, w, strict=True))
            value = FLOAT(FLOAT(FLOAT(total) * weight.scales[o]) * scale)
            if bias is not None:
                value = FLOAT(value + bias[o])
            y[t, o] = value if residual is None else FLOAT(value + residual[t, o])
    return y


@given(seed=st.integers(0, 2**32), rows=st.integers(0, 20), size=st.integers(0, 70), magnitude=st.integers(-20, 30))
def test_a_row_is_at_most_half_a_scale_away(seed, rows, size, magnitude):
    x = (np.random.default_rng(seed).normal(size=(rows, size)) * 10.0**magnitude).astype(FLOAT)
    integers, scales = quantize_rows(x)
    assert integers.dtype == np.int8 and integers.shape == x.shape and scales.shape == (rows,)
    assert (integers >= -127).all() and (np.abs(integers).max(axis=1, initial=0) == (127 if size else 0)).all()
    # Half a step, and three roundings of float32: of the scale, its inverse, and their product with x.
    assert (np.abs(integers * scales[:, None].astype(np.float64) - x) <= scales[:, None] * (0.5 + 127 * 2.0**-22)).all()


@given(seed=st.integers(0, 2**32), rows=st.integers(1, 40), inputs=sizes, outputs=sizes, extras=st.integers(0, 3))
def test_both_back_ends_and_loops_agree_to_the_bit(seed, rows, inputs, outputs, extras):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(rows, inputs)) * 10.0 ** rng.integers(-6, 6, (rows, 1))).astype(FLOAT)
    weight = quantize_weight(rng.normal(size=(outputs, inputs)).astype(FLOAT))
    bias = rng.normal(size=outputs).astype(FLOAT) if extras & 1 else None
    residual = rng.normal(size=(rows, outputs)).astype(FLOAT) if extras & 2 else None
    found = {}
    for backend in ("numpy", "numba"):
        with use_backend(backend):
            found[backend] = quantized_linear_forward(x, weight, bias, residual)
    assert np.array_equal(found["numpy"], found["numba"])
    if rows * inputs * outputs < 3000:
        assert np.array_equal(found["numpy"], by_hand(x, weight, bias, residual))


@given(
    seed=st.integers(0, 2**32), rows=st.integers(1, 20), inputs=sizes, outputs=sizes, size=st.integers(-3, 3),
    scales=st.sampled_from(SCALES),
)  # fmt: skip
def test_with_a_given_range_they_agree_too(seed, rows, inputs, outputs, size, scales):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(rows, inputs)) * 10.0 ** rng.integers(-3, 4, (rows, 1))).astype(FLOAT)
    weight = quantize_weight(rng.normal(size=(outputs, inputs)).astype(FLOAT), scales, FLOAT(10.0**size))
    found = {}
    for backend in ("numpy", "numba"):
        with use_backend(backend):
            found[backend] = quantized_linear_forward(x, weight, None)
    assert np.array_equal(found["numpy"], found["numba"])
    if rows * inputs * outputs < 3000:
        assert np.array_equal(found["numpy"], by_hand(x, weight, None, None))
    # Where nothing saturates, the layer is as exact as its scale; beyond, a number counts as the largest one.
    limit = FLOAT(10.0**size)
    clipped = quantized_linear_forward(np.clip(x, -limit, limit), weight, None)
    assert np.array_equal(clipped, found["numpy"])


def test_numbers_beyond_the_range_saturate(backend):
    weight = QuantizedWeight(np.eye(6, dtype=np.int8), np.ones(6, FLOAT), FLOAT(127.0))
    x = np.array([[0.4, 0.6, 126.6, 128.0, -1e30, 3e38], [np.nan, 0, 0, 0, 0, 0], [0, 0, 0, np.inf, 0, 0]], FLOAT)
    y = quantized_linear_forward(x, weight, None)
    assert y[0].tolist() == [0, 1, 127, 127, -127, 127] and np.isnan(y[1:]).all()
    for nothing in (0.0, 9e-31):
        weight = QuantizedWeight(np.eye(6, dtype=np.int8), np.ones(6, FLOAT), FLOAT(nothing))
        assert quantized_linear_forward(x[:1], weight, np.ones(6, FLOAT)).tolist() == [[1] * 6]


def test_one_scale_for_a_whole_weight():
    weight = np.array([[100.0, -50.0], [0.3, 1.0]], FLOAT)
    one, each = quantize_weight(weight, PER_TENSOR), quantize_weight(weight)
    assert one.integers.tolist() == [[127, -64], [0, 1]] and one.scales.tolist() == [FLOAT(100 / 127)] * 2
    assert each.integers.tolist() == [[127, -64], [38, 127]] and one.scales.dtype == each.scales.dtype == FLOAT


@pytest.mark.parametrize("inputs", [1, 2, 3, 4, 5, 63, 64, 65, 4096])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_sums(backend, inputs, sign):
    weight = QuantizedWeight(np.full((33, inputs), sign * 127, np.int8), np.ones(33, FLOAT))
    y = quantized_linear_forward(np.full((15, inputs), 2.0, FLOAT), weight, None)
    assert np.array_equal(y, np.full((15, 33), sign * 127 * 127 * inputs * (FLOAT(2) / FLOAT(127)), FLOAT))


def test_the_longest_sum_fits_and_a_longer_one_is_refused(backend):
    weight = quantize_weight(np.ones((1, MOST_INPUTS), FLOAT))
    weight = QuantizedWeight(weight.integers, np.ones(1, FLOAT))
    y = quantized_linear_forward(np.full((1, MOST_INPUTS), 127.0, FLOAT), weight, None)
    assert y[0, 0] == FLOAT(127 * 127 * MOST_INPUTS) and 127 * 127 * MOST_INPUTS < 2**31
    with pytest.raises(ValueError, match="expected at most"):
        quantize_weight(np.ones((1, MOST_INPUTS + 1), FLOAT))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_with_nan_or_infinity_is_nan_and_no_other(backend, bad):
    x = np.random.default_rng(2).normal(size=(20, 37)).astype(FLOAT)
    weight = quantize_weight(np.random.default_rng(3).normal(size=(40, 37)).astype(FLOAT))
    clean = quantized_linear_forward(x, weight, None)
    for column in (0, 15, 16, 36):
        spoilt = x.copy()
        spoilt[7, column] = bad
        y = quantized_linear_forward(spoilt, weight, None)
        assert np.isnan(y[7]).all() and np.array_equal(np.delete(y, 7, 0), np.delete(clean, 7, 0))
    with pytest.raises(ValueError, match="NaN or infinity"):
        quantize_weight(spoilt)


@pytest.mark.parametrize("tiny", [0.0, 1e-45, 1e-38, 9e-31])
def test_a_row_of_tiny_numbers_counts_as_zeros(backend, tiny):
    weight = quantize_weight(np.ones((5, 9), FLOAT))
    y = quantized_linear_forward(np.full((3, 9), tiny, FLOAT), weight, np.arange(5, dtype=FLOAT))
    assert np.array_equal(y, np.tile(np.arange(5, dtype=FLOAT), (3, 1)))


@pytest.mark.parametrize("shape", [(0, 5, 3), (4, 0, 3), (4, 5, 0)])
def test_nothing_to_do(backend, shape):
    rows, inputs, outputs = shape
    weight = quantize_weight(np.ones((outputs, inputs), FLOAT))
    y = quantized_linear_forward(np.ones((rows, inputs), FLOAT), weight, np.ones(outputs, FLOAT))
    assert np.array_equal(y, np.ones((rows, outputs)) * (1 + inputs))


def test_ties_go_to_the_even_integer(backend):
    x = np.array([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, 126.5]], FLOAT)
    weight = QuantizedWeight(np.eye(7, dtype=np.int8), np.ones(7, FLOAT))
    assert quantized_linear_forward(x, weight, None).tolist() == [[127, 0, 2, 2, 0, -2, 126]]
