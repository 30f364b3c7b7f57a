"""Where the paper, its released code and transformers differ: each difference of lessons/differences.md, shown.

Where a public program does something else than this project, the test holds a few lines that do it that way, and shows
what follows. Tests named on the page but not found here are where the thing itself is tested.
"""

import pathlib
import re

import numpy as np
import pytest
from tiny_models import CONFIGS, random_batch, random_parameters

from minimobilebert.config import preset
from minimobilebert.distillation.copy_from_teacher import copy_from_teacher
from minimobilebert.distillation.layer_transfer import TransferSettings, layer_transfer_step
from minimobilebert.distillation.normalized_feature_map_transfer import normalized_feature_map_transfer_forward
from minimobilebert.interop.hf_config import config_from_hf
from minimobilebert.model.encoder import encoder_forward
from minimobilebert.model.parameters import count_parameters, init_parameters, parameter_shapes
from minimobilebert.model.pretraining import pretraining_forward
from minimobilebert.ops.attention import attention_forward
from minimobilebert.ops.gelu import gelu_forward, gelu_tanh_forward
from minimobilebert.ops.layernorm import layernorm_forward
from minimobilebert.ops.softmax import softmax_forward
from minimobilebert.pipeline.settings import TinySettings
from minimobilebert.text.wordpiece import WordPieceTokenizer
from minimobilebert.training.schedules import WarmupLinearDecay

ROOT = pathlib.Path(__file__).resolve().parents[1]
STUDENT, TEACHER = CONFIGS["mobilebert"], CONFIGS["ib-bert"]
EVERY_TOKEN = np.ones((3, 5), bool)


def test_the_page_names_tests_that_exist():
    """Every difference has its test, and every test is where the page says."""
    text = (ROOT / "lessons" / "differences.md").read_text(encoding="utf-8")
    sections = text.split("\n### ")[1:]
    assert len(sections) > 20
    for section in sections:
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", section)
        assert named, f"no test under {section.splitlines()[0]!r}"
        for file, test in named:
            source = (ROOT / "tests" / file).read_text(encoding="utf-8")
            assert re.search(rf"^def {test}\(", source, re.MULTILINE), f"{file} has no {test}"


# The architecture


def test_the_papers_size_is_that_of_the_model_without_the_shared_bottleneck():
    released, paper = preset("mobilebert"), preset("mobilebert-paper")
    assert count_parameters(parameter_shapes(released)) == 24_581_888
    assert count_parameters(parameter_shapes(paper)) == 25_359_104
    assert released == paper.replace(key_query_shared_bottleneck=True)


def test_hugging_faces_defaults_are_not_the_released_settings():
    """A config.json without classifier_activation means a pooler to transformers; the released model has none."""
    left_out = config_from_hf({"model_type": "mobilebert"}, "config.json")
    assert left_out == preset("mobilebert", classifier_activation=True)
    assert config_from_hf({"model_type": "mobilebert", "classifier_activation": False}, "x") == preset("mobilebert")


def test_the_students_next_sentence_head_reads_the_raw_cls_vector(backend):
    rng = np.random.default_rng(1)
    for config in (STUDENT, TEACHER):
        params, batch = random_parameters(config, rng), random_batch(config, rng)
        output, _ = pretraining_forward(params, config, batch)
        pooled = output.encoder.hidden_states[-1][:, 0]
        if config is TEACHER:
            pooled = np.tanh(
                pooled @ params["mobilebert.pooler.dense.weight"].T + params["mobilebert.pooler.dense.bias"]
            )
        expected = pooled @ params["cls.seq_relationship.weight"].T + params["cls.seq_relationship.bias"]
        np.testing.assert_allclose(output.next_sentence_logits, expected, rtol=1e-9)


def test_the_two_gelus_differ_by_more_than_rounding(backend):
    x = np.linspace(-6.0, 6.0, 2001)
    gap = np.abs(gelu_forward(x)[0] - gelu_tanh_forward(x)[0]).max()
    assert 1e-4 < gap < 1e-3


