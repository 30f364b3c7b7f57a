"""Whole models: every loss's gradient along random directions, and facts about the forward pass.

float64 with a central difference. ReLU's kinks are rare in a random direction of 1e-6, and `check_loss_gradients`
steps around them.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import CONFIGS, random_batch, random_parameters

from minimobilebert.distillation.auxiliary_transfer import auxiliary_transfer_step
from minimobilebert.distillation.layer_transfer import FEATURE_LOSSES, TransferSettings, layer_transfer_step
from minimobilebert.distillation.pretraining_distillation import pretraining_distillation_step
from minimobilebert.gradcheck.check import check_loss_gradients
from minimobilebert.model.classification import classification_forward, classification_step, regression_step
from minimobilebert.model.encoder import encoder_forward
from minimobilebert.model.parameters import VECTOR_HEADS, parameter_shapes
from minimobilebert.model.pretraining import pretraining_forward, pretraining_step
from minimobilebert.model.question_answering import question_answering_forward, question_answering_step
from minimobilebert.model.vector_classification import vector_classification_step, vector_regression_step
from minimobilebert.tasks.classification_batches import ClassificationBatch

SEEDS = st.integers(0, 2**32 - 1)
STUDENT, TEACHER = CONFIGS["mobilebert"], CONFIGS["ib-bert"]


def assert_gradients(step, params, seed):
    check_loss_gradients(step, params, directions=3, seed=seed).raise_on_failure()


@pytest.mark.parametrize("name", [*CONFIGS, "bert untied", "mobilebert untied"])
@settings(max_examples=3)
@given(seed=SEEDS)
def test_pretraining_gradients(backend, name, seed):
    rng = np.random.default_rng(seed)
    config = CONFIGS[name.removesuffix(" untied")].replace(tie_word_embeddings=not name.endswith("untied"))
    params, batch = random_parameters(config, rng), random_batch(config, rng)

    def step(params):
        losses, grads = pretraining_step(params, config, batch)
        return losses["loss"], grads

    assert set(step(params)[1]) == set(parameter_shapes(config, "pretraining"))
    assert_gradients(step, params, seed)


@pytest.mark.parametrize("name", CONFIGS)
def test_dropout_gradients(backend, name):
    """With the generator started anew, dropout is a fixed mask and the gradient exact."""
    rng = np.random.default_rng(17)
    config = CONFIGS[name].replace(hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.4)
    params, batch = random_parameters(config, rng), random_batch(config, rng)

    def step(params):
        losses, grads = pretraining_step(params, config, batch, np.random.default_rng(99))
        return losses["loss"], grads

    with_dropout, without = step(params)[0], pretraining_step(params, config, batch)[0]["loss"]
    assert with_dropout != without
    assert_gradients(step, params, 18)


@pytest.mark.parametrize("feature_loss", FEATURE_LOSSES)
@settings(max_examples=3)
@given(seed=SEEDS)
def test_layer_transfer_gradients(backend, feature_loss, seed):
    rng = np.random.default_rng(seed)
    params, teacher = random_parameters(STUDENT, rng), random_parameters(TEACHER, rng)
    batch = random_batch(STUDENT, rng)
    layers = [[0], [2], [0, 1, 2]][seed % 3]
    factors = TransferSettings(feature_loss, 0.7, 1.3)

    def step(params):
        losses, grads = layer_transfer_step(
            params, STUDENT, teacher, TEACHER, batch, layers, factors, train_embeddings=True
        )
        return losses["loss"], grads

    assert_gradients(step, params, seed)


@settings(max_examples=3)
@given(seed=SEEDS)
def test_distillation_gradients(backend, seed):
    rng = np.random.default_rng(seed)
    params, teacher = random_parameters(STUDENT, rng), random_parameters(TEACHER, rng)
    batch = random_batch(STUDENT, rng)

    def step(params):
        losses, grads = pretraining_distillation_step(params, STUDENT, teacher, TEACHER, batch, alpha=0.3)
        return losses["loss"], grads

    assert_gradients(step, params, seed)


@pytest.mark.parametrize("name", CONFIGS)
def test_classification_gradients(backend, name):
    rng = np.random.default_rng(19)
    config = CONFIGS[name]
    params = random_parameters(config, rng, "classification", num_labels=3)
    pairs = random_batch(config, rng)
    batch = ClassificationBatch(pairs.input_ids, pairs.token_type_ids, pairs.attention_mask, np.array([2, 0, 1]))

    def step(params):
        losses, grads = classification_step(params, config, batch)
        return losses["loss"], grads

    assert set(step(params)[1]) == set(params)
    assert_gradients(step, params, 20)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("head", VECTOR_HEADS)
def test_gradients_of_classified_vectors(backend, head, name, pooling):
    rng = np.random.default_rng(43)
    config = CONFIGS[name].replace(classifier_activation=False)
    params = random_parameters(config, rng, head, num_labels=3)
    pairs = random_batch(config, rng)
    batch = ClassificationBatch(pairs.input_ids, pairs.token_type_ids, pairs.attention_mask, np.array([2, 0, 1]))

    def step(params):
        losses, grads = vector_classification_step(params, config, batch, pooling=pooling, pad_id=0)
        return losses["loss"], grads

    assert set(step(params)[1]) == set(params)
    assert_gradients(step, params, 44)


def test_gradients_of_a_regression_of_vectors(backend):
    rng = np.random.default_rng(45)
    config = STUDENT.replace(classifier_activation=False)
    params = random_parameters(config, rng, "sentence-pairs", num_labels=1)
    pairs = random_batch(config, rng)
    labels = np.array([2.5, 0.0, 4.2])
    batch = ClassificationBatch(pairs.input_ids, pairs.token_type_ids, pairs.attention_mask, labels)

    def step(params):
        losses, grads = vector_regression_step(params, config, batch, pooling="mean", pad_id=0)
        return losses["loss"], grads

    assert_gradients(step, params, 46)


def test_regression_gradients(backend):
    rng = np.random.default_rng(30)
    params = random_parameters(STUDENT, rng, "classification", num_labels=1)
    pairs = random_batch(STUDENT, rng)
    labels = np.array([2.5, 0.0, 4.2])
    batch = ClassificationBatch(pairs.input_ids, pairs.token_type_ids, pairs.attention_mask, labels)

    def step(params):
        losses, grads = regression_step(params, STUDENT, batch)
        return losses["loss"], grads

    scores = classification_forward(params, STUDENT, batch)[0][:, 0]
    assert step(params)[0] == pytest.approx(((scores - labels) ** 2).mean(), rel=1e-12)
    assert_gradients(step, params, 31)


@pytest.mark.parametrize("name", CONFIGS)
def test_question_answering_gradients(backend, name):
    rng = np.random.default_rng(32)
    config = CONFIGS[name]
    params = random_parameters(config, rng, "question-answering")
    pairs = random_batch(config, rng)
    starts, ends = np.array([3, 0, 2]), np.array([5, 0, 2])
    batch = SimpleNamespace(**pairs._asdict(), starts=starts, ends=ends)

    def step(params):
        losses, grads = question_answering_step(params, config, batch)
        return losses["loss"], grads

    logits = question_answering_forward(params, config, batch)[0]
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    rows = np.arange(3)
    expected = -(log_p[rows, starts, 0].mean() + log_p[rows, ends, 1].mean()) / 2
    assert step(params)[0] == pytest.approx(expected, rel=1e-12)
    assert set(params) - set(step(params)[1]) == {key for key in params if ".pooler." in key}  # it reads every token
    assert_gradients(step, params, 33)


def test_a_wrong_gradient_is_seen():
    """The check above can fail: spoil one small parameter's gradient by one percent."""
    rng = np.random.default_rng(21)
    params, batch = random_parameters(STUDENT, rng), random_batch(STUDENT, rng)

    def step(params):
        losses, grads = pretraining_step(params, STUDENT, batch)
        grads["mobilebert.encoder.layer.1.ffn.0.output.LayerNorm.weight"] *= 1.01
        return losses["loss"], grads

    with pytest.raises(AssertionError):
        assert_gradients(step, params, 22)


