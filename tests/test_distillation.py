"""Knowledge transfer: what must hold whatever the numbers are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import CONFIGS, random_batch, random_parameters

from minimobilebert.distillation.attention_transfer import attention_transfer_backward, attention_transfer_forward
from minimobilebert.distillation.copy_from_teacher import copy_from_teacher
from minimobilebert.distillation.feature_map_transfer import feature_map_transfer_forward
from minimobilebert.distillation.layer_transfer import FEATURE_LOSSES, TransferSettings, layer_transfer_step
from minimobilebert.distillation.normalized_feature_map_transfer import (
    normalized_feature_map_transfer_backward,
    normalized_feature_map_transfer_forward,
)
from minimobilebert.distillation.pretraining_distillation import mixed_targets, pretraining_distillation_step
from minimobilebert.model.encoder import encoder_forward
from minimobilebert.model.pretraining import pretraining_forward, pretraining_step

SEEDS = st.integers(0, 2**32 - 1)
STUDENT, TEACHER = CONFIGS["mobilebert"], CONFIGS["ib-bert"]


def maps_and_mask(rng, batch=3, tokens=5, features=7):
    mask = np.arange(tokens) < rng.integers(1, tokens + 1, batch)[:, None]
    return rng.normal(size=(batch, tokens, features)), rng.normal(size=(batch, tokens, features)), mask


def scores_and_mask(rng, batch=3, heads=2, tokens=5):
    mask = np.arange(tokens) < rng.integers(1, tokens + 1, batch)[:, None]
    return *rng.normal(size=(2, batch, heads, tokens, tokens)), mask


def entropy_oracle(student, teacher, mask):
    """KL of one row at a time, in plain loops over real tokens."""
    total, rows = 0.0, 0
    for b in range(len(mask)):
        n = int(mask[b].sum())
        for a in range(student.shape[1]):
            for t in range(n):
                s, r = np.exp(student[b, a, t, :n]), np.exp(teacher[b, a, t, :n])
                s, r = s / s.sum(), r / r.sum()
                total += float((r * np.log(r / s)).sum())
                rows += 1
    return total / rows


def assert_same_gradients(found, expected):
    """Equal up to rounding of sums in another order. The key biases' gradient is 0 in exact arithmetic (a constant
    added to a row of scores changes no softmax), so rounding is measured against the model's largest gradient."""
    assert set(found) == set(expected)
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    for name, gradient in expected.items():
        np.testing.assert_allclose(found[name], gradient, rtol=1e-9, atol=1e-13 * largest, err_msg=name)


@given(SEEDS)
def test_feature_map_transfer_is_equation_2(backend, seed):
    student, teacher, mask = maps_and_mask(np.random.default_rng(seed))
    loss, _ = feature_map_transfer_forward(student, teacher, mask)
    gaps = [((student[b, t] - teacher[b, t]) ** 2).mean() for b, t in np.argwhere(mask)]
    assert loss == pytest.approx(np.mean(gaps), rel=1e-12)


@given(SEEDS)
def test_normalized_form_is_its_three_terms(backend, seed):
    student, teacher, mask = maps_and_mask(np.random.default_rng(seed))
    loss, _ = normalized_feature_map_transfer_forward(student, teacher, mask, 100.0, 5000.0, 5.0)
    total = 0.0
    for b, t in np.argwhere(mask):
        s, r = student[b, t], teacher[b, t]
        pattern = (((s - s.mean()) / s.std() - (r - r.mean()) / r.std()) ** 2).mean()
        total += 100.0 * pattern + 5000.0 * (s.mean() - r.mean()) ** 2 + 5.0 * abs(s.var() - r.var())
    assert loss == pytest.approx(total / mask.sum(), rel=1e-10)


@given(SEEDS)
def test_attention_transfer_is_equation_3(backend, seed):
    student, teacher, mask = scores_and_mask(np.random.default_rng(seed))
    loss, _ = attention_transfer_forward(student, teacher, mask)
    assert loss == pytest.approx(entropy_oracle(student, teacher, mask), rel=1e-10)


