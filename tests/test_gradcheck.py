"""The gradient checker: it passes what is right, catches what is wrong, and says what the mistake looks like."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimobilebert.gradcheck.check import GradientError, check_gradients, check_loss_gradients

SEEDS = st.integers(0, 2**32 - 1)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3, 5))
SQUARE = RNG.normal(size=(5, 5))
WEIGHT, BIAS = RNG.normal(size=(2, 5))
MATRIX = RNG.normal(size=(7, 5))


# Plain NumPy operations of the right kind, so that nothing here depends on the project's own.


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)
    return y, y


def softmax_backward(dy, y):
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


def normalize(x):
    rstd = 1 / np.sqrt(x.var(axis=-1, keepdims=True))
    n = (x - x.mean(axis=-1, keepdims=True)) * rstd
    return n, (n, rstd)


def normalize_backward(dy, cache):
    n, rstd = cache
    return rstd * (dy - dy.mean(axis=-1, keepdims=True) - n * (dy * n).mean(axis=-1, keepdims=True))


def linear(x, weight, bias):
    return x @ weight.T + bias, (x, weight)


def linear_backward(dy, cache):
    x, weight = cache
    return dy @ weight, np.einsum("bto,bti->oi", dy, x), dy.sum(axis=(0, 1))


def scale_shift(x, weight, bias):
    return x * weight + bias, (x, weight)


def scale_shift_backward(dy, cache):
    x, weight = cache
    return dy * weight, (dy * x).sum(axis=(0, 1)), dy.sum(axis=(0, 1))


def split_heads(x):
    """[4, 3, 6] -> [4, 2 heads, 3, 3]"""
    return x.reshape(4, 3, 2, 3).transpose(0, 2, 1, 3), None


def split_heads_backward(dy, _):
    return dy.transpose(0, 2, 1, 3).reshape(4, 3, 6)


def trigram(x):
    z = np.zeros_like(x[:, :1])
    return np.concatenate([np.append(x[:, 1:], z, axis=1), x, np.append(z, x[:, :-1], axis=1)], axis=-1), None


def trigram_backward(dy, _):
    following, current, previous = np.split(dy, 3, axis=-1)
    z = np.zeros_like(current[:, :1])
    return np.append(z, following[:, :-1], axis=1) + current + np.append(previous[:, 1:], z, axis=1)


def gelu(x):
    cdf = 0.5 + 0.5 * np.vectorize(math.erf)(x / math.sqrt(2))
    return x * cdf, cdf + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def relu(x):
    return np.maximum(x, 0), x


def embedding(table):
    return table[[[0, 2, 2], [1, 0, 2]]], None


LINEAR = {"x": X, "weight": MATRIX, "bias": RNG.normal(size=7)}
SCALE_SHIFT = {"x": X, "weight": WEIGHT, "bias": BIAS}
RIGHT = {
    "softmax": (softmax, softmax_backward, {"x": X}),
    "normalize": (normalize, normalize_backward, {"x": X}),
    "linear": (linear, linear_backward, LINEAR),
    "scale_shift": (scale_shift, scale_shift_backward, SCALE_SHIFT),
    "split_heads": (split_heads, split_heads_backward, {"x": RNG.normal(size=(4, 3, 6))}),
    "trigram": (trigram, trigram_backward, {"x": X}),
    "gelu": (gelu, lambda dy, slope: dy * slope, {"x": X}),
    "relu": (relu, lambda dy, x: dy * (x > 0), {"x": X}),
    "tanh": (lambda x: (np.tanh(x), np.tanh(x)), lambda dy, y: dy * (1 - y * y), {"x": X}),
    "view": (lambda x: (x[..., ::2], None), lambda dy, _: np.insert(dy, [1, 2], 0.0, axis=-1), {"x": X}),
    "scalar": (lambda x: (float((x * x).sum()), x), lambda dy, x: 2 * dy * x, {"x": X}),
    "pair": (lambda x: ((x * x, 3 * x), x), lambda dy, x: 2 * x * dy[0] + 3 * dy[1], {"x": X}),
    "one column": (softmax, softmax_backward, {"x": X[..., :1]}),
    "no rows": (softmax, softmax_backward, {"x": X[:0]}),
    "constant": (lambda x: (np.ones(3), None), lambda dy, _: np.zeros_like(X), {"x": X}),
    "strided": (scale_shift, scale_shift_backward, {"x": X[::2, :, ::-1], "weight": WEIGHT[::-1], "bias": BIAS}),
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("mode", ["all", "direction"])
def test_right_passes(name, mode):
    forward, backward, inputs = RIGHT[name]
    before = {key: array.copy() for key, array in inputs.items()}
    for seed in range(3):
        check = check_gradients(forward, backward, inputs, seed=seed, mode=mode).raise_on_failure()
        # ten thousand times closer than the tolerance: what is right is not right by luck
        assert check.passed and check.worst < 1e-9 and set(check.errors) == {f"d{key}" for key in inputs}
    assert all(np.array_equal(inputs[key], before[key]) for key in inputs)


def check(forward, backward, inputs, seed=1, **options):
    return check_gradients(forward, backward, inputs, seed=seed, name="op_backward", **options)


def of_kind(result):
    return [failure.kind for failure in result.failures]


# What a sum of the outputs (an upstream gradient of ones) cannot see: the wrong backward, and the right one's family.
BLIND_SPOTS = {
    "softmax returns zeros": ("softmax", lambda dy, y: np.zeros_like(y)),
    "softmax without its factor y": ("softmax", lambda dy, y: dy - (dy * y).sum(axis=-1, keepdims=True)),
    "softmax with a plain average": ("softmax", lambda dy, y: y * (dy - dy.mean(axis=-1, keepdims=True))),
    "layer norm returns zeros": ("normalize", lambda dy, cache: np.zeros_like(dy)),
    "layer norm without rstd": ("normalize", lambda dy, cache: normalize_backward(dy, cache) / cache[1]),
    "layer norm with N - 1": ("normalize", lambda dy, cache: normalize_backward(dy, cache) * math.sqrt(4 / 5)),
    "layer norm without the path through rstd": (
        "normalize", lambda dy, cache: cache[1] * (dy - dy.mean(axis=-1, keepdims=True)),
    ),
    "linear dweight forgets dy": (
        "linear", lambda dy, cache: (dy @ cache[1], np.ones((7, 1)) * cache[0].sum(axis=(0, 1)), dy.sum(axis=(0, 1))),
    ),
    "linear dbias counts rows": ("linear", lambda dy, cache: (*linear_backward(dy, cache)[:2], np.full(7, 12.0))),
    "linear mixes the rows of dy": ("linear", lambda dy, cache: linear_backward(dy[::-1], cache)),
    "linear dx from the wrong token": (
        "linear", lambda dy, cache: (np.roll(dy, 1, axis=1) @ cache[1], *linear_backward(dy, cache)[1:]),
    ),
    "nonorm dweight forgets dy": (
        "scale_shift", lambda dy, cache: (dy * cache[1], cache[0].sum(axis=(0, 1)), dy.sum(axis=(0, 1))),
    ),
    "nonorm dbias forgets dy": (
        "scale_shift", lambda dy, cache: (*scale_shift_backward(dy, cache)[:2], np.full(5, 12.0)),
    ),
    "heads merged without a transpose": ("split_heads", lambda dy, _: dy.reshape(4, 3, 6)),
    "heads in reverse order": ("split_heads", lambda dy, _: split_heads_backward(dy[:, ::-1], None)),
    "trigram neighbours swapped": (
        "trigram", lambda dy, _: trigram_backward(np.concatenate(np.split(dy, 3, axis=-1)[::-1], axis=-1), None),
    ),
    "gelu forgets dy": ("gelu", lambda dy, slope: slope),
    "relu forgets dy": ("relu", lambda dy, x: (x > 0).astype(float)),
    "tanh forgets dy": ("tanh", lambda dy, y: 1 - y * y),
}  # fmt: skip


@pytest.mark.parametrize("name", BLIND_SPOTS)
def test_what_a_cotangent_of_ones_cannot_see_is_caught(name):
    family, wrong = BLIND_SPOTS[name]
    forward, right, inputs = RIGHT[family]
    y, cache = forward(*inputs.values())
    weak = [f(np.ones_like(y), cache) for f in (wrong, right)]
    for a, b in zip(*(g if isinstance(g, tuple) else (g,) for g in weak), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)  # under ones the mistake is invisible
    for mode in ("all", "direction"):
        for seed in range(3):
            with pytest.raises(GradientError):
                check(forward, wrong, inputs, seed, mode=mode).raise_on_failure()


def square(x):
    return x * x, x


def merge_without_transpose(dy, _):
    return dy.reshape(4, 3, 6)


def spoil_first_token(dy, _):
    dx = trigram_backward(dy, None)
    dx[:, 0] *= 2
    return dx


def without_the_mean_path(dy, cache):
    n, rstd = cache
    return rstd * (dy - n * (dy * n).mean(axis=-1, keepdims=True))


def half_the_mean_path(dy, cache):
    return normalize_backward(dy, cache) + cache[1] * dy[::-1].mean(axis=-1, keepdims=True)


def transposed_weight(dy, cache):
    dx, dweight, dbias = linear_backward(dy, cache)
    return dx, dweight.T, dbias


def unsummed_bias(dy, cache):
    return *scale_shift_backward(dy, cache)[:2], dy


# One wrong backward for each diagnosis: its kind, words that must be in the message, forward, backward, inputs.
DIAGNOSES = [
    ("transposed", "the transpose", linear, transposed_weight, LINEAR),
    ("transposed", "in the order (1, 0)", lambda x: (SQUARE @ x, None), lambda dy, _: dy.T @ SQUARE, {"x": SQUARE}),
    ("permuted", "transpose(0, 2, 1, 3) is missing", split_heads, merge_without_transpose, RIGHT["split_heads"][2]),
    ("permuted", "in reverse order along axis 1", lambda x: (3 * x, None), lambda dy, _: 3 * dy[:, ::-1], {"x": X}),
    ("permuted", "moved by one along axis 0", lambda x: (3 * x, None), lambda dy, _: 3 * np.roll(dy, 1, 0), {"x": X}),
    ("permuted", "in the wrong places", lambda x: (3 * x, None), lambda dy, _: 3 * dy[:, [1, 0, 2]], {"x": X}),
    ("constant factor", "the 2 of a square's derivative", square, lambda dy, x: dy * x, {"x": X}),
    ("constant factor", "one path counted twice", square, lambda dy, x: 4 * dy * x, {"x": X}),
    (
        "constant factor", "an axis length, 5: a sum where an average is meant",
        lambda x: (x.mean(axis=-1), None), lambda dy, _: dy[..., None] * np.ones(5), {"x": X},
    ),
    (
        "constant factor", "one over an axis length, 5: an average where a sum is meant",
        lambda x: (x.sum(axis=-1), None), lambda dy, _: dy[..., None] * np.full(5, 0.2), {"x": X},
    ),
    (
        "constant factor", "square root of an axis length, 5: a scale applied twice",
        lambda x: (x / math.sqrt(5), None), lambda dy, _: dy / 5, {"x": X},
    ),
    (
        "constant factor", "the square root of an axis length, 5: a scale left out",
        lambda x: (x / math.sqrt(5), None), lambda dy, _: dy, {"x": X},
    ),
    ("a factor", "left out, or applied twice", square, lambda dy, x: 2.2 * dy * x, {"x": X}),
    ("no upstream gradient", "multiplied by the upstream gradient", gelu, lambda dy, slope: slope, {"x": X}),
    ("not summed", "not summed over axis 0, 1", scale_shift, unsummed_bias, SCALE_SHIFT),
    ("sign", "opposite sign", square, lambda dy, x: -2 * dy * x, {"x": X}),
    ("zeros", "zeros", softmax, lambda dy, y: np.zeros_like(y), {"x": X}),
    ("not finite", "0/0", softmax, lambda dy, y: dy * np.nan, {"x": X}),
    ("named", "plus cache[1] times the average of the upstream gradient dy", normalize, without_the_mean_path, {"x": X}),
    ("part", "off by a constant along axis 2", normalize, half_the_mean_path, {"x": X}),
    ("named", "times the square of cache[1]", normalize, lambda dy, cache: normalize_backward(dy, cache) * cache[1] ** 2, {"x": X}),
    ("named", "the right one over cache[1]", normalize, lambda dy, cache: normalize_backward(dy, cache) / cache[1], {"x": X}),
    ("named", "the right one times x", square, lambda dy, x: 2 * dy * x * x, {"x": X}),
    ("named", "the right one plus the upstream gradient dy", square, lambda dy, x: 2 * dy * x + dy, {"x": X}),
    ("part", "times x: a term with it", scale_shift,
     lambda dy, cache: (dy * cache[1] - cache[0] * dy.mean(), *scale_shift_backward(dy, cache)[1:]), SCALE_SHIFT),
    ("named", "it is the upstream gradient dy", scale_shift,
     lambda dy, cache: (dy, *scale_shift_backward(dy, cache)[1:]), SCALE_SHIFT),
    ("named", "x where weight is expected", scale_shift,
     lambda dy, cache: (dy * cache[0], *scale_shift_backward(dy, cache)[1:]), SCALE_SHIFT),
    ("named", "is one of its terms", lambda x: (x - x**3 / 3, x), lambda dy, x: dy + dy * x * x, {"x": X}),
    ("part", "wrong only at the first index of axis 1: a border", trigram, spoil_first_token, {"x": X}),
    ("summed", "summed over axis 1, which has to stay", square, lambda dy, x: (2 * dy * x).sum(axis=1), {"x": X}),
    (
        "swapped", "the gradient of b", lambda a, b: (a * b, (a, b)), lambda dy, c: (dy * c[0], dy * c[1]),
        {"a": X, "b": X[::-1] + 1},
    ),
    (
        "some entries", "32 of 60 entries are right", relu, lambda dy, x: dy * np.minimum(np.exp(x), 1.0), {"x": X},
    ),
    ("nearly right", "few digits", lambda x: (math.pi * x, None), lambda dy, _: 3.1416 * dy, {"x": X}),
    ("dtype", "is float32", softmax, lambda dy, y: softmax_backward(dy, y).astype(np.float32), {"x": X}),
    ("shape", "in another shape", softmax, lambda dy, y: softmax_backward(dy, y).reshape(4, 15), {"x": X}),
    ("shape", "(4,), expected (4, 3, 5)", softmax, lambda dy, y: softmax_backward(dy, y)[:, 0, 0], {"x": X}),
    ("missing", "dx is NoneType", softmax, lambda dy, y: None, {"x": X}),
    ("no zero sum", "add up to 0 along axis 2", softmax, lambda dy, y: dy * y * (1 - y), {"x": X}),
    ("other", "no common mistake", lambda x: (x**3, x), lambda dy, x: 3 * dy * np.abs(x), {"x": X}),
    ("other", "does not depend on", lambda x: (np.ones(3), None), lambda dy, _: X * dy[0], {"x": X}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "words", "forward", "backward", "inputs"), DIAGNOSES)
def test_the_message_says_what_it_looks_like(kind, words, forward, backward, inputs):
    result = check(forward, backward, inputs)
    assert of_kind(result) == [kind] * len(result.failures) and result.failures, str(result)
    assert words in str(result)
    assert "replay      seed=1" in str(result)


@pytest.mark.parametrize(("kind", "backward"), [
    ("zeros", lambda dy, x: 0 * x), ("sign", lambda dy, x: -2 * dy * x), ("constant factor", lambda dy, x: dy * x),
    ("no upstream gradient", lambda dy, x: 2 * x), ("other", lambda dy, x: 2 * dy * np.abs(x)),
])  # fmt: skip
def test_a_few_mistakes_are_told_apart_along_directions_too(kind, backward):
    assert of_kind(check(square, backward, {"x": X}, mode="direction")) == [kind]


def test_the_whole_message():
    def attention_like(query, key):
        return query @ key.T / math.sqrt(3), (query, key)

    def backward(dy, cache):
        query, key = cache
        return dy @ key / math.sqrt(3), dy.T @ query / 3

    rng = np.random.default_rng(5)
    inputs = {"query": rng.normal(size=(4, 3)), "key": rng.normal(size=(5, 3))}
    result = check_gradients(attention_like, backward, inputs, seed=1187, name="scores_backward")
    assert re.sub(r"spread \S+\)", "spread tiny)", str(result)).splitlines() == [
        "scores_backward: dkey is wrong",
        "  where       dkey[2, 1], the worst of 15 entries; 15 of them wrong",
        "  analytic    -0.956396      finite difference -1.65653      ratio 0.5774 on every entry (spread tiny)",
        "  shapes      dkey (5, 3) ok      dtype float64 ok",
        "  looks like  a constant factor 0.5774. Is it one over the square root of an axis length, 3: a scale applied"
        " twice, or a sum under a root?",
        "  passes      dquery",
        "  replay      seed=1187",
    ]


def change_cache(dy, y):
    result = softmax_backward(dy, y)
    y *= 2
    return result


def change_dy(dy, y):
    dy -= (dy * y).sum(axis=-1, keepdims=True)
    return y * dy


def change_input_in_forward(x):
    y, cache = softmax(x)
    x += 1
    return y, cache


def change_input_in_backward(dy, cache):
    result = scale_shift_backward(dy, cache)
    cache[0][...] = 0
    return result


BROKEN_PROMISES = {
    "mutated cache": ("backward changed cache in place", softmax, change_cache, {"x": X}),
    "mutated input": ("backward changed dy in place", softmax, change_dy, {"x": X}),
    "mutated input by forward": ("forward changed x in place", change_input_in_forward, softmax_backward, {"x": X}),
    "mutated input kept in the cache": ("changed x in place", scale_shift, change_input_in_backward, SCALE_SHIFT),
    "not linear": ("is not 2 backward(a) - 3 backward(b)", lambda x: (x, None), lambda dy, _: dy + dy * dy, {"x": X}),
    "not repeatable": (
        "make a new random generator", lambda x: (x * RNG.random(x.shape), None), lambda dy, _: dy, {"x": X},
    ),
    "count": ("returned 1 gradients, expected 3: dx, dweight, dbias", linear, lambda dy, c: dy @ c[1], LINEAR),
    "dtype": ("float32 out of float64", lambda x: (x.astype(np.float32), None), lambda dy, _: dy, {"x": X}),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_PROMISES)
def test_broken_promises_are_reported(name):
    words, forward, backward, inputs = BROKEN_PROMISES[name]
    result = check(forward, backward, inputs)
    assert any(name.startswith(kind) for kind in of_kind(result)), str(result)
    assert words in str(result)
    with pytest.raises(GradientError):
        result.raise_on_failure()


def test_a_backward_may_return_nothing_for_what_was_not_asked():
    """An operation without its optional arrays returns None for them."""
    check(lambda x: (2 * x, None), lambda dy, _: (2 * dy, None, None), {"x": X}).raise_on_failure()


def test_an_entry_at_a_kink_is_stepped_around_or_skipped():
    x = np.array([[1.0, 0.0, -2.0], [3e-6, -3e-8, 0.5]])  # 0 and 3e-8 are within h/100 of the kink, 3e-6 is not
    backward = RIGHT["relu"][1]
    result = check(relu, backward, {"x": x}, kinks=lambda x: x).raise_on_failure()
    assert result.skipped == {"dx": 2}
    assert "2 entries at kinks left out" in str(result)
    assert not check(relu, backward, {"x": x}).passed
    assert not check(relu, lambda dy, x: dy, {"x": x}, kinks=lambda x: x).passed  # and still sees a wrong slope
    everywhere = check(relu, backward, {"x": np.zeros(3)}, kinks=lambda x: x)
    assert of_kind(everywhere) == ["skipped"]


def test_kinks_along_a_direction():
    x = np.random.default_rng(3).normal(size=(40, 50))
    check(relu, RIGHT["relu"][1], {"x": x}, mode="direction", kinks=lambda x: x).raise_on_failure()
    assert not check(relu, lambda dy, x: dy, {"x": x}, mode="direction", kinks=lambda x: x).passed


@given(SEEDS, st.sampled_from([1e-2, 1e-3, 1e-4]))
def test_a_small_mistake_in_one_entry_is_caught(seed, size):
    """One entry of many off by `size` of the largest: the error that is reported is that size."""
    rng = np.random.default_rng(seed)

    def backward(dy, y):
        dx = softmax_backward(dy, y)
        flat = dx.reshape(-1)
        flat[7] += size * np.abs(flat).max()
        return dx

    result = check(softmax, backward, {"x": rng.normal(size=(4, 5))}, seed)
    assert not result.passed
    assert result.worst == pytest.approx(size, rel=0.02)  # the largest entry may be the spoiled one itself


def test_inputs_that_cannot_be_checked_are_one_clear_line():
    with pytest.raises(ValueError, match=r"inputs\['labels'\]: found int64, expected floats"):
        check(softmax, softmax_backward, {"labels": np.arange(3)})
    with pytest.raises(ValueError, match="mode: found 'some', expected 'all' or 'direction'"):
        check(softmax, softmax_backward, {"x": X}, mode="some")
    with pytest.raises(ValueError, match=r"params\['w'\]: found float32, expected float64"):
        check_loss_gradients(lambda p: (0.0, {}), {"w": np.zeros(2, np.float32)}, seed=0)


def test_float32_inputs_are_checked_in_float64():
    seen = set()

    def forward(x):
        seen.add(x.dtype)
        return softmax(x)

    check(forward, softmax_backward, {"x": X.astype(np.float32)}).raise_on_failure()
    assert seen == {np.dtype(np.float64)}


# Whole models.


def network(params, spoil=lambda grads: None):
    """Two layers with ReLU on fixed data; the gradients of some parameters are much smaller than of others."""
    rng = np.random.default_rng(11)
    x, target = rng.normal(size=(20, 6)), rng.normal(size=(20, 3))
    hidden = x @ params["first"].T + 1e-4 * params["small"]
    active = np.maximum(hidden, 0)
    gap = active @ params["second"].T - target
    dgap = 2 * gap / gap.size
    dhidden = (dgap @ params["second"]) * (hidden > 0)
    grads = {"first": dhidden.T @ x, "second": dgap.T @ active, "small": 1e-4 * dhidden.sum(axis=0)}
    spoil(grads)
    return (gap**2).mean(), grads


def parameters(seed):
    rng = np.random.default_rng(seed)
    return {"first": rng.normal(size=(50, 6)), "second": rng.normal(size=(3, 50)), "small": rng.normal(size=50)}


@given(SEEDS)
def test_a_model_passes_though_it_has_kinks(seed):
    result = check_loss_gradients(network, parameters(seed), directions=4, seed=seed).raise_on_failure()
    assert len(result.errors) == 4 and result.worst < 1e-6


def test_a_model_at_a_kink_of_its_own_is_checked_beside_it():
    """|w| at w = 1e-9: the first, wide steps straddle the kink, later ones do not."""
    check_loss_gradients(lambda p: (float(np.abs(p["w"]).sum()), {"w": np.sign(p["w"])}), {"w": np.array([0.5, 2e-7])},
                         seed=0).raise_on_failure()  # fmt: skip


@pytest.mark.parametrize("name", ["first", "second", "small"])
@pytest.mark.parametrize("how", [lambda g: g * 1.01, np.zeros_like, lambda g: g[::-1].copy()])
def test_a_wrong_parameter_of_a_model_is_named(name, how):
    def step(params):
        return network(params, lambda grads: grads.update({name: how(grads[name])}))

    result = check_loss_gradients(step, parameters(12), seed=3)
    assert [failure.tensor for failure in result.failures] == [name]
    assert name in str(result)


def test_a_model_that_breaks_its_promises_is_reported():
    def changes(params):
        params["small"] += 1
        return network(params)

    assert of_kind(check_loss_gradients(changes, parameters(13), seed=0)) == ["mutated input"]
    for spoil, kind in (
        (lambda grads: grads.update(extra=np.zeros(3)), "unknown"),
        (lambda grads: grads.update(small=grads["small"].astype(np.float32)), "dtype"),
        (lambda grads: grads.update(first=grads["first"].T), "shape"),
    ):
        assert of_kind(check_loss_gradients(lambda p, s=spoil: network(p, s), parameters(13), seed=0)) == [kind]


def test_a_parameter_without_gradient_is_held_fixed():
    def step(params):
        loss, grads = network(params)
        return loss, {"first": grads["first"]}

    check_loss_gradients(step, parameters(14), seed=0).raise_on_failure()
