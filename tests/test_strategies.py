"""The strategies of Section 3.6: what each one trains, when, and with which losses."""

import dataclasses

import numpy as np
import pytest
from tiny_models import CONFIGS, random_batch, random_parameters

from minimobilebert.config import ConfigError
from minimobilebert.distillation.auxiliary_transfer import auxiliary_transfer_step
from minimobilebert.distillation.layer_transfer import TransferSettings, layer_transfer_step
from minimobilebert.distillation.pretraining_distillation import pretraining_distillation_step
from minimobilebert.model.parameters import init_parameters, parameter_shapes
from minimobilebert.model.parts import WHOLE
from minimobilebert.pipeline.settings import TinySettings, settings_from_strings
from minimobilebert.pipeline.strategies import joint_multipliers, student_before_transfer, student_stages

STUDENT, TEACHER = CONFIGS["mobilebert"], CONFIGS["ib-bert"]
SMALL = TinySettings(vocab_size=50, sequence_length=12, transfer_steps_per_layer=3, distillation_steps=5)
STRATEGIES = ("progressive", "joint", "auxiliary", "none")


def with_strategy(strategy):
    return dataclasses.replace(SMALL, strategy=strategy)


def teacher_parameters(settings):
    config = settings.teacher_config
    return init_parameters(parameter_shapes(config, "pretraining"), config, np.random.default_rng(1))


def largest_gap(found, expected):
    """Largest difference, measured against the largest gradient of the model."""
    scale = max(np.abs(array).max() for array in expected.values())
    assert set(found) == set(expected)
    return max(np.abs(found[name] - expected[name]).max() for name in expected) / scale


@pytest.mark.parametrize("feature_loss", ["paper", "released"])
def test_the_auxiliary_loss_is_transfer_plus_distillation(backend, feature_loss):
    """One backward pass gives the sum of the gradients of the two parts: differentiation is linear."""
    rng = np.random.default_rng(2)
    student, teacher = random_parameters(STUDENT, rng), random_parameters(TEACHER, rng)
    batch, factors = random_batch(STUDENT, rng), TransferSettings(feature_loss, 0.6, 1.7)
    models = (student, STUDENT, teacher, TEACHER, batch)
    values, grads = auxiliary_transfer_step(*models, factors, alpha=0.4)
    transfer, transfer_grads = layer_transfer_step(*models, [0, 1, 2], factors, train_embeddings=True)
    distillation, distillation_grads = pretraining_distillation_step(*models, alpha=0.4)
    assert values["loss"] == pytest.approx(transfer["loss"] + distillation["loss"], rel=1e-12)
    assert values["attention_transfer"] == transfer["attention_transfer"]
    expected = {name: grad + transfer_grads.get(name, 0.0) for name, grad in distillation_grads.items()}
    assert largest_gap(grads, expected) < 1e-13  # sums in another order


@pytest.mark.parametrize("name", ["feature_factor", "attention_factor"])
def test_a_factor_of_zero_switches_a_loss_off_but_still_reports_it(backend, name):
    rng = np.random.default_rng(3)
    student, teacher = random_parameters(STUDENT, rng), random_parameters(TEACHER, rng)
    batch = random_batch(STUDENT, rng)

    def step(**factors):
        settings = TransferSettings("released", **factors)
        return layer_transfer_step(student, STUDENT, teacher, TEACHER, batch, [0, 1, 2], settings)

    other = {"feature_factor": "attention_factor", "attention_factor": "feature_factor"}[name]
    (both, both_grads), (one, grads), (_, rest) = step(), step(**{name: 0.0}), step(**{other: 0.0})
    assert one["feature_map_transfer"] == both["feature_map_transfer"] > 0.0
    assert one["attention_transfer"] == both["attention_transfer"] > 0.0
    left = {"feature_factor": "attention_transfer", "attention_factor": "feature_map_transfer"}[name]
    assert one["loss"] == one[left]
    zero = np.zeros(())
    expected = {key: grads.get(key, zero) + rest.get(key, zero) for key in both_grads}
    assert largest_gap(both_grads, expected) < 1e-13


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_takes_the_same_updates_on_the_same_batches(strategy):
    settings = with_strategy(strategy)
    stages = student_stages(settings, teacher_parameters(settings))
    batches = [stage.first_batch + step for stage in stages for step in range(stage.steps)]
    assert batches == list(range(settings.student_steps))
    assert {stage.name: stage.steps for stage in stages}.items() <= settings.steps_by_stage().items()
    assert [stage.name for stage in stages] == (
        ["transfer", "student"] if strategy in ("progressive", "joint") else ["student"]
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_stage_reports_and_trains_what_it_should(strategy):
    """Losses by name; which parameters get a gradient and a learning rate, at the first, a middle and the last step."""
    settings = with_strategy(strategy)
    teacher = teacher_parameters(settings)
    student = student_before_transfer(settings, teacher)
    config = settings.student_config
    batch = random_batch(config, np.random.default_rng(4))
    for stage in student_stages(settings, teacher):
        for step in (0, stage.steps // 2, stage.steps - 1):
            values, grads = stage.step_function(student, batch, step, None, WHOLE)
            rates = stage.multipliers(step) if stage.multipliers else dict.fromkeys(student, 1.0)
            trained = {name for name in grads if rates[name]}
            layers = {int(name.split(".")[3]) for name in grads if ".encoder." in name}
            transfers = stage.name == "transfer" or strategy == "auxiliary"
            assert ("feature_map_transfer" in values) == ("attention_transfer" in values) == transfers
            assert ("distillation_loss" in values) == (stage.name == "student")
            if stage.name == "student":
                assert trained == set(student)
            elif strategy == "joint":
                assert trained == {name for name in student if ".encoder." in name}
            else:
                assert layers == set(range(step // settings.transfer_steps_per_layer + 1))
                assert all(".encoder." in name for name in trained)


def test_copies_come_with_transfer_only():
    settings = with_strategy("none")
    teacher = teacher_parameters(settings)
    name = "cls.predictions.dense.weight"
    alone = student_before_transfer(settings, teacher)
    assert not np.array_equal(alone[name], teacher[name])
    for strategy in ("progressive", "joint", "auxiliary"):
        np.testing.assert_array_equal(student_before_transfer(with_strategy(strategy), teacher)[name], teacher[name])


def test_joint_transfer_leaves_embeddings_and_heads_alone():
    multipliers = joint_multipliers(SMALL.student_config)(7)
    assert set(multipliers) == set(parameter_shapes(SMALL.student_config, "pretraining"))
    assert all(rate == (1.0 if ".encoder.layer." in name else 0.0) for name, rate in multipliers.items())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"strategy": "greedy"},
            "strategy: found 'greedy', expected one of 'progressive', 'joint', 'auxiliary', 'none'",
        ),
        ({"student_activation": "swish"}, "student_activation: found 'swish'"),
        ({"attention_factor": "-1"}, "attention_factor: found -1.0, expected a number between 0"),
        ({"joint_learning_rate": "0"}, "joint_learning_rate: found 0.0, expected a number between 1e-30"),
    ],
)
def test_wrong_settings_are_named(change, words):
    with pytest.raises(ConfigError, match=words):
        settings_from_strings(1, change)
