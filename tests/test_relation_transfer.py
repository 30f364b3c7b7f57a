"""Relation and sentence-vector transfer, and the loss of all terms: oracles, invariances, gradients of whole models."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import CONFIGS, random_batch, random_parameters

from minimobilebert.distillation.encoder_transfer import EncoderTransfer, encoder_transfer_step, masked_word_step
from minimobilebert.distillation.relation_transfer import relation_transfer_backward, relation_transfer_forward
from minimobilebert.distillation.sentence_vector_transfer import (
    direction_transfer_forward,
    similarity_transfer_backward,
    similarity_transfer_forward,
)
from minimobilebert.model.encoder import encoder_backward, encoder_forward
from minimobilebert.model.self_attention import Projections

SEEDS = st.integers(0, 2**32 - 1)


def vectors_and_mask(rng, widths=(6, 12), batch=3, tokens=5):
    mask = np.arange(tokens) < rng.integers(1, tokens + 1, batch)[:, None]
    return *(Projections(*rng.normal(size=(3, batch, tokens, width))) for width in widths), mask


def relations_oracle(x, heads, real):
    """softmax(x x^T / sqrt(D)) of one sequence, in plain loops; x [T, C] -> [R, n, n]"""
    size = x.shape[1] // heads
    found = np.zeros((heads, real, real))
    for r in range(heads):
        for i in range(real):
            for j in range(real):
                part = slice(r * size, (r + 1) * size)
                found[r, i, j] = x[i, part] @ x[j, part] / np.sqrt(size)
    weights = np.exp(found)
    return weights / weights.sum(axis=-1, keepdims=True)


def relation_transfer_oracle(student, teacher, mask, heads):
    total, rows = 0.0, 0
    for s, t in zip(student, teacher, strict=True):
        for b in range(len(mask)):
            real = int(mask[b].sum())
            p, q = (relations_oracle(x[b, :real], heads, real) for x in (t, s))
            total += (p * np.log(p / q)).sum()
            rows += heads * real
    return total / rows


@given(SEEDS)
def test_relation_transfer_is_its_equation(backend, seed):
    student, teacher, mask = vectors_and_mask(np.random.default_rng(seed))
    for heads in (1, 2, 6):
        loss, _ = relation_transfer_forward(student, teacher, mask, heads)
        assert loss == pytest.approx(relation_transfer_oracle(student, teacher, mask, heads), rel=1e-10)


@given(SEEDS)
def test_a_rotation_inside_a_relation_head_changes_nothing(backend, seed):
    """Relations see angles and lengths, so a student may have the teacher's vectors in any other basis."""
    rng = np.random.default_rng(seed)
    student, teacher, mask = vectors_and_mask(rng, (8, 8))
    rotation, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    both = np.kron(np.eye(2), rotation)
    turned = Projections(*(x @ both for x in student))
    loss, _ = relation_transfer_forward(student, teacher, mask, 2)
    assert relation_transfer_forward(turned, teacher, mask, 2)[0] == pytest.approx(loss, rel=1e-9)
    same, cache = relation_transfer_forward(Projections(*(x @ both for x in teacher)), teacher, mask, 2)
    assert abs(same) < 1e-12
    assert max(np.abs(gradient).max() for gradient in relation_transfer_backward(1.0, cache)) < 1e-12


@given(SEEDS)
def test_padding_changes_no_relation(backend, seed):
    rng = np.random.default_rng(seed)
    student, teacher, mask = vectors_and_mask(rng)
    junk = Projections(*(np.where(mask[..., None], x, 50.0 * rng.normal(size=x.shape)) for x in student))
    (loss, cache), (other, other_cache) = (relation_transfer_forward(x, teacher, mask, 2) for x in (student, junk))
    assert other == pytest.approx(loss, rel=1e-12)
    gradients, others = relation_transfer_backward(1.0, cache), relation_transfer_backward(1.0, other_cache)
    for gradient, of_junk in zip(gradients, others, strict=True):
        np.testing.assert_allclose(gradient[mask], of_junk[mask], rtol=1e-9, atol=1e-14)
        assert not of_junk[~mask].any()


def test_relation_heads_must_divide_both_widths():
    student, teacher, mask = vectors_and_mask(np.random.default_rng(1))
    with pytest.raises(ValueError, match="relation_heads: found 4, expected a divisor of 6 and of 12"):
        relation_transfer_forward(student, teacher, mask, 4)


@given(SEEDS)
def test_sentence_vectors_are_compared_by_direction_or_by_similarity(backend, seed):
    rng = np.random.default_rng(seed)
    student, teacher, narrow = rng.normal(size=(4, 7)), rng.normal(size=(4, 7)), rng.normal(size=(4, 3))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (student, teacher, narrow)]
    loss, _ = direction_transfer_forward(student, teacher)
    assert loss == pytest.approx(1.0 - (unit[0] * unit[1]).sum(axis=1).mean(), rel=1e-12)
    scaled, _ = direction_transfer_forward(student * rng.uniform(0.1, 9.0, (4, 1)), teacher)
    assert scaled == pytest.approx(loss, rel=1e-10)
    loss, _ = similarity_transfer_forward(narrow, teacher)
    differences = unit[2] @ unit[2].T - unit[1] @ unit[1].T
    assert loss == pytest.approx(np.mean([differences[a, b] ** 2 for a in range(4) for b in range(4) if a != b]))
    rotation, _ = np.linalg.qr(rng.normal(size=(7, 7)))
    same, cache = similarity_transfer_forward(teacher @ rotation, teacher)
    assert same < 1e-28 and np.abs(similarity_transfer_backward(1.0, cache)).max() < 1e-14


