"""The training stages except those of the distilled student (strategies.py). Each calls the training loop once."""

import functools

import numpy as np

from ..kernels.runtime.precision import use_precision
from ..model.classification import classification_step
from ..model.parameters import init_parameters, parameter_shapes
from ..model.pretraining import pretraining_step
from ..training.adamw import AdamW
from ..training.data_parallel import sharing_of
from ..training.loop import Records, UpdateRule, train
from ..training.schedules import WarmupLinearDecay

# Each use of randomness has its own stream, so that a new one does not change the others.
STREAMS = {"teacher": 1, "student": 2, "task": 3}


def first_parameters(config, settings, stream, head="pretraining", num_labels=None):
    """The initial parameters of a model. Both students start with the same ones."""
    rng = np.random.default_rng([settings.seed, STREAMS[stream]])
    return init_parameters(parameter_shapes(config, head, num_labels), config, rng)


def warmup_linear(settings, peak, steps):
    """The schedule of all stages except progressive transfer."""
    return WarmupLinearDecay(peak, int(settings.warmup_fraction * steps), steps)


def train_stage(
    run, name, config, step_function, params, schedule, batches, steps, multipliers=None, labels=None, **read
):  # fmt: skip
    """Train `params` in place in the folder `name` of the run, in its precision -> params

    labels: names of a task's classes; read: other models that the step function reads, {name: parameters}
    """
    settings, configuration = run.settings, run.configuration(config, name, params, **read)
    if labels:
        configuration["labels"] = list(labels)
    optimizer = functools.partial(AdamW, weight_decay=settings.weight_decay)
    with use_precision(settings.precision):
        result = train(
            name, step_function, params, batches, total_steps=steps, seed=settings.seed,
            update_rule=UpdateRule(
                optimizer, schedule, multipliers, settings.clip_norm, sharing_of(settings)
            ),
            records=Records(run.folder / name, configuration, run.log_every),
        )  # fmt: skip
    run.note_seconds(name, result.seconds)
    return params


def pretrain_teacher(run):
    """Stage 1: pre-train the inverted-bottleneck teacher on masked words and next sentences."""
    settings, config = run.settings, run.settings.teacher_config

    def step_function(params, batch, step, rng, shares):
        return pretraining_step(params, config, batch, rng, shares)

    params = first_parameters(config, settings, "teacher")
    schedule = warmup_linear(settings, settings.teacher_learning_rate, settings.teacher_steps)
    return train_stage(
        run, "teacher", config, step_function, params, schedule, run.data.batches, settings.teacher_steps
    )


def train_from_scratch(run):
    """The baseline: the same student with the same batches and number of updates, without a teacher."""
    settings, config = run.settings, run.settings.student_config

    def step_function(params, batch, step, rng, shares):
        return pretraining_step(params, config, batch, rng, shares)

    params = first_parameters(config, settings, "student")
    schedule = warmup_linear(settings, settings.scratch_learning_rate, settings.student_steps)
    return train_stage(
        run, "student_from_scratch", config, step_function, params, schedule, run.data.batches, settings.student_steps
    )


def fine_tune(run, name, config, pretrained):
    """Last stage: fine-tune a pre-trained model on the downstream task, with a new classifier."""
    settings = run.settings

    def step_function(params, batch, step, rng, shares):
        return classification_step(params, config, batch, rng, shares)

    params = first_parameters(config, settings, "task", "classification", run.data.task.num_labels)
    for parameter in params:
        if parameter in pretrained:
            params[parameter] = pretrained[parameter].copy()
    is_teacher = config == settings.teacher_config
    peak = settings.teacher_task_learning_rate if is_teacher else settings.student_task_learning_rate
    schedule = warmup_linear(settings, peak, settings.task_steps)
    return train_stage(
        run, f"{name}_on_task", config, step_function, params, schedule, run.data.task.batches, settings.task_steps,
        labels=run.data.task.labels,
    )  # fmt: skip