@pytest.mark.parametrize("name", CONFIGS)
def test_step_leaves_parameters_and_batch_unchanged(backend, name):
    rng = np.random.default_rng(23)
    config = CONFIGS[name]
    params, batch = random_parameters(config, rng), random_batch(config, rng)
    before = {key: array.copy() for key, array in params.items()}
    fields = [field.copy() for field in batch]
    pretraining_step(params, config, batch)
    assert all(np.array_equal(params[key], before[key]) for key in params)
    assert all(np.array_equal(a, b) for a, b in zip(batch, fields, strict=True))


@pytest.mark.parametrize("name", CONFIGS)
def test_sequences_in_a_batch_do_not_touch_each_other(backend, name):
    rng = np.random.default_rng(24)
    config = CONFIGS[name]
    params, batch = random_parameters(config, rng), random_batch(config, rng)
    inputs = (batch.input_ids, batch.token_type_ids, batch.attention_mask)
    whole, _ = encoder_forward(params, config, *inputs)
    order = [2, 0, 1]
    shuffled, _ = encoder_forward(params, config, *(x[order] for x in inputs))
    np.testing.assert_allclose(shuffled.hidden_states[-1], whole.hidden_states[-1][order], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CONFIGS)
def test_attention_maps_are_distributions_over_real_tokens(backend, name):
    rng = np.random.default_rng(25)
    config = CONFIGS[name]
    params, batch = random_parameters(config, rng), random_batch(config, rng)
    output, _ = encoder_forward(params, config, batch.input_ids, batch.token_type_ids, batch.attention_mask)
    assert len(output.hidden_states) == config.num_hidden_layers + 1
    for maps in output.attention_maps:
        np.testing.assert_allclose(maps.sum(axis=-1), 1.0, rtol=1e-12)
        assert not maps[~np.broadcast_to(batch.attention_mask[:, None, None, :], maps.shape)].any()