def test_the_epsilon_of_layernorm_matters_for_quiet_features_only(backend):
    """transformers uses 1e-5 in two of its LayerNorms and 1e-12 in the others."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(4, 8))
    for scale, visible in ((1.0, False), (1e-3, True)):
        one, other = (layernorm_forward(scale * x, None, None, eps)[0] for eps in (1e-12, 1e-5))
        assert (np.abs(one - other).max() > 1e-3) == visible


def test_the_trigram_sees_padding_and_plain_bert_does_not(backend):
    """The last real token's output changes when padding follows it: the mask hides keys, not embeddings."""
    rng = np.random.default_rng(3)
    for name, sees in (("mobilebert", True), ("bert", False)):
        config = CONFIGS[name]
        params, batch = random_parameters(config, rng), random_batch(config, rng, lengths=(6,), masked=1)

        def run(ids, config=config, params=params, real=6):
            mask = (np.arange(ids.shape[1]) < real)[None]
            return encoder_forward(params, config, ids, np.zeros_like(ids), mask)[0].hidden_states[-1][:, :real]

        padded = np.concatenate([batch.input_ids, np.zeros((1, 3), np.int32)], axis=1)
        gap = np.abs(run(batch.input_ids) - run(padded)).max() / np.abs(run(padded)).max()
        assert gap > 1e-3 if sees else gap < 1e-12


def test_a_mask_of_minus_six_lets_padding_in(backend):
    """What the released repository does today (score -6 for padding) against -10000 before, and ours."""
    rng = np.random.default_rng(4)
    query, key, value = rng.normal(size=(3, 1, 5, 8))
    mask = np.array([[True, True, True, False, False]])
    _, ours = attention_forward(query, key, value, mask, 2)
    scores = ours.scores
    additive = np.where(mask[:, None, None, :], scores, -10000.0)
    minus_six = np.where(mask[:, None, None, :], scores, -6.0)
    np.testing.assert_array_equal(softmax_forward(additive)[0], ours.probabilities)
    assert not ours.probabilities[..., 3:].any()
    leaked = softmax_forward(minus_six)[0][..., 3:].sum(axis=-1)
    assert leaked.min() > 1e-4


def test_transformers_maps_are_probabilities_and_ours_are_both(backend):
    rng = np.random.default_rng(5)
    params, batch = random_parameters(STUDENT, rng), random_batch(STUDENT, rng, lengths=(5,), masked=1)
    output, _ = encoder_forward(params, STUDENT, batch.input_ids, batch.token_type_ids, batch.attention_mask)
    for scores, maps in zip(output.attention_scores, output.attention_maps, strict=True):
        np.testing.assert_allclose(np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True), maps, rtol=1e-9)


def test_first_weights_are_cut_at_two_standard_deviations():
    rng = np.random.default_rng(6)
    config = preset("mobilebert", vocab_size=2000, num_hidden_layers=1)
    params = init_parameters(parameter_shapes(config), config, rng)
    words = params["mobilebert.embeddings.word_embeddings.weight"]
    assert np.abs(words).max() <= 0.02 * 2.0 * (1.0 + 1e-6)
    assert words.std() == pytest.approx(0.02 * 0.8796, rel=0.01)  # the standard deviation of a normal cut at 2
    assert words[0].any()  # transformers sets the row of [PAD] to zero, and never trains it


# The losses


def released_statistics_terms(student, teachers, level_factor=5000.0, size_factor=5.0):
    """The released code's mean and variance terms as they are written: against the LIST of all teacher layers."""
    teachers = np.stack(teachers)
    level = ((teachers.mean(axis=-1) - student.mean(axis=-1)) ** 2).mean()
    size = np.abs(teachers.var(axis=-1) - student.var(axis=-1)).mean()
    return level_factor * level + size_factor * size


def test_the_released_codes_pairing_mistake(backend):
    """A student whose every layer equals its own teacher layer is perfect. The mistaken loss says it is not, and would
    move it away: each layer is drawn to the average statistics of all layers."""
    rng = np.random.default_rng(7)
    teachers = [rng.normal(scale, scale, (3, 5, 8)) for scale in (0.5, 1.0, 3.0)]
    for layer, teacher in enumerate(teachers):
        perfect = teacher.copy()
        ours, _ = normalized_feature_map_transfer_forward(perfect, teacher, EVERY_TOKEN, 0.0)
        assert ours == 0.0
        assert released_statistics_terms(perfect, teachers) > 100.0
        if layer == 2:  # moving the layer's level towards the others' lowers the mistaken loss, and raises ours
            moved = perfect - 0.5
            assert released_statistics_terms(moved, teachers) < released_statistics_terms(perfect, teachers)
            assert normalized_feature_map_transfer_forward(moved, teacher, EVERY_TOKEN, 0.0)[0] > 100.0
    # With one layer only there is nothing to confuse, and the two are the same.
    student = rng.normal(size=(3, 5, 8))
    ours, _ = normalized_feature_map_transfer_forward(student, teachers[0], EVERY_TOKEN, 0.0)
    assert ours == pytest.approx(released_statistics_terms(student, teachers[:1]), rel=1e-12)


