"""A rehearsal of `train-tiny`: the first updates of every stage, on random numbers instead of text.

    rehearse()                        -> {stage: [{"loss": ..., "gradient_norm": ...}, ... for each of its first steps]}
    rehearse(strategy="joint")        the same with another choice

The models are those of a run, with a small vocabulary. Batches, sizes, rates and seed are fixed. The batches need no
function that a student writes: two right functions may draw other masks. A student edition compares the losses with the
project's before it trains (course/student/before_training.py).
"""

import dataclasses
import json
import pathlib
import tempfile
import types

import numpy as np

from ..distributed.communicator import alone
from ..kernels.runtime.precision import use_precision
from ..ops.fusion import use_fusion
from ..ops.matmul import matmul
from ..support.shapes import OneOf
from ..support.terminal import silence
from ..tasks.classification_batches import ClassificationBatch
from ..text.batches import PretrainingBatch
from ..text.corpus import read_documents, shipped_archives
from . import stages
from .run import Run
from .settings import SHAPES, TinySettings
from .strategies import teach_student
from .text_data import data_of
from .train_tiny import measure

EVERY, SENTENCES = 8, 8  # the small text has one address in EVERY, and of it a few sentences
STEPS = 5  # of each stage; a transfer has one for each layer
# A low rate, because the first updates of Adam are as large as the rate even where a gradient is rounding error.
_RATES = {field.name: 5e-4 for field in dataclasses.fields(TinySettings) if field.name.endswith("_learning_rate")}
SMALL = TinySettings(
    vocab_size=600, sequence_length=32, batch_size=8, max_predictions=5, teacher_steps=STEPS,
    transfer_steps_per_layer=1, distillation_steps=STEPS, task_steps=STEPS, **_RATES,
)  # fmt: skip
# What decides which code runs: {setting: its values, the default first}. Two parts stand for any number of them, and a
# reduction needs several processes.
CHOICES = {
    name: (getattr(SMALL, name), *(value for value in shape.values if value != getattr(SMALL, name)))
    for name, shape in SHAPES.items() if isinstance(shape, OneOf) and name != "reduction"
} | {"parts": (1, 2)}  # fmt: skip
ALONE = [{}, *({name: value} for name, values in CHOICES.items() for value in values[1:])]  # one choice at a time
_STREAM, _MASK = 905, 4
_NOT_COMPARED = {"step", "accuracy", "learning_rate", "seconds"}


def choices_of(settings):
    """TinySettings -> {name in CHOICES: value} of those that differ from the default"""
    values = {name: getattr(settings, name) for name in CHOICES} | {"parts": min(settings.parts, 2)}
    return {name: value for name, value in values.items() if value != CHOICES[name][0]}


def label_of(choices):
    """{"strategy": "joint"} -> "strategy=joint"; "" for the defaults"""
    return " ".join(f"{name}={value}" for name, value in sorted(choices.items()))


def has_losses(choices):
    """False in bfloat16: a sum in another order, rounded to 8 bits, gives other losses in the third digit"""
    return "precision" not in choices


def rehearse(**choices):
    """choices: {name in CHOICES: value} -> {stage, in order: [{name of a loss or "gradient_norm": float} of a step]}"""
    settings = dataclasses.replace(SMALL, **choices)
    with tempfile.TemporaryDirectory() as folder, silence(), alone():
        run = _Rehearsal(pathlib.Path(folder), settings)
        teacher = stages.pretrain_teacher(run)
        student = teach_student(run, teacher)["student"]
        stages.train_from_scratch(run)
        stages.fine_tune(run, "teacher", settings.teacher_config, teacher)
        stages.fine_tune(run, "student", settings.student_config, student)
        return {stage: _losses(run.folder / stage / "metrics.jsonl") for stage in run.begun}


def smallest_product(precision):
    """A product of one number by one, with this precision; it runs what every product runs"""
    one = np.ones((1, 1), np.float32)
    with use_precision(precision):
        return matmul(one, one)


def small_text():
    """The text stage of `train-tiny` for a few sentences -> TextData"""
    addresses = read_documents(shipped_archives()[0])[::EVERY]
    pages = [address._replace(paragraphs=[" ".join(address.sentences()[:SENTENCES])]) for address in addresses]
    with silence():
        return data_of(pages, dataclasses.replace(SMALL, held_out_fraction=0.3))


def unfused_run(data, choices):
    """All that a run computes, without fused operations: every stage, then the report's measurements.

    data: of `small_text`; choices: as of `rehearse`
    """
    with use_fusion(False):
        rehearse(**choices)
        _measure(data, choices)


def _measure(data, choices):
    settings = dataclasses.replace(SMALL, vocab_size=data.tokenizer.vocab_size, **choices)
    with tempfile.TemporaryDirectory() as folder, silence(), alone():
        run = Run(folder, settings)
        run.data = data
        teacher = stages.first_parameters(settings.teacher_config, settings, "teacher")
        student = stages.first_parameters(settings.student_config, settings, "student")
        models = {"teacher": teacher, "student": student, "student_from_scratch": student}
        measure(run, models, student, {})


class _Rehearsal:
    """What the stages use of a run (run.py)."""

    log_every = 1

    def __init__(self, folder, settings):
        task = types.SimpleNamespace(batches=_task_batch, num_labels=3, labels=())
        self.folder, self.settings, self.begun = folder, settings, []
        self.data = types.SimpleNamespace(batches=_pretraining_batch, task=task)

    def configuration(self, model_config, stage, start, **read):
        self.begun.append(stage)
        return {}

    def note_seconds(self, name, seconds):
        pass


def _inputs(rng):
    """Random pieces in two texts, from 8 tokens on -> input_ids, token_type_ids, attention_mask, all [B, T]"""
    shape = SMALL.batch_size, SMALL.sequence_length
    ids = rng.integers(5, SMALL.vocab_size, shape).astype(np.int32)
    real = np.arange(shape[1]) < rng.integers(8, shape[1] + 1, (shape[0], 1))
    return np.where(real, ids, 0).astype(np.int32), (real & (np.arange(shape[1]) >= 5)).astype(np.int32), real


def _pretraining_batch(step):
    rng = np.random.default_rng([_STREAM, 1, step])
    ids, types_, real = _inputs(rng)
    positions = np.flatnonzero(real & (rng.random(real.shape) < 0.15) | (np.arange(real.shape[1]) == 3))
    labels = ids.reshape(-1)[positions]
    ids.reshape(-1)[positions] = _MASK
    follows = rng.integers(0, 2, len(ids)).astype(np.int32)
    return PretrainingBatch(ids, types_, real, positions, labels, follows)


def _task_batch(step):
    rng = np.random.default_rng([_STREAM, 2, step])
    return ClassificationBatch(*_inputs(rng), rng.integers(0, 3, SMALL.batch_size).astype(np.int32))


def _losses(path):
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[:STEPS]]
    return [{name: value for name, value in line.items() if name not in _NOT_COMPARED} for line in lines]