def test_models_keep_float32(backend):
    rng = np.random.default_rng(26)
    for config in CONFIGS.values():
        params, batch = random_parameters(config, rng, dtype=np.float32), random_batch(config, rng)
        params = {name: array.astype(np.float32) for name, array in params.items()}
        output, _ = pretraining_forward(params, config, batch)
        _, grads = pretraining_step(params, config, batch)
        assert output.word_logits.dtype == np.float32
        assert {g.dtype for g in grads.values()} == {np.dtype(np.float32)}


def test_a_batch_without_masked_words_trains_on_sentence_pairs_alone(backend):
    rng = np.random.default_rng(27)
    params, batch = random_parameters(STUDENT, rng), random_batch(STUDENT, rng, masked=0)
    losses, grads = pretraining_step(params, STUDENT, batch)
    assert losses["mlm_loss"] == 0.0
    assert all(np.isfinite(g).all() for g in grads.values())


def test_longer_than_the_position_table_is_one_clear_line(backend):
    rng = np.random.default_rng(28)
    batch = random_batch(STUDENT, rng, lengths=(12, 3))
    with pytest.raises(ValueError, match="sequence length: found 12, expected at most 11"):
        pretraining_step(random_parameters(STUDENT, rng), STUDENT, batch)


def test_an_id_outside_the_vocabulary_is_one_clear_line(backend):
    rng = np.random.default_rng(29)
    batch = random_batch(STUDENT, rng)
    batch.input_ids[0, 1] = STUDENT.vocab_size
    with pytest.raises(ValueError, match=r"token id: found 0\.\.37, expected 0\.\.36"):
        pretraining_step(random_parameters(STUDENT, rng), STUDENT, batch)


@pytest.mark.parametrize("feature_loss", FEATURE_LOSSES)
@settings(max_examples=3)
@given(seed=SEEDS)
def test_auxiliary_transfer_gradients(backend, feature_loss, seed):
    rng = np.random.default_rng(seed)
    params, teacher = random_parameters(STUDENT, rng), random_parameters(TEACHER, rng)
    batch = random_batch(STUDENT, rng)
    factors = TransferSettings(feature_loss, 0.7, 1.3)

    def step(params):
        losses, grads = auxiliary_transfer_step(params, STUDENT, teacher, TEACHER, batch, factors, alpha=0.3)
        return losses["loss"], grads

    assert_gradients(step, params, seed)
