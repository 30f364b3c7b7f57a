"""Training strategies of the student: the three of Section 3.6 (Figure 2), and distillation alone.

    strategy       stages, in order                                  trained in the first stage
    "progressive"  transfer layer by layer, then distillation (PKT)  the current layer; earlier ones at a low rate
    "joint"        transfer of all layers, then distillation (JKT)   all blocks; embeddings and heads are frozen
    "auxiliary"    one stage with the sum of all losses (AKT)        all parameters
    "none"         distillation alone (+PD in Table 9)               all parameters

All four have the same number of updates and the same batches. The first three copy embeddings and heads from the
teacher before training.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..distillation.auxiliary_transfer import auxiliary_transfer_step
from ..distillation.copy_from_teacher import copy_from_teacher
from ..distillation.layer_transfer import TransferSettings, layer_transfer_step
from ..distillation.pretraining_distillation import pretraining_distillation_step
from ..model.parameters import parameter_shapes
from ..training.schedules import Constant, progressive_multiplier
from .stages import first_parameters, train_stage, warmup_linear


class StudentStage(NamedTuple):
    """One training stage of the student."""

    name: str  # of the stage and of its folder
    steps: int
    first_batch: int  # the batches of a second stage follow those of the first
    step_function: Callable  # as training/loop.py calls it; step: of the stage
    schedule: Any
    multipliers: Callable | None = None


def student_before_transfer(settings, teacher):
    """The initial parameters of the student; embeddings and heads are the teacher's unless the strategy is "none"."""
    student = first_parameters(settings.student_config, settings, "student")
    if settings.strategy != "none":
        copy_from_teacher(student, teacher, settings.student_config, settings.teacher_config)
    return student


def _layer_of(name):
    """The index of a parameter's block, None for embeddings and heads."""
    return int(name.split(".")[3]) if ".encoder.layer." in name else None


def progressive_multipliers(config, steps_per_layer):
    """step -> {parameter: learning-rate multiplier}, as in `progressive_multiplier`; 0 for embeddings and heads"""
    layer_of = {name: _layer_of(name) for name in parameter_shapes(config, "pretraining")}

    def multipliers(step):
        by_layer = [progressive_multiplier(step, layer, steps_per_layer) for layer in range(config.num_hidden_layers)]
        return {name: 0.0 if layer is None else by_layer[layer] for name, layer in layer_of.items()}

    return multipliers


def joint_multipliers(config):
    """step -> {parameter: 1 in the blocks, 0 elsewhere}: parameters copied from the teacher are frozen."""
    fixed = {name: 0.0 if _layer_of(name) is None else 1.0 for name in parameter_shapes(config, "pretraining")}
    return lambda step: fixed


def student_stages(settings, teacher):
    """The stages of `settings.strategy` -> list of StudentStage"""
    config, models = settings.student_config, (teacher, settings.teacher_config)
    losses = TransferSettings(settings.feature_loss, settings.feature_factor, settings.attention_factor)
    alpha, per_layer = settings.distillation_alpha, settings.transfer_steps_per_layer
    everything = range(config.num_hidden_layers)

    def transfer_one_layer(params, batch, step, rng, shares):
        return layer_transfer_step(params, config, *models, batch, [step // per_layer], losses, shares=shares)

    def transfer_all_layers(params, batch, step, rng, shares):
        return layer_transfer_step(params, config, *models, batch, everything, losses, shares=shares)

    def distil(params, batch, step, rng, shares):
        return pretraining_distillation_step(params, config, *models, batch, alpha, rng, shares)

    def transfer_and_distil(params, batch, step, rng, shares):
        return auxiliary_transfer_step(params, config, *models, batch, losses, alpha, rng, shares)

    def whole(step_function, rate):
        return [StudentStage("student", settings.student_steps, 0, step_function,
                             warmup_linear(settings, rate, settings.student_steps))]  # fmt: skip

    if settings.strategy == "auxiliary":
        return whole(transfer_and_distil, settings.auxiliary_learning_rate)
    if settings.strategy == "none":
        return whole(distil, settings.distillation_learning_rate)
    if settings.strategy == "progressive":
        transfer = StudentStage("transfer", settings.transfer_steps, 0, transfer_one_layer,
                                Constant(settings.transfer_learning_rate),
                                progressive_multipliers(config, per_layer))  # fmt: skip
    else:
        schedule = warmup_linear(settings, settings.joint_learning_rate, settings.transfer_steps)
        transfer = StudentStage(
            "transfer", settings.transfer_steps, 0, transfer_all_layers, schedule, joint_multipliers(config)
        )
    schedule = warmup_linear(settings, settings.distillation_learning_rate, settings.distillation_steps)
    return [transfer, StudentStage("student", settings.distillation_steps, settings.transfer_steps, distil, schedule)]


def train_student_stage(run, stage, params, teacher):
    """Train a copy of `params` through one StudentStage, which reads `teacher` -> the copy"""

    def batches(step):
        return run.data.batches(stage.first_batch + step)

    params = {name: array.copy() for name, array in params.items()}
    return train_stage(run, stage.name, run.settings.student_config, stage.step_function, params, stage.schedule,
                       batches, stage.steps, stage.multipliers, teacher=teacher)  # fmt: skip


def teach_student(run, teacher):
    """Run the stages of the strategy in order -> {stage name: the student's parameters after it}"""
    params, after = student_before_transfer(run.settings, teacher), {}
    for stage in student_stages(run.settings, teacher):
        params = after[stage.name] = train_student_stage(run, stage, params, teacher)
    return after
