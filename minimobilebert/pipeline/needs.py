"""Checks, before a run starts, that the machine has enough memory and disk space for it."""

import numpy as np

from ..distributed.communicator import current
from ..kernels.runtime.precision import use_precision
from ..model.memory import activation_bytes
from ..model.parameters import count_parameters, parameter_shapes
from ..support.extras import require
from ..support.requirements import check_disk as check_free_disk
from ..support.requirements import check_memory

_NUMBER = np.dtype(np.float32).itemsize
_RUNNING = 3 * 3  # a running checkpoint has parameters and two moments; there are two while a third is written


def check_disk(folder, needed, what):
    """As in support/requirements.py, on rank 0 alone: the others save no checkpoints."""
    if current().rank == 0:
        check_free_disk(folder, needed, what)


def _trained(settings, size):
    """Bytes of weights, gradients and two moments, or a rank's share of these, for weights of `size` bytes"""
    return 2 * size + 2 * size // (current().size if settings.shard_optimizer else 1)


def _bytes_of(config, head, num_labels=None):
    return _NUMBER * count_parameters(parameter_shapes(config, head, num_labels))


def check_pretraining(folder, settings):
    """ValueError where memory or disk is too small for the run of `settings` in `folder`, or nothing can draw it."""
    require("matplotlib", "plots")  # its report comes last
    batch, tokens = -(-settings.batch_size // settings.parts), settings.sequence_length
    models = settings.teacher_config, settings.student_config
    sizes = [_bytes_of(config, "pretraining") for config in models]
    for config, size in zip(models, sizes, strict=True):
        with use_precision(settings.precision):
            # Each text has at least one masked word.
            kept = activation_bytes(config, batch, tokens, head="pretraining", masked_words=batch)
        check_memory(_trained(settings, size) + kept, f"batch_size {settings.batch_size}, sequence_length {tokens}")
    finals = sum(sizes) + sizes[1] * (len(settings.steps_by_stage()) - 2)
    check_disk(folder, finals + _RUNNING * max(sizes), "the checkpoints of the run")


def check_distillation(folder, settings, teacher):
    """ValueError where memory or disk is too small to distil in `folder`, or nothing can draw the report."""
    require("matplotlib", "plots")  # its report comes last
    student, batch, tokens = settings.student_config, settings.batch_size, settings.max_length
    head = "masked-words" if settings.has_words else None
    sizes = _bytes_of(teacher, None), _bytes_of(student, head)
    # A lower bound: one text of the greatest length.
    with use_precision(settings.precision):
        kept = activation_bytes(student, 1, tokens) + activation_bytes(teacher, 1, tokens)
    check_memory(sizes[0] + _trained(settings, sizes[1]) + kept, f"batch_size {batch}, max_length {tokens}")
    check_disk(folder, (2 + _RUNNING) * sizes[1], "the checkpoints of the run")


def check_fine_tuning(folder, settings, config, job):
    """ValueError if memory or disk is too small to fine-tune on `job` in `folder`."""
    batch, size = min(settings.batch_size, len(job.examples.lengths)), _bytes_of(config, job.head, job.num_labels)
    batch = -(-batch // settings.parts)
    tokens, texts = int(np.max(job.examples.lengths)), 2 if job.head == "sentence-pairs" else 1  # of a row, read apart
    kept = activation_bytes(config, texts, tokens // texts, head=job.head)
    # A lower bound: the longest row alone, or a part of rows of the shortest length.
    shortest = int(np.min(job.examples.lengths))
    kept = max(kept, activation_bytes(config, texts * batch, shortest // texts, head=job.head))
    check_memory(_trained(settings, size) + kept, f"--batch {settings.batch_size}, rows of up to {tokens} pieces")
    check_disk(folder, (2 + _RUNNING) * size, "the checkpoints of the run")