def test_the_released_averages_count_padding():
    """Here the transfer losses average over real tokens; the released code's mean over everything differs."""
    rng = np.random.default_rng(8)
    student, teacher = rng.normal(size=(2, 3, 5, 8))
    mask = np.arange(5) < np.array([5, 2, 1])[:, None]
    ours, _ = normalized_feature_map_transfer_forward(student, teacher, mask, 0.0, 1.0, 0.0)
    gaps = (student.mean(axis=-1) - teacher.mean(axis=-1)) ** 2
    assert ours == pytest.approx(gaps[mask].mean(), rel=1e-12)
    assert abs(ours - gaps.mean()) > 1e-3


def test_a_temperature_before_layernorm_does_nothing(backend):
    """The released flag multiplies the teacher's hidden state, which the head then normalises; on the logits it would
    flatten the distribution."""
    rng = np.random.default_rng(9)
    hidden, words = rng.normal(size=(6, 12)), rng.normal(size=(20, 12))

    def head(x):
        return layernorm_forward(x, None, None)[0] @ words.T

    def entropy(logits):
        p = softmax_forward(logits)[0]
        return float(-(p * np.log(p)).sum(axis=-1).mean())

    np.testing.assert_allclose(head(2.0 * hidden), head(hidden), rtol=1e-9)
    assert entropy(head(hidden) / 2.0) > entropy(head(hidden)) + 0.1


def test_a_second_softmax_hides_what_attention_transfer_should_teach():
    """The TF2 port takes the softmax of probabilities: even opposite maps then look alike."""
    sharp = np.eye(8)[None, None] * 0.98 + 0.02 / 8
    opposite = sharp[..., ::-1]

    def divergence(p, q):
        return float((p * np.log(p / q)).sum(axis=-1).mean())

    once = divergence(sharp, opposite)
    twice = divergence(softmax_forward(sharp)[0], softmax_forward(opposite)[0])
    assert once > 5.0 and twice < 0.2


# Training


def test_the_students_embedding_norm_is_not_the_teachers():
    """LayerNorm's weights are learned for normalised features; a NoNorm student keeps 1 and 0."""
    rng = np.random.default_rng(10)
    student, teacher = random_parameters(STUDENT, rng), random_parameters(TEACHER, rng)
    name = "mobilebert.embeddings.LayerNorm.weight"
    before = student[name].copy()
    assert name not in copy_from_teacher(student, teacher, STUDENT, TEACHER)
    np.testing.assert_array_equal(student[name], before)
    normalised = STUDENT.replace(normalization_type="layer_norm")
    assert name in copy_from_teacher(student, teacher, normalised, TEACHER)
    np.testing.assert_array_equal(student[name], teacher[name])


def test_transfer_runs_without_dropout(backend):
    """As in the released code: with a dropout rate in both configurations two steps still give the same numbers."""
    rng = np.random.default_rng(11)
    student_config, teacher_config = (
        c.replace(hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5) for c in (STUDENT, TEACHER)
    )
    student, teacher = random_parameters(student_config, rng), random_parameters(teacher_config, rng)
    batch = random_batch(STUDENT, rng)
    models = (student, student_config, teacher, teacher_config, batch)
    first, second = (layer_transfer_step(*models, [0, 2], TransferSettings())[0] for _ in range(2))
    assert first == second


def test_the_schedule_drops_a_little_where_warm_up_ends():
    """The decay line starts at step 0, not at the end of the warm-up."""
    schedule = WarmupLinearDecay(1.0, 100, 1000)
    assert schedule(99) == 0.99
    assert schedule(100) == pytest.approx(0.9, abs=1e-4)


def test_words_beyond_a_hundred_characters_are_unknown():
    """Google's first program cuts at 200 characters, transformers at 100; ours is transformers'."""
    tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##a"])
    assert tokenizer.encode("a" * 100) == [5] + [6] * 99
    assert tokenizer.encode("a" * 101) == [1]


def test_half_precision_cannot_hold_the_released_activations():
    """The first token's activations reach 2.5e7. float16 ends at 65504; bfloat16 keeps float32's range."""
    with np.errstate(over="ignore"):
        assert np.isinf(np.float32(2.5e7).astype(np.float16))
    cut = np.array([2.5e7], np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    assert cut.view(np.float32)[0] == pytest.approx(2.5e7, rel=2**-8)


def test_the_classroom_recipe_says_where_it_leaves_the_papers():
    """Standard deviation of the first weights, no dropout: the classroom presets only."""
    settings = TinySettings()
    for config, full in (
        (settings.teacher_config, preset("ib-bert-large")),
        (settings.student_config, preset("mobilebert")),
    ):
        assert (config.initializer_range, full.initializer_range) == (0.05, 0.02)
        assert (config.attention_probs_dropout_prob, full.attention_probs_dropout_prob) == (0.0, 0.1)
