"""All settings of the classroom run. Each can be changed with `--set NAME=VALUE`."""

import dataclasses

from ..config import ACTIVATIONS, NORMALIZATIONS, ConfigError, preset
from ..distributed.parts import usual_parts
from ..distributed.reduction import DETERMINISTIC, REDUCTIONS
from ..kernels.runtime.precision import PRECISIONS
from ..support.numbers import COUNT, FACTOR, RATE, SEED, value_of
from ..support.shapes import Number, OneOf, ShapeError, check

# The valid values of each setting. config.py has those of the model's sizes.
SHAPES = {
    "seed": SEED,
    "precision": OneOf(*PRECISIONS),
    "parts": COUNT,
    "reduction": OneOf(*REDUCTIONS),
    "overlap": bool,
    "shard_optimizer": bool,
    "vocab_size": COUNT,
    "sequence_length": COUNT,
    "batch_size": COUNT,
    "max_predictions": COUNT,
    "held_out_fraction": Number(0.001, 0.999),
    "evaluation_batches": COUNT,
    "teacher_steps": COUNT,
    "teacher_learning_rate": RATE,
    "student_normalization": OneOf(*NORMALIZATIONS),
    "student_activation": OneOf(*ACTIVATIONS),
    "strategy": OneOf("progressive", "joint", "auxiliary", "none"),
    "transfer_steps_per_layer": COUNT,
    "transfer_learning_rate": RATE,
    "joint_learning_rate": RATE,
    "auxiliary_learning_rate": RATE,
    "feature_loss": OneOf("paper", "released"),
    "feature_factor": FACTOR,
    "attention_factor": FACTOR,
    "distillation_steps": COUNT,
    "distillation_learning_rate": RATE,
    "distillation_alpha": Number(0.001, 0.999),
    "scratch_learning_rate": RATE,
    "task_steps": COUNT,
    "task_batch_size": COUNT,
    "teacher_task_learning_rate": RATE,
    "student_task_learning_rate": RATE,
    "warmup_fraction": Number(0.001, 0.999),
    "weight_decay": FACTOR,
    "clip_norm": RATE,
}


def check_values(settings, shapes):
    """ConfigError if an attribute of `settings` does not have its shape; shapes: {name: shape}"""
    for name, shape in shapes.items():
        try:
            check(getattr(settings, name), shape, name)
        except ShapeError as error:
            raise ConfigError(str(error)) from None


def values_from_strings(changes, shapes, seed):
    """{name: text} of `--set` -> {name: value}, with `seed` and the usual parts; ConfigError for an unknown name or a
    bad value"""
    values = {"seed": seed, "parts": usual_parts()}
    for name, text in changes.items():
        if name not in shapes:
            raise ConfigError(
                f"unknown setting {name!r}, expected one of {', '.join(shapes)} (lessons/reference.md has the defaults)"
            )
        if name == "seed":
            raise ConfigError("--set: found seed, expected it as a separate option: --seed or --seeds")
        try:
            values[name] = value_of(text, shapes[name], name)
        except ValueError as error:
            raise ConfigError(str(error)) from None
    return values


@dataclasses.dataclass(frozen=True)
class TinySettings:
    """Settings of `train-tiny`. Steps are optimiser updates; learning rates are the peaks of their schedules.

    The distilled student gets `transfer_steps_per_layer * layers + distillation_steps` updates. The student from
    scratch gets the same number, with the same batch size and the same type of schedule. The learning rate of each is
    the best one that we found for it (lessons/results.md, "How the settings were chosen").
    """

    seed: int = 1
    precision: str = "float32"  # of matrix products: "float32" or "bfloat16" (ops/bfloat16.py)
    parts: int = 1  # of a batch, whose gradients are added; under mpiexec 4, or one for each rank if there are more
    reduction: str = DETERMINISTIC  # or "fast", "bfloat16": distributed/reduction.py
    overlap: bool = True  # gradients travel during the backward pass; changes no bit: distributed/overlap.py
    shard_optimizer: bool = False  # each rank keeps the moments of some parameters: training/sharded_optimizer.py
    # text
    vocab_size: int = 4096
    sequence_length: int = 64
    batch_size: int = 64
    max_predictions: int = 10
    held_out_fraction: float = 0.1
    evaluation_batches: int = 32
    # teacher
    teacher_steps: int = 1000
    teacher_learning_rate: float = 2e-3
    # the student's blocks: "no_norm" or "layer_norm"; "relu", "gelu" or "gelu_tanh" (Section 3.3)
    student_normalization: str = "no_norm"
    student_activation: str = "relu"
    # transfer, then distillation; strategies.py describes the strategies
    strategy: str = "progressive"
    transfer_steps_per_layer: int = 50
    transfer_learning_rate: float = 2e-3
    joint_learning_rate: float = 6e-3
    auxiliary_learning_rate: float = 8e-3
    feature_loss: str = "released"
    feature_factor: float = 1.0
    attention_factor: float = 1.0
    distillation_steps: int = 250
    distillation_learning_rate: float = 8e-3
    distillation_alpha: float = 0.5
    # the same student without a teacher
    scratch_learning_rate: float = 1.2e-2
    # the downstream task
    task_steps: int = 500
    task_batch_size: int = 64
    teacher_task_learning_rate: float = 1e-3
    student_task_learning_rate: float = 4e-3
    # every stage
    warmup_fraction: float = 0.1
    weight_decay: float = 0.01
    clip_norm: float = 1.0

    def __post_init__(self):
        check_values(self, SHAPES)

    @property
    def teacher_config(self):
        """The IB-BERT teacher at classroom size."""
        return preset("classroom-teacher", **self._sizes())

    @property
    def student_config(self):
        """The MobileBERT student at classroom size."""
        blocks = {"normalization_type": self.student_normalization, "hidden_act": self.student_activation}
        return preset("classroom-student", **self._sizes(), **blocks)

    def _sizes(self):
        return {"vocab_size": self.vocab_size, "max_position_embeddings": self.sequence_length}

    @property
    def transfer_steps(self):
        """Updates of the transfer stage, over all layers."""
        return self.transfer_steps_per_layer * self.student_config.num_hidden_layers

    @property
    def student_steps(self):
        """Updates of the distilled student, and of the student from scratch."""
        return self.transfer_steps + self.distillation_steps

    def steps_by_stage(self):
        """{stage name: updates}, in the order of the stages"""
        in_two_stages = self.strategy in ("progressive", "joint")
        student = {"transfer": self.transfer_steps, "student": self.distillation_steps}
        student = student if in_two_stages else {"student": self.student_steps}
        return {"teacher": self.teacher_steps, **student, "student_from_scratch": self.student_steps}


def settings_from_strings(seed, changes):
    """TinySettings from `--seed` and the arguments of `--set`; ConfigError for an unknown name or a bad value."""
    return TinySettings(**values_from_strings(changes, SHAPES, seed))
