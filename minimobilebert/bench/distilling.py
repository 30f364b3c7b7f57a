"""One distillation step with a real teacher's sizes: teacher forward, student forward and backward, clipping, AdamW.

The teacher has the sizes of all-MiniLM-L6-v2 and random weights; the student is `distil --student mobile`. The loss is
that of `distil` for a teacher of sentence vectors: feature maps and attention maps of all layers, and the directions of
the mean vectors. transformers returns attention maps only from its "eager" attention, so PyTorch runs both models with
that one. Tokens are those of the texts, each counted once.
"""

import functools

import numpy as np

from ..config import preset
from ..distillation.encoder_transfer import EncoderTransfer, encoder_transfer_step
from ..distilling.students import named_student
from ..kernels.runtime.backend import use_backend
from ..kernels.runtime.precision import use_precision
from ..model.parameters import init_parameters, parameter_shapes
from ..parity.models import build_transformers_model
from ..support.extras import require
from ..text.shard_batches import InputBatch
from ..training.adamw import AdamW
from ..training.clipping import clip_by_global_norm
from .measure import Case
from .rivals import as_tensors, autocast, torch_optimizer
from .sides import OURS, OURS_BFLOAT16, TORCH, TORCH_BFLOAT16, library_of, precision_of
from .training import CLIP, RATE

_DIRECTION = 5.0
_TEACHER = preset(
    "bert-base", hidden_size=384, embedding_size=384, intermediate_size=1536, num_hidden_layers=6,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip
_SHAPE = 64, 24  # texts, pieces of each


def distillation(name, teacher=_TEACHER, shape=_SHAPE):
    """The case of distil_minilm; teacher: ModelConfig"""
    texts, pieces = shape
    yield Case(
        name, f"{texts} x {pieces}", "tokens/s", texts * pieces, ("numpy", TORCH, TORCH_BFLOAT16),
        functools.partial(_step_of, teacher, shape), turns=7, short=False,
        also=((OURS_BFLOAT16, (TORCH, TORCH_BFLOAT16)), (OURS_BFLOAT16, (OURS,))),
    )  # fmt: skip


def _step_of(teacher, shape, side, threads):
    """-> a function that does one step, always on the same batch, and returns its loss and gradient norm"""
    rng, student = np.random.default_rng(1), named_student("mobile", teacher)
    of_teacher = init_parameters(parameter_shapes(teacher, "pretraining"), teacher, rng)
    params = init_parameters(parameter_shapes(student, "pretraining"), student, rng)
    ids = rng.integers(1, teacher.vocab_size, shape).astype(np.int32)
    batch = InputBatch(ids, np.zeros_like(ids), np.ones(shape, bool))
    library, precision = library_of(side), precision_of(side)
    if library == TORCH:
        models = (build_transformers_model(of_teacher, teacher), build_transformers_model(params, student).train())
        return _torch_step(*models, batch, precision)
    params = {name: array for name, array in params.items() if name.startswith(f"{student.prefix}.e")}  # no heads
    pairs = tuple((layer, layer) for layer in range(student.num_hidden_layers))
    transfer = EncoderTransfer(pairs, feature_factor=1.0, attention_factor=1.0, direction_factor=_DIRECTION)
    optimizer, backend = AdamW(params), "numpy" if library == "numpy" else "numba"

    def run():
        with use_backend(backend), use_precision(precision):
            losses, gradients = encoder_transfer_step(params, student, of_teacher, teacher, batch, transfer)
            norm, _ = clip_by_global_norm(gradients, CLIP)
            optimizer.step(params, gradients, RATE)
        return losses["loss"], norm

    return run


def _torch_loss(student, teacher):
    """Outputs of transformers' models, for texts without padding -> the loss"""
    functional, layers = require("torch.nn.functional", "compare"), len(student.attentions)
    loss = 0.0
    for layer in range(layers):
        loss += functional.mse_loss(student.hidden_states[layer + 1], teacher.hidden_states[layer + 1]) / layers
        maps = [each.attentions[layer].float().flatten(0, 2) for each in (student, teacher)]
        # log(0) is not a number that a loss can use; a probability this small adds nothing to the sum.
        logs = maps[0].clamp_min(1e-30).log()
        loss += functional.kl_div(logs, maps[1], reduction="batchmean") / layers
    vectors = [each.hidden_states[-1].float().mean(dim=1) for each in (student, teacher)]
    return loss + _DIRECTION * (1.0 - functional.cosine_similarity(*vectors).mean())


def _torch_step(teacher, model, batch, precision):
    torch, optimizer = require("torch", "compare"), torch_optimizer(model.base_model)
    for group in optimizer.param_groups:
        group["lr"] = RATE
    inputs = {**as_tensors(batch), "output_hidden_states": True, "output_attentions": True}

    def run():
        optimizer.zero_grad(set_to_none=True)
        with autocast(precision):
            with torch.no_grad():
                target = teacher.base_model(**inputs)
            loss = _torch_loss(model.base_model(**inputs), target)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.base_model.parameters(), CLIP)
        optimizer.step()
        return loss, norm

    return run
