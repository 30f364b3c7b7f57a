"""The second part of `verify`: short training runs of the classroom models on synthetic text.

They include all steps of a run after tokenisation: examples, masks, batches, initialisation, forward and backward
passes, dropout, clipping, AdamW and LAMB, all transfer losses, fine-tuning, inference.
"""

import numpy as np

from ..config import preset
from ..distillation.auxiliary_transfer import auxiliary_transfer_step
from ..distillation.copy_from_teacher import copy_from_teacher
from ..distillation.layer_transfer import TransferSettings, layer_transfer_step
from ..distillation.pretraining_distillation import pretraining_distillation_step
from ..inference.engine import Engine
from ..model.classification import classification_step, regression_step
from ..model.parameters import init_parameters, parameter_shapes
from ..model.pretraining import pretraining_step
from ..model.quantization import quantize
from ..model.question_answering import question_answering_step
from ..tasks.classification_batches import ClassificationBatch
from ..tasks.squad_batches import SquadBatch
from ..text.batches import PretrainingBatches
from ..text.pretraining_examples import TokenizedDocuments, make_pretraining_examples
from ..training.adamw import AdamW
from ..training.clipping import clip_by_global_norm
from ..training.lamb import LAMB
from ..training.schedules import WarmupLinearDecay

STEPS = 20  # updates of each pre-training
FEW = 4  # updates of the other trainings
BATCH, TOKENS, MASKED = 16, 64, 10
SEED = 902


class _Pieces:
    """A stand-in for a tokeniser with the ids that batches need."""

    pad_id, cls_id, sep_id, mask_id, vocab_size = 0, 2, 3, 4, 4096


def made_up_documents(count=40):
    """Documents of random pieces -> TokenizedDocuments"""
    rng = np.random.default_rng([SEED, 1])
    lengths = rng.integers(3, 30, (count, 12))
    pieces = rng.integers(5, _Pieces.vocab_size, lengths.sum()).astype(np.int32)
    return TokenizedDocuments(
        pieces, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), np.arange(count + 1) * lengths.shape[1]
    )


def pretraining_batches():
    """Examples, masks and batches as in the training stages."""
    examples = make_pretraining_examples(made_up_documents(), TOKENS, np.random.default_rng([SEED, 2]))
    return PretrainingBatches(examples, _Pieces, BATCH, TOKENS, MASKED, SEED)


def first_parameters(name, head="pretraining", num_labels=None):
    """A classroom model with initial parameters -> params, config"""
    config = preset(name)
    return init_parameters(
        parameter_shapes(config, head, num_labels), config, np.random.default_rng([SEED, 3])
    ), config  # fmt: skip


def optimise(params, step_function, batches, steps, optimizer):
    """`steps` updates as in the training loop -> the losses of all steps"""
    schedule, seen = WarmupLinearDecay(2e-3, 2, steps), []
    for step in range(steps):
        losses, gradients = step_function(params, batches(step), np.random.default_rng([SEED, 4, step]))
        norm, factor = clip_by_global_norm(gradients, 1.0)
        optimizer.step(params, gradients, schedule(step), None, factor)
        seen.append({**losses, "gradient_norm": norm})
    return seen


def pretraining(name, steps=STEPS, optimizer=AdamW):
    """Pre-train a classroom model -> arrays of a batch, losses, weights"""
    params, config = first_parameters(name)
    batches = pretraining_batches()

    def step_function(params, batch, rng):
        return pretraining_step(params, config, batch, rng)

    losses = optimise(params, step_function, batches, steps, optimizer(params))
    return [list(batches(steps)), losses, params]


def transfer(strategy):
    """Train a student with an untrained teacher. strategy: "paper", "released" (transfer losses), "auxiliary", "distil"

    -> losses, weights
    """
    teacher, teacher_config = first_parameters("classroom-teacher")
    params, config = first_parameters("classroom-student")
    copy_from_teacher(params, teacher, config, teacher_config)
    models, everything = (teacher, teacher_config), range(config.num_hidden_layers)

    def step_function(params, batch, rng):
        if strategy == "distil":
            return pretraining_distillation_step(params, config, *models, batch, 0.5, rng)
        if strategy == "auxiliary":
            return auxiliary_transfer_step(params, config, *models, batch, TransferSettings(), 0.5, rng)
        return layer_transfer_step(params, config, *models, batch, everything, TransferSettings(strategy))

    losses = optimise(params, step_function, pretraining_batches(), FEW, AdamW(params))
    return [losses, params]


def fine_tuning():
    """Fine-tune for classification, regression and question answering -> losses and weights of each"""
    rng = np.random.default_rng([SEED, 5])
    batch = pretraining_batches()(0)
    inputs = batch.input_ids, batch.token_type_ids, batch.attention_mask
    ends = batch.attention_mask.sum(axis=1)
    results = []
    for head, labels, step_function, of in (
        ("classification", 3, classification_step, ClassificationBatch(*inputs, rng.integers(0, 3, BATCH))),
        ("classification", 1, regression_step, ClassificationBatch(*inputs, rng.random(BATCH).astype(np.float32))),
        ("question-answering", None, question_answering_step,
         SquadBatch(*inputs, ends // 3, ends // 2, np.arange(BATCH))),
    ):  # fmt: skip
        params, config = first_parameters("classroom-student", head, labels)

        def step(params, batch, rng, step_function=step_function, config=config):
            return step_function(params, config, batch, rng)

        results += [optimise(params, step, lambda number, of=of: of, FEW, AdamW(params)), params]
    return results


def inference(in_8_bits=False):
    """The last hidden states of both classroom models."""
    batch, states = pretraining_batches()(1), []
    for name in ("classroom-teacher", "classroom-student"):
        params, config = first_parameters(name)
        engine = Engine(quantize(params, config) if in_8_bits else params, config)
        states.append(engine(batch.input_ids, batch.token_type_ids, batch.attention_mask))
    return states


TRAININGS = {
    "teacher, 20 steps": lambda: pretraining("classroom-teacher"),
    "student, 20 steps": lambda: pretraining("classroom-student"),
    "student with LAMB": lambda: pretraining("classroom-student", FEW, LAMB),
    "transfer, paper": lambda: transfer("paper"),
    "transfer, released": lambda: transfer("released"),
    "auxiliary transfer": lambda: transfer("auxiliary"),
    "distillation": lambda: transfer("distil"),
    "fine-tuning": fine_tuning,
    "inference": inference,
    "inference in 8 bits": lambda: inference(in_8_bits=True),
}
