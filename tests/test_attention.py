"""Attention beyond its gradient check: a loop oracle, masks, dropout, threads, NaN, and sizes 0 and 1."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from thread_counts import threads

from minimobilebert.distillation.attention_transfer import softmax_divergence
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.ops.attention import attention_backward, attention_forward
from minimobilebert.ops.embedding import embedding_backward, embedding_forward
from minimobilebert.ops.trigram import trigram_backward, trigram_forward

SEEDS = st.integers(0, 2**32 - 1)


def oracle(query, key, value, mask, heads):
    """One number at a time, straight from the equations."""
    batch, tokens, width = query.shape
    size = width // heads
    context = np.zeros_like(query)
    for b in range(batch):
        for a in range(heads):
            columns = slice(a * size, (a + 1) * size)
            for i in range(tokens):
                real = [j for j in range(tokens) if mask[b, j]]
                scores = [float(query[b, i, columns] @ key[b, j, columns]) / math.sqrt(size) for j in real]
                weights = [math.exp(s - max(scores)) for s in scores]
                for weight, j in zip(weights, real, strict=True):
                    context[b, i, columns] += weight / sum(weights) * value[b, j, columns]
    return context


def draw(rng, dtype=np.float64, batch=2, tokens=5, heads=3, size=4):
    arrays = rng.normal(size=(3, batch, tokens, heads * size)).astype(dtype)
    mask = np.arange(tokens) < rng.integers(1, tokens + 1, batch)[:, None]
    return (*arrays, mask, heads)


@given(SEEDS)
def test_equals_the_equations(backend, seed):
    inputs = draw(np.random.default_rng(seed))
    context, _ = attention_forward(*inputs)
    np.testing.assert_allclose(context, oracle(*inputs), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1, 1),
        (2, 17, 1, 3),
        (3, 4, 2, 33),
        (1, 70, 4, 8),
        (2, 64, 4, 8),
        (1, 32, 2, 31),
        (2, 13, 3, 32),
        (1, 48, 2, 70),
        (0, 3, 2, 2),
    ],
)
def test_back_ends_agree_in_float32(shape):
    """float32 keeps 7 digits; sums of up to 70 products may lose one and a half of them."""
    rng = np.random.default_rng(1)
    batch, tokens, heads, size = shape
    *qkv, mask, heads = draw(rng, np.float32, batch, tokens, heads, size)
    dcontext = rng.normal(size=qkv[0].shape).astype(np.float32)
    dscores = rng.normal(size=(batch, heads, tokens, tokens)).astype(np.float32)
    results = {}
    for backend in ("numpy", "numba"):
        with use_backend(backend):
            context, cache = attention_forward(*qkv, mask, heads, 0.3, np.random.default_rng(2))
            results[backend] = [context, cache.probabilities, *attention_backward(dcontext, cache, dscores)]
    for ours, theirs in zip(results["numba"], results["numpy"], strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6 * np.abs(theirs).max(initial=1.0))


def test_strided_and_read_only_inputs_give_the_same(backend):
    rng = np.random.default_rng(3)
    query, key, value, mask, heads = draw(rng)
    wide = np.zeros((*query.shape[:2], 2 * query.shape[2]))
    wide[..., ::2] = query
    strided = wide[..., ::2]
    strided.flags.writeable = False
    expected, _ = attention_forward(query, key, value, mask, heads)
    found, _ = attention_forward(strided, np.asfortranarray(key), value, mask, heads)
    np.testing.assert_array_equal(found, expected)


@given(SEEDS)
def test_padding_keys_are_not_heard_and_get_no_gradient(backend, seed):
    rng = np.random.default_rng(seed)
    query, key, value, mask, heads = draw(rng)
    junk = np.where(mask[..., None], key, 1e6), np.where(mask[..., None], value, 1e6)
    expected, cache = attention_forward(query, key, value, mask, heads)
    np.testing.assert_array_equal(attention_forward(query, *junk, mask, heads)[0], expected)
    _, dkey, dvalue = attention_backward(rng.normal(size=expected.shape), cache, rng.normal(size=cache.scores.shape))
    assert not dkey[~mask].any() and not dvalue[~mask].any()


def test_a_sequence_of_padding_only_stays_finite(backend):
    rng = np.random.default_rng(4)
    query, key, value, mask, heads = draw(rng)
    mask[0] = False
    context, cache = attention_forward(query, key, value, mask, heads)
    gradients = attention_backward(np.ones_like(context), cache)
    assert all(np.isfinite(x).all() for x in (context, *gradients))


def test_huge_scores_do_not_overflow(backend):
    """NoNorm models reach activations of 1e7."""
    rng = np.random.default_rng(5)
    query, key, value, mask, heads = draw(rng, np.float32)
    context, _ = attention_forward(query * np.float32(1e7), key * np.float32(1e7), value, mask, heads)
    assert np.isfinite(context).all()


def test_nan_is_not_swallowed(backend):
    query, key, value, mask, heads = draw(np.random.default_rng(6), np.float32)
    query[1, 2, 0] = np.nan
    context, _ = attention_forward(query, key, value, mask, heads)
    assert np.isnan(context[1, 2, :4]).all() and np.isfinite(context[0]).all()


def test_dropout_drops_and_scales_the_map(backend):
    rng = np.random.default_rng(7)
    inputs = draw(rng, np.float64, 4, 30, 2, 3)
    _, cache = attention_forward(*inputs, 0.25, np.random.default_rng(8))
    values = np.unique(cache.keep)
    np.testing.assert_allclose(values, [0.0, 1 / 0.75])
    # 7,200 draws: five standard deviations are 0.026
    assert abs((cache.keep == 0.0).mean() - 0.25) < 0.026
    np.testing.assert_allclose(cache.probabilities.sum(axis=-1), 1.0)


def test_one_and_two_threads_give_the_same_bits():
    pytest.importorskip("numba", reason="numba is not installed")
    rng = np.random.default_rng(9)
    *qkv, mask, heads = draw(rng, np.float32, 5, 33, 4, 8)
    dcontext = rng.normal(size=qkv[0].shape).astype(np.float32)

    def everything():
        context, cache = attention_forward(*qkv, mask, heads)
        weights = np.full(mask.shape, 0.1, np.float32)
        divergence = softmax_divergence(cache.scores, cache.scores[::-1].copy(), mask, weights)
        return [context, *attention_backward(dcontext, cache), *divergence]

    two = everything()
    with threads(1):
        one = everything()
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


@given(SEEDS)
def test_trigram_is_next_current_previous(backend, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(int(rng.integers(0, 3)), int(rng.integers(1, 5)), int(rng.integers(1, 4))))
    y, cache = trigram_forward(x)
    nothing = np.zeros(x.shape[-1])
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            after = x[b, t + 1] if t + 1 < x.shape[1] else nothing
            before = x[b, t - 1] if t else nothing
            np.testing.assert_array_equal(y[b, t], np.concatenate([after, x[b, t], before]))
    dy = rng.normal(size=y.shape)
    # The adjoint: <dy, forward(x)> = <backward(dy), x>, for a linear operation
    assert np.vdot(dy, y) == pytest.approx(np.vdot(trigram_backward(dy, cache), x), rel=1e-10, abs=1e-12)


def test_embedding_gradients_of_a_repeated_word_add_up(backend):
    table = np.random.default_rng(10).normal(size=(4, 3))
    ids = np.array([[1, 3, 1], [1, 0, 0]])
    y, cache = embedding_forward(ids, table)
    np.testing.assert_array_equal(y[0, 1], table[3])
    dy = np.arange(18.0).reshape(2, 3, 3)
    expected = np.stack([dy[1, 1] + dy[1, 2], dy[0, 0] + dy[0, 2] + dy[1, 0], np.zeros(3), dy[0, 1]])
    np.testing.assert_array_equal(embedding_backward(dy, cache), expected)


@pytest.mark.parametrize("bad", [-1, 4])
def test_an_id_outside_the_table_is_named(bad):
    with pytest.raises(ValueError, match="expected 0..3"):
        embedding_forward(np.array([[0, bad]]), np.zeros((4, 2)))


_MANY_HEADS = """
import numpy as np
from minimobilebert.ops.attention import attend, attention_backward

