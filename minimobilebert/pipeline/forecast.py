"""Forecast the duration of a run: before training, we time a few steps of each stage with temporary parameters."""

from ..kernels.runtime.precision import use_precision
from ..model.classification import classification_step
from ..model.parts import WHOLE
from ..model.pretraining import pretraining_step
from ..support.timing import fastest
from .stages import first_parameters
from .strategies import student_stages

_REPEATS = 2


def student_seconds(settings, batch, teacher):
    """Expected seconds of the stages that teach the student -> {stage name: seconds}"""
    student = first_parameters(settings.student_config, settings, "student")
    layers = settings.student_config.num_hidden_layers

    def spread(stage):
        """Steps at the start of each layer's part: in progressive transfer, later layers take longer."""
        for part in range(layers):
            stage.step_function(student, batch, part * stage.steps // layers, None, WHOLE)

    return {
        stage.name: stage.steps * fastest(lambda stage=stage: spread(stage), _REPEATS) / layers
        for stage in student_stages(settings, teacher)
    }


def pretraining_seconds(config, params, batch, steps):
    """Expected seconds of `steps` updates of plain pre-training."""
    return steps * fastest(lambda: pretraining_step(params, config, batch), _REPEATS)


def forecast(settings, data):
    """data: TextData -> {stage name: expected seconds}, in the precision of the run

    This also compiles all kernels that training needs.
    """
    with use_precision(settings.precision):
        return _forecast(settings, data)


def _forecast(settings, data):
    batch = data.batches(0)
    teacher_config, student_config = settings.teacher_config, settings.student_config
    teacher = first_parameters(teacher_config, settings, "teacher")
    student = first_parameters(student_config, settings, "student")

    def task(config):
        params = first_parameters(config, settings, "task", "classification", data.task.num_labels)
        task_batch = data.task.batches(0)
        return lambda: classification_step(params, config, task_batch)

    expected = {
        "teacher": pretraining_seconds(teacher_config, teacher, batch, settings.teacher_steps),
        **student_seconds(settings, batch, teacher),
        "student_from_scratch": pretraining_seconds(student_config, student, batch, settings.student_steps),
    }
    if data.task:
        expected["tasks"] = settings.task_steps * (
            fastest(task(teacher_config), _REPEATS) + 2 * fastest(task(student_config), _REPEATS)
        )
    return expected
