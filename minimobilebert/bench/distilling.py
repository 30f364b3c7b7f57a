"""One distillation step with a real teacher's sizes: teacher forward, student forward and backward, clipping, AdamW.

The teacher has the sizes of all-MiniLM-L6-v2 and random weights; the student is `distil --student mobile`.

    distil_minilm            feature maps and attention maps of all layers, and the directions of the mean vectors:
                             `distil --set strategy=auxiliary`
    distil_minilm_vectors    the directions alone: what `distil` does for this teacher by default

transformers returns attention maps only from its "eager" attention, so PyTorch runs both models with that one in the
first case. In the second the teacher runs as for inference, on both sides; "int8" is there a teacher in 8 bits with a
student that trains in float32.
"""

import functools
from typing import NamedTuple

import numpy as np

from ..config import ModelConfig, preset
from ..distillation.encoder_transfer import EncoderTransfer, encoder_transfer_step
from ..distilling.settings import DistilSettings
from ..distilling.students import named_student
from ..distilling.teacher_vectors import ComputedVectors
from ..inference.engine import Engine
from ..model.parameters import parameter_shapes
from ..model.quantization import quantize
from ..parity.models import build_transformers_model
from ..support.extras import require
from ..text.shard_batches import InputBatch
from .rivals import as_tensors
from .rivals_int8 import quantize_torch
from .sides import INT8, OURS, OURS_INT8, TORCH, TORCH_INT8, library_of, precision_of
from .training import case_of_step, first_weights, our_step, torch_step

TEACHER = preset(
    "bert-base", hidden_size=384, embedding_size=384, intermediate_size=1536, num_hidden_layers=6,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip
SHAPE = 64, 24  # texts, pieces of each
FACTORS = {name: getattr(DistilSettings, name) for name in ("feature_factor", "attention_factor", "direction_factor")}


class _Work(NamedTuple):
    """What all sides have in common; configurations and first weights of both models."""

    teacher: ModelConfig
    of_teacher: dict
    student: ModelConfig
    params: dict
    batch: InputBatch


def work_of(teacher, shape):
    """teacher: ModelConfig; shape: texts, pieces -> _Work"""
    student = named_student("mobile", teacher)
    ids = np.random.default_rng(1).integers(1, teacher.vocab_size, shape).astype(np.int32)
    batch = InputBatch(ids, np.zeros_like(ids), np.ones(shape, bool))
    return _Work(teacher, first_weights(teacher), student, first_weights(student), batch)


def distillation(name, teacher=TEACHER, shape=SHAPE):
    """The case of distil_minilm; teacher: ModelConfig"""
    return case_of_step(name, shape, functools.partial(_step_with_layers, teacher, shape))


def distillation_of_vectors(name, teacher=TEACHER, shape=SHAPE):
    """The case of distil_minilm_vectors; teacher: ModelConfig"""
    also = (OURS_INT8, (TORCH, TORCH_INT8)), (OURS_INT8, (OURS,))
    return case_of_step(name, shape, functools.partial(_step_with_vectors, teacher, shape), also=also)


def without_heads(params, student):
    return {name: params[name] for name in parameter_shapes(student)}


def _step_with_layers(teacher, shape, side, threads):
    """-> a function that does one step, always on the same batch, and returns its loss and gradient norm"""
    work = work_of(teacher, shape)
    if library_of(side) == TORCH:
        return _torch_step_with_layers(work, side)
    params, student = without_heads(work.params, work.student), work.student
    pairs = tuple((layer, layer) for layer in range(student.num_hidden_layers))
    transfer = EncoderTransfer(pairs, **FACTORS)
    return our_step(
        params, side,
        lambda: encoder_transfer_step(params, student, work.of_teacher, teacher, work.batch, transfer),
    )  # fmt: skip


def _step_with_vectors(teacher, shape, side, threads):
    """The same for the vectors alone"""
    work = work_of(teacher, shape)
    if library_of(side) == TORCH:
        return _torch_step_with_vectors(work, side)
    params, student = without_heads(work.params, work.student), work.student
    transfer = EncoderTransfer((), direction_factor=FACTORS["direction_factor"])
    of_teacher = quantize(work.of_teacher, teacher) if precision_of(side) == INT8 else work.of_teacher
    with_vectors = ComputedVectors(Engine(of_teacher, teacher), transfer.pooling)
    return our_step(
        params, side, lambda: encoder_transfer_step(params, student, None, None, with_vectors(work.batch), transfer)
    )


def _mean_vectors(output):
    """transformers' output for texts without padding -> [B, H]"""
    return output.last_hidden_state.float().mean(dim=1)


def _directions_apart(student, teacher):
    """1 - the mean cosine of vectors [B, H]"""
    functional = require("torch.nn.functional", "compare")
    return FACTORS["direction_factor"] * (1.0 - functional.cosine_similarity(student, teacher).mean())


def _torch_loss_with_layers(student, teacher):
    """Outputs of transformers' models, for texts without padding -> the loss"""
    functional, layers = require("torch.nn.functional", "compare"), len(student.attentions)
    feature, attention, _ = FACTORS.values()
    loss = 0.0
    for layer in range(layers):
        states = [each.hidden_states[layer + 1] for each in (student, teacher)]
        loss += feature * functional.mse_loss(*states) / layers
        maps = [each.attentions[layer].float().flatten(0, 2) for each in (student, teacher)]
        # log(0) is not a number that a loss can use; a probability this small adds nothing to the sum.
        logs = maps[0].clamp_min(1e-30).log()
        loss += attention * functional.kl_div(logs, maps[1], reduction="batchmean") / layers
    return loss + _directions_apart(_mean_vectors(student), _mean_vectors(teacher))


def _encoders(work, attention):
    """transformers' teacher and student; attention: as in build_transformers_model"""
    frozen = build_transformers_model(work.of_teacher, work.teacher, attention)
    return frozen.base_model, build_transformers_model(work.params, work.student, attention).train().base_model


def _torch_step_with_layers(work, side):
    """The same step of transformers' models"""
    torch = require("torch", "compare")
    frozen, model = _encoders(work, "eager")
    inputs = {**as_tensors(work.batch), "output_hidden_states": True, "output_attentions": True}

    def loss_of():
        with torch.no_grad():
            target = frozen(**inputs)
        return _torch_loss_with_layers(model(**inputs), target)

    return torch_step(model, side, loss_of)


def _torch_step_with_vectors(work, side):
    """The same for the vectors alone"""
    torch = require("torch", "compare")
    frozen, model = _encoders(work, None)
    if precision_of(side) == INT8:
        frozen = quantize_torch(frozen)
    inputs = as_tensors(work.batch)

    def loss_of():
        with torch.no_grad():
            target = _mean_vectors(frozen(**inputs))
        return _directions_apart(_mean_vectors(model(**inputs)), target)

    return torch_step(model, side, loss_of)