rng, difference = np.random.default_rng(0), 0.0
for _ in range(20):
    query, key, value, dcontext = (rng.normal(size=(32, 100, 128)).astype(np.float32) for _ in range(4))
    mask = np.ones((32, 100), bool)
    keep = (rng.random((32, 4, 100, 100), dtype=np.float32) >= 0.1).astype(np.float32) / np.float32(0.9)
    context, cache = attend(query, key, value, mask, 4, keep, False)
    expected, _ = attend.numpy_twin(query, key, value, mask, 4, keep, False)
    attention_backward(dcontext, cache)
    difference = max(difference, float(abs(context - expected).max()))
print(difference)
"""


def test_dropout_in_many_heads_at_once():
    """As in fine-tuning: 128 heads of 100 x 100 numbers. A thread that frees an array too early ends the process with a
    segmentation fault, so it is a process of its own."""
    process = subprocess.run([sys.executable, "-c", _MANY_HEADS], capture_output=True, text=True, check=False)
    assert process.returncode == 0, f"exit code {process.returncode}: {process.stderr}"
    assert float(process.stdout) < 1e-5  # sums of 100 products, in another order


WRONG = {
    "mask": {"mask": np.ones((1, 5), bool)},
    "key": {"key": np.ones((1, 5, 6), np.float32)},
    "value": {"value": np.ones((2, 5, 6))},
    "heads": {"heads": 4},
    "dcontext": {"dcontext": np.ones((1, 5, 6), np.float32)},
    "dscores": {"dscores": np.ones((2, 3, 5, 4), np.float32)},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_arrays_that_do_not_fit_are_refused(wrong):
    """Compiled code would read and write past the arrays."""
    pytest.importorskip("numba", reason="numba is not installed")
    query = np.ones((2, 5, 6), np.float32)
    given = {
        "key": query,
        "value": query,
        "mask": np.ones((2, 5), bool),
        "heads": 3,
        "dcontext": query,
        "dscores": None,
    }
    given |= WRONG[wrong]
    with use_backend("numba"), pytest.raises(ValueError, match=f"attention: found .*{wrong}"):
        _, cache = attention_forward(query, *(given[name] for name in ("key", "value", "mask", "heads")))
        attention_backward(given["dcontext"], cache, given["dscores"])


def test_a_mask_of_integers_is_one_of_truths(backend):
    query = np.random.default_rng(1).normal(size=(2, 5, 6)).astype(np.float32)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    found, _ = attention_forward(query, query, query, mask, 3)
    expected, _ = attention_forward(query, query, query, mask.astype(bool), 3)
    np.testing.assert_array_equal(found, expected)
