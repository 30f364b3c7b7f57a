"""The training stages of a distillation, and of the students that it is compared with.

    strategy       stages, in order                           trained in the first stage
    "progressive"  transfer layer by layer, then distillation    the current layer; earlier ones at a low rate
    "joint"        transfer of all layers, then distillation     everything
    "auxiliary"    one stage with the sum of all terms           everything
    "none"         distillation alone                            everything

Transfer compares layers and embedding outputs, in `transfer_fraction` of the updates. Distillation compares what the
teacher is for: its sentence vectors and, if it has that head, its predictions of masked words.

Beside the student:

    student_vectors_only    the same first values, and sentence vectors alone from the first update on
    student_scratch         random first values, and masked words without a teacher

All have the same sizes, the same texts in the same order and the same number of updates.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..distillation.encoder_transfer import encoder_transfer_step, masked_word_step
from ..kernels.runtime.precision import use_precision
from ..model.parameters import init_parameters, parameter_shapes
from ..pipeline.stages import train_stage, warmup_linear
from ..training.schedules import Constant, progressive_multiplier
from .teacher_vectors import computed_vectors, stored_vectors

TRANSFER, STUDENT, VECTORS_ONLY, SCRATCH = "transfer", "student", "student_vectors_only", "student_scratch"
_FIRST_VALUES, _SCRATCH_VALUES = 441, 442


class Stage(NamedTuple):
    """One training stage of a student."""

    name: str  # of the stage and of its folder
    steps: int
    first: int  # its first step in the order of batches and in the schedule
    transfer: Callable  # step of the stage -> EncoderTransfer, the loss
    schedule: Any  # step of the stage -> learning rate
    multipliers: Callable | None = None


def random_student(settings, head, stream=_FIRST_VALUES):
    """Random parameters of the student; head: "masked-words" or None -> {name: array}"""
    config = settings.student_config
    rng = np.random.default_rng([settings.seed, stream])
    return init_parameters(parameter_shapes(config, head), config, rng)


def _layer_by_layer(config, steps_per_layer):
    """step -> {parameter: learning-rate multiplier}: embeddings train with the first layer, then the blocks in order"""
    names = parameter_shapes(config, "masked-words")
    layer_of = {name: int(name.split(".")[3]) if ".encoder.layer." in name else 0 for name in names}

    def multipliers(step):
        by_layer = [progressive_multiplier(step, layer, steps_per_layer) for layer in range(config.num_hidden_layers)]
        return {name: by_layer[layer] for name, layer in layer_of.items()}

    return multipliers


def _transfer_stage(settings):
    """The stage that compares layers -> Stage"""
    transfer, steps = settings.transfer_of_layers, settings.transfer_steps
    if settings.strategy == "joint":
        return Stage(TRANSFER, steps, 0, lambda step: transfer, warmup_linear(settings, settings.learning_rate, steps))
    per_layer = steps // len(transfer.pairs)

    def of_layer(step):
        layer = step // per_layer
        embedding = transfer.embedding_factor if layer == 0 else 0.0
        return transfer._replace(pairs=transfer.pairs[layer : layer + 1], embedding_factor=embedding)

    rate = Constant(settings.learning_rate / 3.0)  # the current layer trains at three times this rate
    return Stage(TRANSFER, steps, 0, of_layer, rate, _layer_by_layer(settings.student_config, per_layer))


def student_stages(settings):
    """The stages of the distilled student, in order -> list of Stage"""
    first = settings.transfer_steps
    transfer = settings.transfer if settings.strategy == "auxiliary" else settings.distillation
    steps = settings.steps - first
    student = Stage(
        STUDENT, steps, first, lambda step: transfer, warmup_linear(settings, settings.learning_rate, steps)
    )
    return [_transfer_stage(settings), student] if first else [student]


def vectors_only_stage(settings):
    """The stage of the student that learns from the sentence vectors alone -> Stage"""
    transfer, steps = settings.only_vectors, settings.steps
    return Stage(VECTORS_ONLY, steps, 0, lambda step: transfer, warmup_linear(settings, settings.learning_rate, steps))


def _batches(run, stage):
    """The batches of a stage, and what adds the teacher's vectors to a batch. Sentence vectors alone are those of texts
    without masked words. If the text is the same whenever it is seen, they are computed once for all rows, if that
    pays."""
    if not stage.transfer(0).only_vectors:
        return run.data.batches, lambda batch: batch
    seen = stage.steps * run.settings.batch_size
    if seen > run.data.texts and not run.settings.random_words:
        return stored_vectors(run), lambda batch: batch
    return run.data.unmasked, computed_vectors(run)


def teach(run, stages, params):
    """Train a copy of `params` through the stages -> the copy"""
    config, (teacher, teacher_config) = run.settings.student_config, run.teacher
    params = {name: array.copy() for name, array in params.items()}
    for stage in stages:
        with use_precision(run.settings.precision):  # vectors are the same, computed before training or in its steps
            batches, with_vectors = _batches(run, stage)

        def step_function(params, batch, step, rng, shares, stage=stage, with_vectors=with_vectors):
            batch, transfer = with_vectors(batch), stage.transfer(step)
            return encoder_transfer_step(params, config, teacher, teacher_config, batch, transfer, rng, shares)

        train_stage(
            run, stage.name, config, step_function, params, stage.schedule,
            lambda step, batches=batches, first=stage.first: batches(first + step),
            stage.steps, stage.multipliers, teacher=teacher,
        )  # fmt: skip
    return params


def train_from_scratch(run):
    """The student without a teacher, which learns masked words -> parameters"""
    settings = run.settings

    def step_function(params, batch, step, rng, shares):
        return masked_word_step(params, settings.student_config, batch, rng, shares)

    params = random_student(settings, "masked-words", _SCRATCH_VALUES)
    schedule = warmup_linear(settings, settings.learning_rate, settings.steps)
    return train_stage(
        run, SCRATCH, settings.student_config, step_function, params, schedule, run.data.masked, settings.steps
    )
