"""The training stages. Each returns trained parameters, and each is one call of the one training loop."""

import dataclasses

import numpy as np

from ..distillation.copy_from_teacher import copy_from_teacher
from ..distillation.layer_transfer import TransferSettings, layer_transfer_step
from ..distillation.pretraining_distillation import pretraining_distillation_step
from ..model.classification import classification_step
from ..model.parameters import init_parameters, parameter_shapes
from ..model.pretraining import pretraining_step
from ..training.adamw import AdamW
from ..training.loop import train
from ..training.schedules import Constant, WarmupLinearDecay, progressive_multiplier

# Every use of randomness has its own stream, so that adding one does not disturb the others.
STREAMS = {"teacher": 1, "transfer": 2, "student": 2, "student_from_scratch": 2, "task": 3}


def first_parameters(config, settings, stage, head="pretraining", num_labels=None):
    """The parameters a stage starts from. Both students start from the same numbers."""
    rng = np.random.default_rng([settings.seed, STREAMS[stage]])
    return init_parameters(parameter_shapes(config, head, num_labels), config, rng)


def stage_configuration(settings, config):
    """What a checkpoint must agree on before a stage goes on from it: the model and every setting."""
    return {"model": dataclasses.asdict(config), "settings": dataclasses.asdict(settings)}


def _warmup_linear(settings, peak, steps):
    return WarmupLinearDecay(peak, int(settings.warmup_fraction * steps), steps)


def _train(name, step_function, params, schedule, batches, settings, config, folder, steps, multipliers=None):
    optimizer = AdamW(params, weight_decay=settings.weight_decay)
    train(
        name, step_function, params, optimizer, schedule, batches,
        total_steps=steps, folder=folder / name, seed=settings.seed, multipliers=multipliers,
        clip_norm=settings.clip_norm, configuration=stage_configuration(settings, config),
    )  # fmt: skip
    return params


def pretrain_teacher(settings, batches, folder):
    """Stage 1: the inverted-bottleneck teacher learns masked words and next sentences."""
    config = settings.teacher_config
    return _train(
        "teacher",
        lambda params, batch, rng: pretraining_step(params, config, batch, rng),
        first_parameters(config, settings, "teacher"),
        _warmup_linear(settings, settings.teacher_learning_rate, settings.teacher_steps),
        batches, settings, config, folder, settings.teacher_steps,
    )  # fmt: skip


def student_before_transfer(settings, teacher):
    """The distilled student's first parameters: its own blocks, the teacher's embeddings and heads."""
    student = first_parameters(settings.student_config, settings, "student")
    copy_from_teacher(student, teacher, settings.student_config, settings.teacher_config)
    return student


def progressive_multipliers(config, steps_per_layer):
    """step -> {parameter name: learning-rate multiplier}: the current layer fast, finished ones slowly, the rest not."""
    names = list(parameter_shapes(config, "pretraining"))
    layer_of = {name: int(name.split(".")[3]) for name in names if ".encoder.layer." in name}

    def multipliers(step):
        by_layer = [progressive_multiplier(step, layer, steps_per_layer) for layer in range(config.num_hidden_layers)]
        return {name: by_layer[layer_of[name]] if name in layer_of else 0.0 for name in names}

    return multipliers


def transfer_knowledge(settings, batches, teacher, folder):
    """Stage 2: progressive knowledge transfer, one layer of the student after the other (Section 3.6)."""
    config, teacher_config, steps_per_layer = (
        settings.student_config, settings.teacher_config, settings.transfer_steps_per_layer
    )  # fmt: skip
    losses = TransferSettings(settings.feature_loss, settings.feature_factor, settings.attention_factor)

    def step_function(params, batch_and_layer, rng):
        batch, layer = batch_and_layer
        return layer_transfer_step(params, config, teacher, teacher_config, batch, [layer], losses)

    return _train(
        "transfer",
        step_function,
        student_before_transfer(settings, teacher),
        Constant(settings.transfer_learning_rate),
        lambda step: (batches(step), step // steps_per_layer),
        settings, config, folder, settings.transfer_steps,
        multipliers=progressive_multipliers(config, steps_per_layer),
    )  # fmt: skip


def distil_student(settings, batches, teacher, student, folder):
    """Stage 3: pre-training distillation of the whole student (Section 3.5). `student` comes from stage 2."""
    config, teacher_config, alpha = settings.student_config, settings.teacher_config, settings.distillation_alpha
    return _train(
        "student",
        lambda params, batch, rng: pretraining_distillation_step(
            params, config, teacher, teacher_config, batch, alpha, rng
        ),
        {name: array.copy() for name, array in student.items()},
        _warmup_linear(settings, settings.distillation_learning_rate, settings.distillation_steps),
        lambda step: batches(settings.transfer_steps + step),
        settings, config, folder, settings.distillation_steps,
    )  # fmt: skip


def train_from_scratch(settings, batches, folder):
    """The comparison: the same student, the same batches, the same number of updates, no teacher."""
    config = settings.student_config
    return _train(
        "student_from_scratch",
        lambda params, batch, rng: pretraining_step(params, config, batch, rng),
        first_parameters(config, settings, "student_from_scratch"),
        _warmup_linear(settings, settings.scratch_learning_rate, settings.student_steps),
        batches, settings, config, folder, settings.student_steps,
    )  # fmt: skip


def fine_tune(settings, batches, num_labels, pretrained, config, name, folder):
    """Stage 4: fine-tune a pre-trained model on the downstream task; a new classifier, everything else taken over."""
    params = first_parameters(config, settings, "task", "classification", num_labels)
    for parameter in params:
        if parameter in pretrained:
            params[parameter] = pretrained[parameter].copy()
    return _train(
        f"{name}_on_task",
        lambda params, batch, rng: classification_step(params, config, batch, rng),
        params,
        _warmup_linear(settings, settings.task_learning_rate, settings.task_steps),
        batches, settings, config, folder, settings.task_steps,
    )  # fmt: skip
