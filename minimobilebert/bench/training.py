"""One pre-training step: loss of masked words and next sentences, backward, clipping to norm 1, AdamW; tokens/s.

transformers computes word scores at all positions, this project only at the masked ones, because the loss ignores the
others. Both compute the same loss and gradients. Dropout is 0 on both sides. PyTorch uses its fused AdamW.

This project and PyTorch take part in float32 and in bfloat16. Who trains with PyTorch uses the faster of its two, so
our bfloat16 is compared with that one.
"""

import functools

import numpy as np

from ..config import preset
from ..kernels.runtime.backend import use_backend
from ..kernels.runtime.precision import use_precision
from ..model.parameters import init_parameters, parameter_shapes
from ..model.pretraining import pretraining_step
from ..support.extras import require
from ..text.batches import PretrainingBatch
from ..training.adamw import AdamW
from ..training.clipping import clip_by_global_norm
from .measure import Case
from .rivals import as_tensors, autocast, build_pretraining, torch_optimizer
from .sides import OURS, OURS_BFLOAT16, TORCH, TORCH_BFLOAT16, library_of, trains_in

MASKED, RATE, CLIP = 0.15, 1e-4, 1.0
_NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
_CLASSROOM = {"num_attention_heads": 4, "num_feedforward_networks": 4, "max_position_embeddings": 64}
CONFIGS = {
    "train_mobilebert": preset("mobilebert", **_NO_DROPOUT),
    "train_classroom_1": preset(
        "mobilebert", **_NO_DROPOUT, **_CLASSROOM, vocab_size=2048, hidden_size=128, embedding_size=64,
        intra_bottleneck_size=32, intermediate_size=128, num_hidden_layers=4,
    ),
    "train_classroom_2": preset(
        "mobilebert", **_NO_DROPOUT, **_CLASSROOM, vocab_size=4096, hidden_size=256, embedding_size=128,
        intra_bottleneck_size=64, intermediate_size=256, num_hidden_layers=6,
    ),
}  # fmt: skip
SHAPES = {"train_mobilebert": (8, 128), "train_classroom_1": (32, 64), "train_classroom_2": (32, 64)}


def random_batch(config, batch, tokens):
    """A batch of random ids with 15 % of the positions masked."""
    rng = np.random.default_rng(1)
    ids = rng.integers(1, config.vocab_size, (batch, tokens)).astype(np.int32)
    positions = np.sort(rng.choice(ids.size, max(1, round(MASKED * ids.size)), replace=False))
    labels = rng.integers(1, config.vocab_size, positions.size).astype(np.int32)
    segments, mask = np.zeros_like(ids), np.ones(ids.shape, bool)
    return PretrainingBatch(ids, segments, mask, positions, labels, rng.integers(0, 2, batch).astype(np.int32))


def case_of_step(name, shape, build, turns=7, also=()):
    """The case of a training step, ours and PyTorch's in both precisions

    shape: texts, tokens; build: as in Case; also: further comparisons, as there
    """
    batch, tokens = shape
    yield Case(
        name, f"{batch} x {tokens}", "tokens/s", batch * tokens, ("numpy", TORCH, TORCH_BFLOAT16), build, turns=turns,
        short=False, also=((OURS_BFLOAT16, (TORCH, TORCH_BFLOAT16)), (OURS_BFLOAT16, (OURS,)), *also),
    )  # fmt: skip


def our_step(params, side, losses_and_gradients):
    """-> a function that does one step and returns its loss and gradient norm

    losses_and_gradients: function () -> losses, gradients of `params`
    """
    optimizer, backend = AdamW(params), "numpy" if library_of(side) == "numpy" else "numba"

    def run():
        with use_backend(backend), use_precision(trains_in(side)):
            losses, gradients = losses_and_gradients()
            norm, _ = clip_by_global_norm(gradients, CLIP)
            optimizer.step(params, gradients, RATE)
        return losses["loss"], norm

    return run


def torch_step(model, side, loss_of):
    """The same with PyTorch; model: its parameters are trained; loss_of: function () -> loss, under autocast"""
    torch, optimizer = require("torch", "compare"), torch_optimizer(model)
    for group in optimizer.param_groups:
        group["lr"] = RATE

    def run():
        optimizer.zero_grad(set_to_none=True)
        with autocast(trains_in(side)):
            loss = loss_of()
        loss.backward()  # each operation in the type of its forward
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        return loss, norm

    return run


def training(name, config=None, shape=None):
    """The case of train_mobilebert, train_classroom_1 or train_classroom_2."""
    config, shape = config or CONFIGS[name], shape or SHAPES[name]
    build = functools.partial(step_of, config, *shape)
    return case_of_step(name, shape, build, turns=4 if config.num_hidden_layers > 12 else 7)


def first_weights(config):
    return init_parameters(parameter_shapes(config, "pretraining"), config, np.random.default_rng(1))


def step_of(config, batch, tokens, side, threads):
    """-> a function that does one step, always on the same batch, and returns its loss and gradient norm"""
    params, data = first_weights(config), random_batch(config, batch, tokens)
    if library_of(side) != TORCH:
        return our_step(params, side, lambda: pretraining_step(params, config, data))
    torch, model = require("torch", "compare"), build_pretraining(params, config).train()
    labels = np.full(data.input_ids.size, -100, np.int64)  # PyTorch's loss ignores positions with this label
    labels[data.masked_positions] = data.masked_labels
    inputs = {
        **as_tensors(data[:3]), "labels": torch.from_numpy(labels.reshape(data.input_ids.shape)),
        "next_sentence_label": torch.from_numpy(data.next_sentence_labels.astype(np.int64)),
    }  # fmt: skip
    return torch_step(model, side, lambda: model(**inputs).loss)
