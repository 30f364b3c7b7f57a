"""One distillation step with a real teacher's sizes: teacher forward, student forward and backward, clipping, AdamW.

The teacher has the sizes of all-MiniLM-L6-v2 and random weights; the student is `distil --student mobile`. The loss is
that of `distil --set strategy=auxiliary`: feature maps and attention maps of all layers, and the directions of the mean
vectors. transformers returns attention maps only from its "eager" attention, so PyTorch runs both models with that one.
"""

import functools

import numpy as np

from ..config import preset
from ..distillation.encoder_transfer import EncoderTransfer, encoder_transfer_step
from ..distilling.settings import DistilSettings
from ..distilling.students import named_student
from ..model.parameters import parameter_shapes
from ..parity.models import build_transformers_model
from ..support.extras import require
from ..text.shard_batches import InputBatch
from .rivals import as_tensors
from .sides import TORCH, library_of
from .training import case_of_step, first_weights, our_step, torch_step

_TEACHER = preset(
    "bert-base", hidden_size=384, embedding_size=384, intermediate_size=1536, num_hidden_layers=6,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip
_SHAPE = 64, 24  # texts, pieces of each
_FACTORS = {name: getattr(DistilSettings, name) for name in ("feature_factor", "attention_factor", "direction_factor")}


def distillation(name, teacher=_TEACHER, shape=_SHAPE):
    """The case of distil_minilm; teacher: ModelConfig"""
    return case_of_step(name, shape, functools.partial(_step_of, teacher, shape))


def _step_of(teacher, shape, side, threads):
    """-> a function that does one step, always on the same batch, and returns its loss and gradient norm"""
    student = named_student("mobile", teacher)
    of_teacher, params = first_weights(teacher), first_weights(student)
    ids = np.random.default_rng(1).integers(1, teacher.vocab_size, shape).astype(np.int32)
    batch = InputBatch(ids, np.zeros_like(ids), np.ones(shape, bool))
    if library_of(side) == TORCH:
        return _torch_step(of_teacher, teacher, params, student, batch, side)
    params = {name: params[name] for name in parameter_shapes(student)}  # without heads
    pairs = tuple((layer, layer) for layer in range(student.num_hidden_layers))
    transfer = EncoderTransfer(pairs, **_FACTORS)
    return our_step(params, side, lambda: encoder_transfer_step(params, student, of_teacher, teacher, batch, transfer))


def _torch_loss(student, teacher):
    """Outputs of transformers' models, for texts without padding -> the loss"""
    functional, layers = require("torch.nn.functional", "compare"), len(student.attentions)
    feature, attention, direction = _FACTORS.values()
    loss = 0.0
    for layer in range(layers):
        states = [each.hidden_states[layer + 1] for each in (student, teacher)]
        loss += feature * functional.mse_loss(*states) / layers
        maps = [each.attentions[layer].float().flatten(0, 2) for each in (student, teacher)]
        # log(0) is not a number that a loss can use; a probability this small adds nothing to the sum.
        logs = maps[0].clamp_min(1e-30).log()
        loss += attention * functional.kl_div(logs, maps[1], reduction="batchmean") / layers
    vectors = [each.hidden_states[-1].float().mean(dim=1) for each in (student, teacher)]
    return loss + direction * (1.0 - functional.cosine_similarity(*vectors).mean())


def _torch_step(of_teacher, teacher, params, student, batch, side):
    """The same step of transformers' models"""
    torch = require("torch", "compare")
    frozen, model = build_transformers_model(of_teacher, teacher), build_transformers_model(params, student).train()
    frozen, model = frozen.base_model, model.base_model
    inputs = {**as_tensors(batch), "output_hidden_states": True, "output_attentions": True}

    def loss_of():
        with torch.no_grad():
            target = frozen(**inputs)
        return _torch_loss(model(**inputs), target)

    return torch_step(model, side, loss_of)