def all_terms(student, teacher):
    same_heads = student.num_attention_heads == teacher.num_attention_heads
    return EncoderTransfer(
        ((0, 0), (1, 2)), "paper", 0.7, 0.9 if same_heads else 0.0, 1.1, 2, 0.5, 0.8, 0.6, "mean", 0.4, 0.3
    )  # fmt: skip


@pytest.mark.parametrize("names", [("mobilebert", "bert"), ("mobilebert-tiny", "ib-bert"), ("bert", "bert")])
def test_gradients_of_all_terms_are_those_of_differences(backend, names):
    """A student of two layers beside a teacher of three: along random directions, the loss changes as predicted."""
    rng = np.random.default_rng(11)
    student, teacher = CONFIGS[names[0]].replace(num_hidden_layers=2), CONFIGS[names[1]]
    if names[0] == "mobilebert":
        student = student.replace(num_attention_heads=4)
    params, of_teacher = (
        random_parameters(student, rng, "masked-words"),
        random_parameters(teacher, rng, "masked-words"),
    )
    batch, transfer = random_batch(student, rng), all_terms(student, teacher)

    def loss(params):
        return encoder_transfer_step(params, student, of_teacher, teacher, batch, transfer)

    values, grads = loss(params)
    assert values["loss"] > 0.0 and "relation_transfer" in values and "masked_words" in values
    pooler = {f"{student.prefix}.pooler.dense.{part}" for part in ("weight", "bias")}  # no term reads it
    assert set(grads) == set(params) - pooler
    for _ in range(3):
        direction = {name: rng.normal(size=array.shape) for name, array in params.items()}
        moved = [{name: array + step * direction[name] for name, array in params.items()} for step in (1e-6, -1e-6)]
        difference = (loss(moved[0])[0]["loss"] - loss(moved[1])[0]["loss"]) / 2e-6
        assert sum((grads[n] * direction[n]).sum() for n in grads) == pytest.approx(difference, rel=1e-5)


def test_the_step_without_a_teacher_has_the_gradients_of_differences(backend):
    rng = np.random.default_rng(12)
    config = CONFIGS["mobilebert"]
    params, batch = random_parameters(config, rng, "masked-words"), random_batch(config, rng)
    _, grads = masked_word_step(params, config, batch)
    direction = {name: rng.normal(size=array.shape) for name, array in params.items()}
    losses = [
        masked_word_step({n: a + step * direction[n] for n, a in params.items()}, config, batch)[0]["loss"]
        for step in (1e-6, -1e-6)
    ]
    expected = (losses[0] - losses[1]) / 2e-6
    assert sum((grads[n] * direction[n]).sum() for n in grads) == pytest.approx(expected, rel=1e-5)


def test_a_term_with_factor_0_is_left_out_and_only_the_layers_that_are_needed_run(backend):
    rng = np.random.default_rng(13)
    student, teacher = CONFIGS["mobilebert"], CONFIGS["bert"]
    params, of_teacher = random_parameters(student, rng, None), random_parameters(teacher, rng, None)
    batch = random_batch(student, rng)
    transfer = EncoderTransfer(((0, 1),), feature_factor=1.0)
    values, grads = encoder_transfer_step(params, student, of_teacher, teacher, batch, transfer)
    assert set(values) == {"loss", "feature_map_transfer"}
    assert {name.split(".")[3] for name in grads if ".layer." in name} == {"0"}
    # The pair says which layer of the teacher is looked at: blocks above it do not matter, its own does.
    for layer in range(3):
        name = f"bert.encoder.layer.{layer}.output.dense.bias"
        other = {**of_teacher, name: of_teacher[name] + rng.normal(size=of_teacher[name].shape)}
        changed, _ = encoder_transfer_step(params, student, other, teacher, batch, transfer)
        assert (changed["loss"] != values["loss"]) == (layer <= 1)


def test_the_encoder_takes_gradients_of_scores_and_projections_together(backend):
    """Their sum is the sum of both alone, and nothing that is given is written to."""
    rng = np.random.default_rng(14)
    config = CONFIGS["mobilebert"]
    params, batch = random_parameters(config, rng, None), random_batch(config, rng)
    output, cache = encoder_forward(params, config, batch.input_ids, batch.token_type_ids, batch.attention_mask)
    scores = {1: np.where(batch.attention_mask[:, None, None, :], rng.normal(size=output.attention_scores[1].shape), 0)}
    projections = {1: Projections(*(rng.normal(size=x.shape) for x in output.projections[1]))}
    before = [x.copy() for x in projections[1]]

    def grads(**given):
        found = {}
        encoder_backward({}, cache, found, config, **given)
        return found

    both = grads(dscores=scores, dprojections=projections)
    one, other = grads(dscores=scores), grads(dprojections=projections)
    for name in both:
        np.testing.assert_allclose(both[name], one[name] + other[name], rtol=1e-9, atol=1e-12)
    assert all(np.array_equal(x, y) for x, y in zip(before, projections[1], strict=True))