@given(SEEDS)
def test_a_perfect_student_has_no_loss_and_no_gradient(backend, seed):
    rng = np.random.default_rng(seed)
    maps, _, mask = maps_and_mask(rng)
    for forward, backward in FEATURE_LOSSES.values():
        loss, cache = forward(maps, maps.copy(), mask)
        assert loss == 0.0
        assert not backward(1.0, cache).any()
    scores, _, mask = scores_and_mask(rng)
    loss, cache = attention_transfer_forward(scores, scores.copy(), mask)
    assert abs(loss) < 1e-15  # log-sums that cancel up to rounding
    assert not attention_transfer_backward(1.0, cache).any()


@given(SEEDS)
def test_attention_transfer_ignores_a_constant_added_to_a_row(backend, seed):
    rng = np.random.default_rng(seed)
    student, teacher, mask = scores_and_mask(rng)
    loss, _ = attention_transfer_forward(student, teacher, mask)
    shifted, _ = attention_transfer_forward(student + rng.normal(size=(*student.shape[:3], 1)), teacher, mask)
    assert shifted == pytest.approx(loss, rel=1e-10, abs=1e-14)


@given(SEEDS)
def test_pattern_term_ignores_scale_and_level_but_the_others_do_not(backend, seed):
    rng = np.random.default_rng(seed)
    student, teacher, mask = maps_and_mask(rng)
    moved = 1.7 * student + 0.3

    def terms(x):
        return [normalized_feature_map_transfer_forward(x, teacher, mask, *f)[0] for f in np.eye(3)]

    before, after = terms(student), terms(moved)
    assert after[0] == pytest.approx(before[0], rel=1e-9)
    assert after[1] != pytest.approx(before[1], rel=1e-9)
    assert after[2] != pytest.approx(before[2], rel=1e-9)


def test_variance_gradient_changes_sign_across_the_kink():
    rng = np.random.default_rng(3)
    student = rng.normal(size=(1, 1, 6))
    mask = np.ones((1, 1), bool)
    gradients = []
    for factor in (0.9, 1.1):  # a teacher of smaller, then of larger variance
        _, cache = normalized_feature_map_transfer_forward(student, student * factor, mask, 0.0, 0.0, 1.0)
        gradients.append(normalized_feature_map_transfer_backward(1.0, cache))
    np.testing.assert_allclose(gradients[0], -gradients[1], rtol=1e-12)
    assert np.abs(gradients[0]).max() > 0.01


@given(SEEDS)
def test_padding_content_changes_no_transfer_loss_and_no_gradient(backend, seed):
    rng = np.random.default_rng(seed)
    student, teacher, mask = maps_and_mask(rng)
    junk = np.where(mask[..., None], student, 1e3 * rng.normal(size=student.shape))
    for forward, backward in FEATURE_LOSSES.values():
        (loss, cache), (junk_loss, junk_cache) = forward(student, teacher, mask), forward(junk, teacher, mask)
        assert loss == junk_loss
        np.testing.assert_array_equal(backward(1.0, cache)[mask], backward(1.0, junk_cache)[mask])
        assert not backward(1.0, junk_cache)[~mask].any()
    student, teacher, mask = scores_and_mask(rng)
    real = mask[:, None, :, None] & mask[:, None, None, :]
    junk = np.where(real, student, rng.normal(size=student.shape))
    (loss, cache), (junk_loss, junk_cache) = (attention_transfer_forward(x, teacher, mask) for x in (student, junk))
    assert loss == pytest.approx(junk_loss, rel=1e-14)
    gradient, junk_gradient = attention_transfer_backward(1.0, cache), attention_transfer_backward(1.0, junk_cache)
    np.testing.assert_allclose(gradient, junk_gradient, rtol=1e-14)
    assert not gradient[~np.broadcast_to(real, gradient.shape)].any()


