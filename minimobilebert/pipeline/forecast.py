"""How long a run will take, measured: a few steps of every stage on throw-away parameters, before training."""

import time

from ..distillation.layer_transfer import TransferSettings, layer_transfer_step
from ..distillation.pretraining_distillation import pretraining_distillation_step
from ..model.classification import classification_step
from ..model.pretraining import pretraining_step
from .stages import first_parameters


def _seconds(function, repeats=2):
    """Best of `repeats` calls after one that may compile."""
    function()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best


def forecast(settings, data):
    """data: TextData -> {stage name: expected seconds}. Compiles every kernel the run needs on the way."""
    batch = data.batches(0)
    teacher_config, student_config = settings.teacher_config, settings.student_config
    teacher = first_parameters(teacher_config, settings, "teacher")
    student = first_parameters(student_config, settings, "student")
    losses = TransferSettings(settings.feature_loss, settings.feature_factor, settings.attention_factor)
    layers = range(student_config.num_hidden_layers)

    def transfer():
        for layer in layers:
            layer_transfer_step(student, student_config, teacher, teacher_config, batch, [layer], losses)

    def distil():
        pretraining_distillation_step(student, student_config, teacher, teacher_config, batch)

    def task(config):
        params = first_parameters(config, settings, "task", "classification", data.task.num_labels)
        task_batch = data.task.batches(0)
        return lambda: classification_step(params, config, task_batch)

    expected = {
        "teacher": settings.teacher_steps * _seconds(lambda: pretraining_step(teacher, teacher_config, batch)),
        "transfer": settings.transfer_steps_per_layer * _seconds(transfer),
        "student": settings.distillation_steps * _seconds(distil),
        "student_from_scratch": settings.student_steps
        * _seconds(lambda: pretraining_step(student, student_config, batch)),
    }
    if data.task:
        expected["tasks"] = settings.task_steps * (_seconds(task(teacher_config)) + 2 * _seconds(task(student_config)))
    return expected
