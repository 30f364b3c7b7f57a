"""The training stages. Each returns trained parameters, and each is one call of the one training loop."""

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
STREAMS = {"teacher": 1, "student": 2, "task": 3}


def first_parameters(config, settings, stream, head="pretraining", num_labels=None):
    """The parameters a model starts from. Both students start from the same numbers."""
    rng = np.random.default_rng([settings.seed, STREAMS[stream]])
    return init_parameters(parameter_shapes(config, head, num_labels), config, rng)


def _warmup_linear(settings, peak, steps):
    return WarmupLinearDecay(peak, int(settings.warmup_fraction * steps), steps)


def _train(run, name, config, step_function, params, schedule, batches, steps, multipliers=None):
    """Train `params` in place in the folder `name` of the run -> params"""
    settings = run.settings
    result = train(
        name, step_function, params, AdamW(params, weight_decay=settings.weight_decay), schedule, batches,
        total_steps=steps, folder=run.folder / name, seed=settings.seed, multipliers=multipliers,
        clip_norm=settings.clip_norm, configuration=run.configuration(config),
    )  # fmt: skip
    run.note_seconds(name, result.seconds)
    return params


def pretrain_teacher(run):
    """Stage 1: the inverted-bottleneck teacher learns masked words and next sentences."""
    settings, config = run.settings, run.settings.teacher_config

    def step_function(params, batch, rng):
        return pretraining_step(params, config, batch, rng)

    params = first_parameters(config, settings, "teacher")
    schedule = _warmup_linear(settings, settings.teacher_learning_rate, settings.teacher_steps)
    return _train(run, "teacher", config, step_function, params, schedule, run.data.batches, settings.teacher_steps)


def student_before_transfer(settings, teacher):
    """The distilled student's first parameters: its own blocks, the teacher's embeddings and heads."""
    student = first_parameters(settings.student_config, settings, "student")
    copy_from_teacher(student, teacher, settings.student_config, settings.teacher_config)
    return student


def progressive_multipliers(config, steps_per_layer):
    """step -> {parameter: learning-rate multiplier}: the current layer fast, finished ones slowly, the rest not."""
    names = list(parameter_shapes(config, "pretraining"))
    layer_of = {name: int(name.split(".")[3]) for name in names if ".encoder.layer." in name}

    def multipliers(step):
        by_layer = [progressive_multiplier(step, layer, steps_per_layer) for layer in range(config.num_hidden_layers)]
        return {name: by_layer[layer_of[name]] if name in layer_of else 0.0 for name in names}

    return multipliers


def transfer_knowledge(run, teacher):
    """Stage 2: progressive knowledge transfer, one layer of the student after the other (Section 3.6)."""
    settings, config, teacher_config = run.settings, run.settings.student_config, run.settings.teacher_config
    steps_per_layer = settings.transfer_steps_per_layer
    losses = TransferSettings(settings.feature_loss, settings.feature_factor, settings.attention_factor)

    def batches(step):
        return run.data.batches(step), step // steps_per_layer

    def step_function(params, batch_and_layer, rng):
        batch, layer = batch_and_layer
        return layer_transfer_step(params, config, teacher, teacher_config, batch, [layer], losses)

    return _train(
        run, "transfer", config, step_function, student_before_transfer(settings, teacher),
        Constant(settings.transfer_learning_rate), batches, settings.transfer_steps,
        multipliers=progressive_multipliers(config, steps_per_layer),
    )  # fmt: skip


def distil_student(run, teacher, transferred):
    """Stage 3: pre-training distillation of the whole student (Section 3.5), on the batches after those of stage 2."""
    settings, config, teacher_config = run.settings, run.settings.student_config, run.settings.teacher_config

    def batches(step):
        return run.data.batches(settings.transfer_steps + step)

    def step_function(params, batch, rng):
        return pretraining_distillation_step(
            params, config, teacher, teacher_config, batch, settings.distillation_alpha, rng
        )

    student = {name: array.copy() for name, array in transferred.items()}
    schedule = _warmup_linear(settings, settings.distillation_learning_rate, settings.distillation_steps)
    return _train(run, "student", config, step_function, student, schedule, batches, settings.distillation_steps)


def train_from_scratch(run):
    """The comparison: the same student, the same batches, the same number of updates, no teacher."""
    settings, config = run.settings, run.settings.student_config

    def step_function(params, batch, rng):
        return pretraining_step(params, config, batch, rng)

    params = first_parameters(config, settings, "student")
    schedule = _warmup_linear(settings, settings.scratch_learning_rate, settings.student_steps)
    return _train(
        run, "student_from_scratch", config, step_function, params, schedule, run.data.batches, settings.student_steps
    )


def fine_tune(run, name, config, pretrained):
    """Stage 4: fine-tune a pre-trained model on the downstream task; a new classifier, everything else taken over."""
    settings = run.settings

    def step_function(params, batch, rng):
        return classification_step(params, config, batch, rng)

    params = first_parameters(config, settings, "task", "classification", run.data.task.num_labels)
    for parameter in params:
        if parameter in pretrained:
            params[parameter] = pretrained[parameter].copy()
    is_teacher = config == settings.teacher_config
    peak = settings.teacher_task_learning_rate if is_teacher else settings.student_task_learning_rate
    schedule = _warmup_linear(settings, peak, settings.task_steps)
    return _train(
        run, f"{name}_on_task", config, step_function, params, schedule, run.data.task.batches, settings.task_steps
    )
