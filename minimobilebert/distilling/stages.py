"""The training stages of a distillation, and of the students that it is compared with.

    stage                 updates                     trains                              text
    transfer              progressive_fraction        layer by layer (progressive only)   from step 0
    student               the rest                    everything, all terms               after that of transfer
    student_vectors_only  steps                       everything, sentence vectors only   from step 0
    student_scratch       steps                       masked words, without a teacher     from step 0

All students have the same sizes, the same texts in the same order and the same number of updates. The first three start
with the same values (first_values.py); the last one starts at random.
"""

import numpy as np

from ..distillation.encoder_transfer import encoder_transfer_step, masked_word_step
from ..model.parameters import init_parameters, parameter_shapes
from ..pipeline.stages import train_stage, warmup_linear
from ..pipeline.strategies import StudentStage, train_student_stage
from ..training.schedules import Constant, progressive_multiplier

TRANSFER, STUDENT, VECTORS_ONLY, SCRATCH = "transfer", "student", "student_vectors_only", "student_scratch"
_FIRST_VALUES, _SCRATCH_VALUES = 441, 442


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


def _stage(settings, name, steps, first, transfer, teacher):
    """A stage that trains with the loss `transfer`; teacher: parameters, ModelConfig -> StudentStage"""

    def step_function(params, batch_and_step, rng):
        return encoder_transfer_step(params, settings.student_config, *teacher, batch_and_step[0], transfer, rng)

    return StudentStage(name, steps, first, step_function, warmup_linear(settings, settings.learning_rate, steps))


def _transfer_stage(settings, teacher):
    """The stage that goes layer by layer -> StudentStage"""
    transfer, steps = settings.transfer, settings.progressive_steps
    per_layer = steps // len(transfer.pairs)
    nothing = {"direction_factor": 0.0, "similarity_factor": 0.0, "words_factor": 0.0}

    def step_function(params, batch_and_step, rng):
        batch, step = batch_and_step
        layer = step // per_layer
        of_layer = transfer._replace(
            pairs=transfer.pairs[layer : layer + 1],
            embedding_factor=transfer.embedding_factor * (layer == 0),
            **nothing,
        )
        return encoder_transfer_step(params, settings.student_config, *teacher, batch, of_layer, rng)

    rate = Constant(settings.learning_rate / 3.0)  # the current layer trains at three times this rate
    multipliers = _layer_by_layer(settings.student_config, per_layer)
    return StudentStage(TRANSFER, steps, 0, step_function, rate, multipliers)


def student_stages(settings, teacher):
    """The stages of the distilled student, in order; teacher: parameters, ModelConfig -> list of StudentStage"""
    first = settings.progressive_steps
    stages = [_transfer_stage(settings, teacher)] if first else []
    return [*stages, _stage(settings, STUDENT, settings.steps - first, first, settings.transfer, teacher)]


def teach(run, stages, params, teacher):
    """Train a copy of `params` through the stages; teacher: parameters -> the copy"""
    for stage in stages:
        params = train_student_stage(run, stage, params, teacher)
    return params


def teach_vectors_only(run, params, teacher):
    """The student that learns from the sentence vectors alone -> parameters"""
    settings = run.settings
    stage = _stage(settings, VECTORS_ONLY, settings.steps, 0, settings.only_vectors, teacher)
    return teach(run, [stage], params, teacher[0])


def train_from_scratch(run):
    """The student without a teacher, which learns masked words -> parameters"""
    settings = run.settings

    def step_function(params, batch, rng):
        return masked_word_step(params, settings.student_config, batch, rng)

    params = random_student(settings, "masked-words", _SCRATCH_VALUES)
    schedule = warmup_linear(settings, settings.learning_rate, settings.steps)
    return train_stage(
        run, SCRATCH, settings.student_config, step_function, params, schedule, run.data.masked, settings.steps
    )
