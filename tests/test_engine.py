"""The inference engine against the readable encoder in NumPy: every model, every way of sharing out the rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thread_counts import threads
from tiny_models import CONFIGS, random_parameters

from minimobilebert.inference.engine import Engine
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.kernels.runtime.precision import PRECISIONS, use_precision
from minimobilebert.model.encoder import encoder_forward


def inputs(config, batch, tokens, seed):
    """Random ids, segments and a mask with at least one real token a sequence."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, config.vocab_size, (batch, tokens)).astype(np.int32)
    segments = rng.integers(0, 2, (batch, tokens)).astype(np.int32)
    return ids, segments, np.arange(tokens) < rng.integers(1, tokens + 1, (batch, 1))


def readable(params, config, batch):
    with use_backend("numpy"):
        return encoder_forward(params, config, *batch)[0].hidden_states[-1]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=8)
@given(batch=st.integers(1, 4), tokens=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
def test_the_engine_is_the_encoder(name, dtype, batch, tokens, seed):
    config = CONFIGS[name]
    params = random_parameters(config, np.random.default_rng(seed), dtype=dtype)
    batch = inputs(config, batch, min(tokens, config.max_position_embeddings), seed)
    with use_backend("numba"):
        found = Engine(params, config)(*batch)
    expected = readable(params, config, batch)
    assert found.dtype == dtype and found.shape == expected.shape
    # Two layers of sums in another order: some tens of roundings of the largest number, more where LayerNorm divides.
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e3 * np.finfo(dtype).eps * np.abs(expected).max())


@pytest.mark.parametrize("name", CONFIGS)
def test_wide_enough_for_whole_tiles_and_blocks(name):
    """Widths beyond a tile, a depth beyond a block, several parts a thread, sequences cut in the middle."""
    config = CONFIGS[name].replace(
        hidden_size=96, embedding_size=96 if CONFIGS[name].embedding_size == CONFIGS[name].hidden_size else 40,
        intra_bottleneck_size=80, intermediate_size=300, max_position_embeddings=70,
    )  # fmt: skip
    params = random_parameters(config, np.random.default_rng(1), dtype=np.float64)
    batch = inputs(config, 5, 67, 2)
    with use_backend("numba"):
        found = Engine(params, config)(*batch)
    expected = readable(params, config, batch)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("name", CONFIGS)
def test_in_bfloat16_it_rounds_what_the_encoder_rounds(name):
    config = CONFIGS[name].replace(max_position_embeddings=40)
    params = random_parameters(config, np.random.default_rng(1), dtype=np.float32)
    batch = inputs(config, 5, 37, 2)
    with use_backend("numba"):
        engine = Engine(params, config)
        in_float32 = engine(*batch)
        with use_precision("bfloat16"):
            found = engine(*batch)
        np.testing.assert_array_equal(engine(*batch), in_float32)
    with use_precision("bfloat16"):
        expected = readable(params, config, batch)

    def distance(x, y):
        return np.sqrt(np.mean((x - y) ** 2))

    # Sums in another order differ in float32's last bits, so now and then one is rounded the other way.
    assert distance(found, expected) <= 0.2 * distance(expected, in_float32)
    assert distance(expected, in_float32) > 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_one_and_two_threads_give_the_same_bits(name, precision):
    pytest.importorskip("numba", reason="numba is not installed")
    config = CONFIGS[name]
    params = random_parameters(config, np.random.default_rng(1), dtype=np.float32)
    batch = inputs(config, 3, min(7, config.max_position_embeddings), 3)
    with use_backend("numba"), use_precision(precision):
        engine = Engine(params, config)
        two = engine(*batch)
        with threads(1):
            one = engine(*batch)
    np.testing.assert_array_equal(one, two)


def test_the_callers_arrays_stay_as_they_are(backend):
    config = CONFIGS["mobilebert"]
    params = random_parameters(config, np.random.default_rng(1))
    before = {name: array.copy() for name, array in params.items()}
    Engine(params, config)(*inputs(config, 2, 5, 1))
    for name, array in params.items():
        assert array.flags.writeable, name
        np.testing.assert_array_equal(array, before[name])


def test_nan_is_not_swallowed(backend):
    config = CONFIGS["mobilebert"]
    params = random_parameters(config, np.random.default_rng(1))
    params["mobilebert.encoder.layer.0.intermediate.dense.bias"][3] = np.nan
    with np.errstate(invalid="ignore"):
        assert np.isnan(Engine(params, config)(*inputs(config, 2, 5, 1))).all()


def test_a_second_call_does_not_change_the_first_ones_result(backend):
    config = CONFIGS["mobilebert"]
    engine = Engine(random_parameters(config, np.random.default_rng(1)), config)
    batch = inputs(config, 2, 5, 1)
    first = engine(*batch)
    copy = first.copy()
    engine(*inputs(config, 2, 5, 2))
    np.testing.assert_array_equal(first, copy)


@pytest.mark.parametrize("shape", [(1, 5), (2, 4), (40, 5)])
def test_a_mask_that_does_not_fit_is_refused(shape):
    """Compiled code would read past it."""
    config = CONFIGS["mobilebert"]
    ids, segments, _ = inputs(config, 2, 5, 1)
    with use_backend("numba"), pytest.raises(ValueError, match="encoder: found attention_mask"):
        Engine(random_parameters(config, np.random.default_rng(1)), config)(ids, segments, np.ones(shape, bool))
