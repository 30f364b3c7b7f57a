"""A batch in parts: the gradients of the parts add up to those of the batch, whatever the parts are."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import CONFIGS, random_batch, random_parameters

from minimobilebert.distillation.auxiliary_transfer import auxiliary_transfer_step
from minimobilebert.distillation.encoder_transfer import EncoderTransfer, encoder_transfer_step, masked_word_step
from minimobilebert.distillation.layer_transfer import FEATURE_LOSSES, TransferSettings, layer_transfer_step
from minimobilebert.distillation.pretraining_distillation import pretraining_distillation_step
from minimobilebert.model.classification import classification_step, regression_step
from minimobilebert.model.parts import WHOLE, Shares, bounds, cut_batch
from minimobilebert.model.pretraining import pretraining_step
from minimobilebert.model.question_answering import question_answering_step
from minimobilebert.model.vector_classification import vector_classification_step, vector_regression_step
from minimobilebert.tasks.classification_batches import ClassificationBatch
from minimobilebert.tasks.squad_batches import SquadBatch

STUDENT, TEACHER = CONFIGS["mobilebert"], CONFIGS["ib-bert"]
LENGTHS = (9, 4, 7, 3, 8)
_EVERY_TERM = EncoderTransfer(
    ((0, 0), (1, 2)), "paper", 1.0, 0.5, 0.7, 1, embedding_factor=0.3, direction_factor=2.0, words_factor=0.4
)


def _pretraining(params, teacher, batch, shares):
    return pretraining_step(params, STUDENT, batch, None, shares)


def _distillation(params, teacher, batch, shares):
    return pretraining_distillation_step(params, STUDENT, teacher, TEACHER, batch, 0.3, None, shares)


def _auxiliary(params, teacher, batch, shares):
    return auxiliary_transfer_step(params, STUDENT, teacher, TEACHER, batch, TransferSettings(), 0.3, None, shares)


def _layers(loss):
    def step(params, teacher, batch, shares):
        return layer_transfer_step(
            params, STUDENT, teacher, TEACHER, batch, [0, 2], TransferSettings(loss, 0.6, 0.9), shares=shares
        )

    return step


def _encoder(params, teacher, batch, shares):
    return encoder_transfer_step(params, STUDENT, teacher, TEACHER, batch, _EVERY_TERM, None, shares)


def _words(params, teacher, batch, shares):
    return masked_word_step(params, STUDENT, batch, None, shares)


STEPS = {
    "pretraining": _pretraining, "distillation": _distillation, "auxiliary": _auxiliary,
    **{f"layers, {loss}": _layers(loss) for loss in FEATURE_LOSSES},
    "encoder": _encoder, "masked words": _words,
}  # fmt: skip


def _vectors(step):
    return functools.partial(step, pooling="mean", pad_id=0)


HEADS = {
    "classification": (classification_step, "classification", 3),
    "regression": (regression_step, "classification", 1),
    "vectors": (_vectors(vector_classification_step), "sentence-vectors", 3),
    "pairs": (_vectors(vector_classification_step), "sentence-pairs", 3),
    "scored pairs": (_vectors(vector_regression_step), "sentence-pairs", 1),
    "questions": (question_answering_step, "question-answering", None),
}


def _labelled(name, batch, rng):
    """The same texts with the labels of a task"""
    inputs = batch.input_ids, batch.token_type_ids, batch.attention_mask
    rows = len(batch.input_ids)
    if name == "questions":
        return SquadBatch(*inputs, rng.integers(0, 3, rows), rng.integers(3, 5, rows), np.arange(rows))
    return ClassificationBatch(*inputs, rng.integers(0, 3, rows) if HEADS[name][2] == 3 else rng.normal(size=rows))


def _sums(step, batch, parts):
    """Losses and gradients of all parts, added up"""
    losses, gradients = {}, {}
    for part in cut_batch(batch, parts):
        found, of_part = step(part.batch, part.shares)
        for total, more in ((losses, found), (gradients, of_part)):
            for name, value in more.items():
                total[name] = total[name] + value if name in total else value
    return losses, gradients


def _assert_same_sums(step, batch, parts):
    expected_losses, expected = step(batch, WHOLE)
    losses, gradients = _sums(step, batch, parts)
    assert losses == pytest.approx(expected_losses, rel=1e-12)
    assert gradients.keys() == expected.keys()
    # float64, and sums in another order: some gradients are 0 but for rounding (keys' biases), so the largest one counts
    largest = max(float(np.abs(gradient).max()) for gradient in expected.values())
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-10, atol=1e-13 * largest, err_msg=name)


@pytest.mark.parametrize("name", STEPS)
@settings(max_examples=3)
@given(seed=st.integers(0, 2**32 - 1), parts=st.integers(2, 6))
def test_parts_add_up_to_the_batch(backend, name, seed, parts):
    rng = np.random.default_rng(seed)
    params, teacher = random_parameters(STUDENT, rng), random_parameters(TEACHER, rng)
    _assert_same_sums(
        lambda batch, shares: STEPS[name](params, teacher, batch, shares), random_batch(STUDENT, rng, LENGTHS), parts
    )


@pytest.mark.parametrize("name", HEADS)
@settings(max_examples=3)
@given(seed=st.integers(0, 2**32 - 1), parts=st.integers(2, 6))
def test_parts_of_a_task_add_up_to_the_batch(backend, name, seed, parts):
    rng = np.random.default_rng(seed)
    step, head, labels = HEADS[name]
    params = random_parameters(STUDENT, rng, head, labels)
    batch = _labelled(name, random_batch(STUDENT, rng, LENGTHS), rng)
    _assert_same_sums(lambda batch, shares: step(params, STUDENT, batch, None, shares), batch, parts)


def test_similarities_are_those_inside_of_a_part():
    """Two parts of 2 and 3 texts have 1 and 3 pairs, so the parts count 1 to 3."""
    batch = random_batch(STUDENT, np.random.default_rng(3), LENGTHS)
    assert [part.shares.pairs for part in cut_batch(batch, 2)] == [0.25, 0.75]


@given(count=st.integers(1, 40), parts=st.integers(1, 50))
def test_no_part_is_empty_and_none_is_much_larger(count, parts):
    edges = bounds(count, parts)
    sizes = np.diff(edges)
    assert edges[0] == 0 and edges[-1] == count and len(sizes) == min(count, parts)
    assert sizes.min() >= 1 and sizes.max() - sizes.min() <= 1


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 9), parts=st.integers(1, 10))
def test_cutting_keeps_every_row_and_every_masked_word(seed, rows, parts):
    rng = np.random.default_rng(seed)
    batch = random_batch(STUDENT, rng, rng.integers(2, 10, rows), masked=2)
    cut = cut_batch(batch, parts)
    for name in ("input_ids", "attention_mask", "next_sentence_labels", "masked_labels"):
        np.testing.assert_array_equal(np.concatenate([getattr(p.batch, name) for p in cut]), getattr(batch, name))
    starts = np.cumsum([0] + [p.batch.input_ids.size for p in cut])
    positions = [p.batch.masked_positions + start for p, start in zip(cut, starts, strict=False)]
    np.testing.assert_array_equal(np.concatenate(positions), batch.masked_positions)
    assert Shares(*np.sum([p.shares for p in cut], axis=0))[:3] == pytest.approx((1.0, 1.0, 1.0))


def test_the_mean_of_means_is_not_the_mean():
    """Why there are shares: without them, a part with few masked words weighs as much as one with many."""
    rng = np.random.default_rng(5)
    params, batch = random_parameters(STUDENT, rng), random_batch(STUDENT, rng, LENGTHS)
    cut = cut_batch(batch, 2)
    means = [pretraining_step(params, STUDENT, part.batch)[0]["loss"] for part in cut]
    whole = pretraining_step(params, STUDENT, batch)[0]["loss"]
    assert abs(np.mean(means) - whole) > 1e-3