@pytest.mark.parametrize("feature_loss", FEATURE_LOSSES)
def test_transfer_step_is_zero_between_a_model_and_its_copy(backend, feature_loss):
    rng = np.random.default_rng(5)
    params = random_parameters(STUDENT, rng)
    copy = {name: array.copy() for name, array in params.items()}
    batch = random_batch(STUDENT, rng)
    losses, grads = layer_transfer_step(
        params, STUDENT, copy, STUDENT, batch, [0, 2], TransferSettings(feature_loss), train_embeddings=True
    )
    assert abs(losses["loss"]) < 1e-14
    assert max(np.abs(g).max() for g in grads.values()) == 0.0


def test_each_layer_is_paired_with_its_own_teacher_layer(backend):
    """Layer l's loss sees teacher layer l and no other: change one teacher block at a time."""
    rng = np.random.default_rng(6)
    student, teacher = random_parameters(STUDENT, rng), random_parameters(TEACHER, rng)
    batch = random_batch(STUDENT, rng)

    def loss(layer, theirs):
        return layer_transfer_step(student, STUDENT, theirs, TEACHER, batch, [layer], TransferSettings())[0]["loss"]

    for layer in range(3):
        base = loss(layer, teacher)
        for changed in range(3):
            name = f"mobilebert.encoder.layer.{changed}.output.bottleneck.dense.bias"
            other = {**teacher, name: teacher[name] + 0.1 * rng.normal(size=teacher[name].shape)}
            # A change in block `changed` reaches the outputs of that block and of those above it, no lower one.
            assert (loss(layer, other) == base) == (changed > layer)


def test_transfer_step_equals_the_sum_of_its_layers(backend):
    rng = np.random.default_rng(7)
    student, teacher = random_parameters(STUDENT, rng), random_parameters(TEACHER, rng)
    batch = random_batch(STUDENT, rng)
    arguments = (student, STUDENT, teacher, TEACHER, batch)
    losses, grads = layer_transfer_step(*arguments, [0, 1, 2], TransferSettings())
    parts = [layer_transfer_step(*arguments, [layer], TransferSettings()) for layer in range(3)]
    assert losses["loss"] == pytest.approx(sum(part["loss"] for part, _ in parts), rel=1e-12)
    assert_same_gradients(grads, {name: sum(part[name] for _, part in parts if name in part) for name in grads})


def test_nothing_flows_to_the_teacher(backend):
    """The teacher's arrays stay as they were, and no gradient of a teacher-sized parameter appears."""
    rng = np.random.default_rng(8)
    student, teacher = random_parameters(STUDENT, rng), random_parameters(TEACHER, rng)
    before = {name: array.copy() for name, array in teacher.items()}
    batch = random_batch(STUDENT, rng)
    _, transfer = layer_transfer_step(student, STUDENT, teacher, TEACHER, batch, [2], TransferSettings())
    _, distillation = pretraining_distillation_step(student, STUDENT, teacher, TEACHER, batch)
    for grads in (transfer, distillation):
        assert all(grads[name].shape == student[name].shape for name in grads)
    assert all(np.array_equal(teacher[name], before[name]) for name in teacher)


def test_loss_depends_on_student_and_on_teacher(backend):
    """A student compared with itself by mistake would not notice another teacher."""
    rng = np.random.default_rng(9)
    student, teacher, other = (random_parameters(c, rng) for c in (STUDENT, TEACHER, TEACHER))
    batch = random_batch(STUDENT, rng)
    for step in (
        lambda s, t: layer_transfer_step(s, STUDENT, t, TEACHER, batch, [1], TransferSettings())[0]["loss"],
        lambda s, t: pretraining_distillation_step(s, STUDENT, t, TEACHER, batch)[0]["loss"],
    ):
        assert step(student, teacher) != step(student, other)
        assert step(student, teacher) != step(random_parameters(STUDENT, rng), teacher)


