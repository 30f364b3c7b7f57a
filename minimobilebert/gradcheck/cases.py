"""A gradient-check case for each public backward pass of `ops` and `distillation`.

A case draws random shapes and numbers: `CASES["relu_backward"](rng)` -> Case. Lambdas bind arguments without a gradient
(labels, masks, the teacher). `tests/test_every_backward.py` fails if a backward pass has no case. `make gradcheck`
prints the results of `check_every_backward`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..distillation import (
    attention_transfer,
    feature_map_transfer,
    normalized_feature_map_transfer,
    relation_transfer,
    sentence_vector_transfer,
)
from ..kernels.runtime.backend import BACKENDS, use_backend
from ..model.self_attention import Projections
from ..ops import (
    attention,
    cross_entropy,
    dropout,
    embedding,
    gelu,
    layernorm,
    linear,
    nonorm,
    pooling,
    relu,
    softmax,
    tanh,
    trigram,
)
from ..ops.fused import dense_activation, dense_nonorm, feed_forward
from .check import check_gradients


class Case(NamedTuple):
    forward: Callable  # forward(*inputs.values()) -> y, cache
    backward: Callable  # backward(dy, cache) -> gradients
    inputs: dict  # name -> float64 array
    kinks: Callable | None = None  # see check_gradients


CASES = {}


def _case(function):
    CASES[function.__name__] = function
    return function


def check_every_backward(seed=0, names=None):
    """Check each case with each back end; yields (name, back end, GradientCheck)."""
    for name in names or sorted(CASES):
        for backend in BACKENDS:
            with use_backend(backend):
                case = CASES[name](np.random.default_rng(seed))
                yield (
                    name,
                    backend,
                    check_gradients(case.forward, case.backward, case.inputs, seed=seed, kinks=case.kinks, name=name),
                )


def _tokens(rng):
    """Leading dimensions: none, [T] or [B, T]; sometimes one is 0."""
    return tuple(int(n) for n in rng.integers(0 if rng.random() < 0.1 else 1, 4, rng.integers(0, 3)))


def _features(rng, smallest=1):
    return int(rng.integers(smallest, 8))


def _mask(rng, batch, tokens):
    """[B, T] with at least one real token per sequence."""
    return np.arange(tokens) < rng.integers(1, tokens + 1, batch)[:, None]


def _with_weight_and_bias(rng, size):
    return {
        "x": rng.normal(size=(*_tokens(rng), size)), "weight": rng.normal(size=size), "bias": rng.normal(size=size)
    }  # fmt: skip


def _layer(rng, size, out):
    return {"weight": rng.normal(size=(out, size)), "bias": rng.normal(size=out)}


@_case
def linear_backward(rng):
    tokens, size, out = _tokens(rng), _features(rng), _features(rng)
    inputs = {"x": rng.normal(size=(*tokens, size)), **_layer(rng, size, out)}
    if rng.random() < 0.3:
        del inputs["bias"]
        return Case(lambda x, weight: linear.linear_forward(x, weight, None), linear.linear_backward, inputs)
    if rng.random() < 0.5:
        inputs["residual"] = rng.normal(size=(*tokens, out))
        return Case(linear.linear_forward, lambda dy, cache: (*linear.linear_backward(dy, cache), dy), inputs)
    return Case(linear.linear_forward, linear.linear_backward, inputs)


def _activation(rng):
    """-> name of an activation, `kinks` for check_gradients (ReLU's input) or None"""
    name = str(rng.choice(["relu", "gelu", "gelu_tanh"]))
    return name, (lambda x, weight, bias, *_: x @ weight.T + bias) if name == "relu" else None


def _alive(inputs):
    """Increase the bias if all units are negative: a dead ReLU has only zero gradients, even for NaN inputs."""
    s = inputs["x"] @ inputs["weight"].T + inputs["bias"]
    inputs["bias"] += max(0.0, 0.5 - s.max(initial=0.5 if s.size == 0 else -np.inf))
    return inputs


@_case
def dense_activation_backward(rng):
    size, out = _features(rng), _features(rng)
    name, kinks = _activation(rng)
    return Case(
        lambda x, weight, bias: dense_activation.dense_activation_forward(x, weight, bias, name),
        dense_activation.dense_activation_backward,
        _alive({"x": rng.normal(size=(*_tokens(rng), size)), **_layer(rng, size, out)}), kinks,
    )  # fmt: skip


@_case
def dense_nonorm_backward(rng):
    tokens, size, out = _tokens(rng), _features(rng), _features(rng)
    norm = {"scale": rng.normal(size=out), "shift": rng.normal(size=out)}
    x, layer = rng.normal(size=(*tokens, size)), _layer(rng, size, out)
    if rng.random() < 0.3:
        return Case(
            lambda x, weight, bias, *norm: dense_nonorm.dense_nonorm_forward(x, weight, bias, None, *norm),
            lambda dy, cache: tuple(dense_nonorm.dense_nonorm_backward(dy, cache)[i] for i in (0, 1, 2, 4, 5)),
            {"x": x, **layer, **norm},
        )  # fmt: skip
    return Case(
        dense_nonorm.dense_nonorm_forward, dense_nonorm.dense_nonorm_backward,
        {"x": x, **layer, "residual": rng.normal(size=(*tokens, out)), **norm},
    )  # fmt: skip


@_case
def feed_forward_backward(rng):
    size, inner = _features(rng), _features(rng)
    name, kinks = _activation(rng)
    first = _layer(rng, size, inner)
    inputs = _alive({"x": rng.normal(size=(*_tokens(rng), size)), **first})
    second = {f"{key}2": value for key, value in _layer(rng, inner, size).items()}
    norm = {"scale": rng.normal(size=size), "shift": rng.normal(size=size)}
    return Case(
        lambda *arrays: feed_forward.feed_forward_forward(*arrays, name), feed_forward.feed_forward_backward,
        {**inputs, **second, **norm}, kinks,
    )  # fmt: skip


@_case
def nonorm_backward(rng):
    return Case(nonorm.nonorm_forward, nonorm.nonorm_backward, _with_weight_and_bias(rng, _features(rng)))


@_case
def layernorm_backward(rng):
    inputs = _with_weight_and_bias(rng, _features(rng, 3))
    if rng.random() < 0.3:
        return Case(
            lambda x: layernorm.layernorm_forward(x, None, None), layernorm.layernorm_backward, {"x": inputs["x"]}
        )
    return Case(layernorm.layernorm_forward, layernorm.layernorm_backward, inputs)


def _elementwise(rng, forward, backward, kinks=None):
    return Case(forward, backward, {"x": 3.0 * rng.normal(size=(*_tokens(rng), _features(rng)))}, kinks)


@_case
def relu_backward(rng):
    return _elementwise(rng, relu.relu_forward, relu.relu_backward, kinks=lambda x: x)


@_case
def gelu_backward(rng):
    return _elementwise(rng, gelu.gelu_forward, gelu.gelu_backward)


@_case
def gelu_tanh_backward(rng):
    return _elementwise(rng, gelu.gelu_tanh_forward, gelu.gelu_tanh_backward)


@_case
def tanh_backward(rng):
    return _elementwise(rng, tanh.tanh_forward, tanh.tanh_backward)


@_case
def softmax_backward(rng):
    return _elementwise(rng, softmax.softmax_forward, softmax.softmax_backward)


@_case
def dropout_backward(rng):
    seed, rate = int(rng.integers(2**32)), float(rng.choice([0.0, 0.1, 0.5, 0.9]))
    # A new generator in each call draws the same mask each time.
    return _elementwise(
        rng, lambda x: dropout.dropout_forward(x, rate, np.random.default_rng(seed)), dropout.dropout_backward
    )


@_case
def cross_entropy_backward(rng):
    rows, words = int(rng.integers(0, 5)), _features(rng)
    labels = rng.integers(0, words, rows)
    return Case(
        lambda logits: cross_entropy.cross_entropy_forward(logits, labels), cross_entropy.cross_entropy_backward,
        {"logits": 2.0 * rng.normal(size=(rows, words))},
    )  # fmt: skip


@_case
def soft_cross_entropy_backward(rng):
    rows, words = int(rng.integers(0, 5)), _features(rng)
    targets = rng.random((rows, words))  # the rows do not sum to 1, to check the general formula
    return Case(
        lambda logits: cross_entropy.soft_cross_entropy_forward(logits, targets.astype(logits.dtype)),
        cross_entropy.soft_cross_entropy_backward, {"logits": 2.0 * rng.normal(size=(rows, words))},
    )  # fmt: skip


@_case
def embedding_backward(rng):
    words = _features(rng)
    ids = rng.integers(0, words, rng.integers(0, 4, 2))
    return Case(
        lambda table: embedding.embedding_forward(ids, table), embedding.embedding_backward,
        {"table": rng.normal(size=(words, _features(rng)))},
    )  # fmt: skip


@_case
def trigram_backward(rng):
    shape = (*rng.integers(1, 5, 2), _features(rng))
    return Case(trigram.trigram_forward, trigram.trigram_backward, {"x": rng.normal(size=shape)})


@_case
def pool_backward(rng):
    batch, tokens, size = (int(n) for n in rng.integers(1, 5, 3))
    mask, mode = _mask(rng, batch, tokens), str(rng.choice(pooling.POOLINGS))
    hidden = rng.normal(size=(batch, tokens, size))

    def differences(hidden):
        """Between each two tokens: where one changes its sign, another token may become the maximum."""
        return hidden[:, :, None] - hidden[:, None, :]

    return Case(
        lambda hidden: pooling.pool_forward(hidden, mask, mode), pooling.pool_backward, {"hidden": hidden},
        differences if mode == "max" else None,
    )  # fmt: skip


@_case
def normalize_backward(rng):
    return Case(
        pooling.normalize_forward, pooling.normalize_backward,
        {"x": rng.normal(size=(*_tokens(rng), _features(rng, 2)))},
    )  # fmt: skip


@_case
def attention_backward(rng):
    """Two outputs, the context and the scores, because attention transfer has a gradient for the scores."""
    batch, tokens, heads, size = (int(n) for n in rng.integers(1, 4, 4))
    mask = _mask(rng, batch, tokens)
    seed, rate = int(rng.integers(2**32)), float(rng.choice([0.0, 0.4]))

    def forward(query, key, value):
        dropping = np.random.default_rng(seed)
        context, cache = attention.attention_forward(query, key, value, mask, heads, rate, dropping)
        return (context, np.where(mask[:, None, None, :], cache.scores, 0.0)), cache

    def backward(dy, cache):
        return attention.attention_backward(dy[0], cache, dscores=dy[1])

    names = ("query", "key", "value")
    return Case(forward, backward, {name: rng.normal(size=(batch, tokens, heads * size)) for name in names})


@_case
def attention_transfer_backward(rng):
    batch, heads, tokens = (int(n) for n in rng.integers(1, 4, 3))
    mask, teacher = _mask(rng, batch, tokens), rng.normal(size=(batch, heads, tokens, tokens))
    return Case(
        lambda student: attention_transfer.attention_transfer_forward(student, teacher.astype(student.dtype), mask),
        attention_transfer.attention_transfer_backward, {"student": rng.normal(size=teacher.shape)},
    )  # fmt: skip


def _feature_maps(rng):
    batch, tokens = (int(n) for n in rng.integers(1, 4, 2))
    student, teacher = rng.normal(size=(2, batch, tokens, _features(rng, 3)))
    return student, teacher, _mask(rng, batch, tokens)


@_case
def feature_map_transfer_backward(rng):
    student, teacher, mask = _feature_maps(rng)
    return Case(
        lambda student: feature_map_transfer.feature_map_transfer_forward(student, teacher.astype(student.dtype), mask),
        feature_map_transfer.feature_map_transfer_backward, {"student": student},
    )  # fmt: skip


@_case
def normalized_feature_map_transfer_backward(rng):
    student, teacher, mask = _feature_maps(rng)
    module = normalized_feature_map_transfer
    return Case(
        lambda student: module.normalized_feature_map_transfer_forward(student, teacher.astype(student.dtype), mask),
        module.normalized_feature_map_transfer_backward, {"student": student},
        kinks=lambda student: student.var(axis=-1) - teacher.var(axis=-1),
    )  # fmt: skip


@_case
def relation_scores_backward(rng):
    batch, tokens, heads, size = (int(n) for n in rng.integers(1, 4, 4))
    mask = _mask(rng, batch, tokens)

    def forward(x):
        scores, cache = relation_transfer.relation_scores_forward(x, mask, heads)
        return np.where(mask[:, None, None, :], scores, 0.0), cache

    return Case(forward, relation_transfer.relation_scores_backward,
                {"x": rng.normal(size=(batch, tokens, heads * size))})  # fmt: skip


@_case
def relation_transfer_backward(rng):
    """Student and teacher with heads of different sizes."""
    batch, tokens, heads, size, teacher_size = (int(n) for n in rng.integers(1, 4, 5))
    mask = _mask(rng, batch, tokens)
    teacher = Projections(*rng.normal(size=(3, batch, tokens, heads * teacher_size)))

    def forward(query, key, value):
        of_teacher = Projections(*(x.astype(query.dtype) for x in teacher))
        return relation_transfer.relation_transfer_forward(Projections(query, key, value), of_teacher, mask, heads)

    names = Projections._fields
    return Case(forward, relation_transfer.relation_transfer_backward,
                {name: rng.normal(size=(batch, tokens, heads * size)) for name in names})  # fmt: skip


def _vectors(rng, widths, fewest=1):
    """Sentence vectors [B, H] of student and teacher, not close to 0."""
    batch = int(rng.integers(fewest, 5))
    return [rng.normal(size=(batch, width)) + 2.0 for width in widths]


@_case
def direction_transfer_backward(rng):
    student, teacher = _vectors(rng, [_features(rng, 2)] * 2)
    module = sentence_vector_transfer
    return Case(
        lambda student: module.direction_transfer_forward(student, teacher.astype(student.dtype)),
        module.direction_transfer_backward, {"student": student},
    )  # fmt: skip


@_case
def similarity_transfer_backward(rng):
    student, teacher = _vectors(rng, [_features(rng, 2), _features(rng, 2)], fewest=2)  # one vector has no pair
    module = sentence_vector_transfer
    return Case(
        lambda student: module.similarity_transfer_forward(student, teacher.astype(student.dtype)),
        module.similarity_transfer_backward, {"student": student},
    )  # fmt: skip