def test_mixed_targets_are_a_distribution_and_alpha_one_is_plain_pretraining(backend):
    rng = np.random.default_rng(10)
    logits, labels = rng.normal(size=(6, 9)), rng.integers(0, 9, 6)
    targets = mixed_targets(logits, labels, 0.3)
    np.testing.assert_allclose(targets.sum(axis=1), 1.0, rtol=1e-12)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) * 0.7
    expected[np.arange(6), labels] += 0.3
    np.testing.assert_allclose(targets, expected, rtol=1e-12)

    student, teacher = random_parameters(STUDENT, rng), random_parameters(TEACHER, rng)
    batch = random_batch(STUDENT, rng)
    losses, grads = pretraining_distillation_step(student, STUDENT, teacher, TEACHER, batch, alpha=1.0)
    plain_losses, plain_grads = pretraining_step(student, STUDENT, batch)
    assert losses["loss"] == pytest.approx(plain_losses["loss"], rel=1e-12)
    assert_same_gradients(grads, plain_grads)


def test_copy_from_teacher_takes_embeddings_and_heads_but_no_block(backend):
    rng = np.random.default_rng(11)
    student, teacher = random_parameters(STUDENT, rng), random_parameters(TEACHER, rng)
    before = {name: array.copy() for name, array in student.items()}
    copied = copy_from_teacher(student, teacher, STUDENT, TEACHER)
    expected = {
        *(f"mobilebert.embeddings.{table}_embeddings.weight" for table in ("word", "position", "token_type")),
        *(f"mobilebert.embeddings.embedding_transformation.{part}" for part in ("weight", "bias")),
        *(f"cls.predictions.transform.{layer}.{part}" for layer in ("dense", "LayerNorm") for part in ("weight", "bias")),
        "cls.predictions.bias", "cls.predictions.dense.weight", "cls.seq_relationship.weight", "cls.seq_relationship.bias",
    }  # fmt: skip
    assert set(copied) == expected
    for name, array in student.items():
        np.testing.assert_array_equal(array, teacher[name] if name in expected else before[name])
    student["cls.predictions.bias"] += 1.0
    assert not np.shares_memory(student["cls.predictions.bias"], teacher["cls.predictions.bias"])


def test_different_head_counts_are_named():
    rng = np.random.default_rng(12)
    with pytest.raises(ValueError, match=r"found student maps \(1, 2, 3, 3\) and teacher maps \(1, 4, 3, 3\)"):
        attention_transfer_forward(rng.normal(size=(1, 2, 3, 3)), rng.normal(size=(1, 4, 3, 3)), np.ones((1, 3), bool))


def test_stages_run_only_as_far_up_as_the_loss_reads(backend):
    """A parameter above the transferred layer gets no gradient, one below does."""
    rng = np.random.default_rng(13)
    student, teacher = random_parameters(STUDENT, rng), random_parameters(TEACHER, rng)
    _, grads = layer_transfer_step(
        student, STUDENT, teacher, TEACHER, random_batch(STUDENT, rng), [1], TransferSettings()
    )
    layers = {int(name.split(".")[3]) for name in grads}
    assert layers == {0, 1}
    assert all(".encoder.layer." in name for name in grads)


def test_padding_ids_change_no_real_output(backend):
    """With attention masked, only the trigram of the last real token sees padding; without trigrams nothing does."""
    rng = np.random.default_rng(14)
    config = CONFIGS["bert"]
    params = random_parameters(config, rng)
    batch = random_batch(config, rng)
    junk = np.where(batch.attention_mask, batch.input_ids, rng.integers(5, config.vocab_size, batch.input_ids.shape))
    clean, _ = pretraining_forward(params, config, batch)
    dirty, _ = pretraining_forward(params, config, batch._replace(input_ids=junk))
    np.testing.assert_allclose(dirty.word_logits, clean.word_logits, rtol=1e-12)

    config = CONFIGS["mobilebert"]
    params = random_parameters(config, rng)
    a, _ = encoder_forward(params, config, batch.input_ids, batch.token_type_ids, batch.attention_mask)
    b, _ = encoder_forward(params, config, junk, batch.token_type_ids, batch.attention_mask)
    lengths = batch.attention_mask.sum(axis=1)
    for row, length in enumerate(lengths):
        np.testing.assert_array_equal(a.hidden_states[0][row, : length - 1], b.hidden_states[0][row, : length - 1])
        padded = length < junk.shape[1]
        assert np.array_equal(a.hidden_states[0][row, length - 1], b.hidden_states[0][row, length - 1]) != padded
