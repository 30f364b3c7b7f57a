"""Distillation of masked words for an encoder without next-sentence prediction: Equation 4 without L_NSP.

    L = a * L_MLM + (1 - a) * L_KD          one cross-entropy with mixed targets, see pretraining_distillation.py

Without a teacher, a = 1: plain masked words, the baseline.
"""

from typing import NamedTuple

import numpy as np

from ..model.heads import masked_word_backward, masked_word_forward, words_name
from ..model.parts import weighted
from ..model.pretraining import PretrainingOutput, mean_cross_entropy
from .pretraining_distillation import distillation_losses


class _Labels(NamedTuple):
    """What Equation 4 reads of a batch"""

    masked_labels: np.ndarray
    next_sentence_labels: np.ndarray


def _at(hidden, positions):
    """hidden [B, T, H], positions [M] (b * T + t) -> [M, H]"""
    return hidden.reshape(-1, hidden.shape[-1])[positions]


def word_loss(logits, labels, teacher_logits=None, alpha=0.5):
    """logits, teacher_logits [M, V], labels [M] -> loss (float), dlogits [M, V]"""
    if teacher_logits is None:
        return mean_cross_entropy(logits, labels)
    no_pairs = np.zeros((0, 2), logits.dtype)  # Equation 4 for a batch of no sentence pair
    outputs = [PretrainingOutput(words, no_pairs, None) for words in (logits, teacher_logits)]
    values, dlogits, _ = distillation_losses(*outputs, _Labels(labels, np.zeros(0, np.int32)), alpha)
    return values["distillation_loss"], dlogits


def masked_word_distillation(params, config, hidden, batch, teacher=None, alpha=0.5, share=1.0):
    """The loss at the masked positions, and its gradients before the encoder's backward.

    hidden [B, T, H]: the student's last hidden state; batch: with masked_positions [M] and masked_labels [M]
    teacher: (parameters, ModelConfig, last hidden state), or None
    share: that of the masked words, if the batch is a part of one (model/parts.py)
    -> loss (float), dhidden [B, T, H], gradients of the head, dwords [V, E] (see `add_words`)
    """
    logits, cache = masked_word_forward(params, config, _at(hidden, batch.masked_positions))
    teacher_logits = None
    if teacher:
        teacher_params, teacher_config, teacher_hidden = teacher
        masked = _at(teacher_hidden, batch.masked_positions)
        teacher_logits, _ = masked_word_forward(teacher_params, teacher_config, masked)
    loss, dlogits = weighted(share, *word_loss(logits, batch.masked_labels, teacher_logits, alpha))
    grads, dhidden = {}, np.zeros_like(hidden)
    dmasked, dwords = masked_word_backward(dlogits, cache, grads, config)
    dhidden.reshape(-1, hidden.shape[-1])[batch.masked_positions] = dmasked
    return loss, dhidden, grads, dwords


def add_words(grads, config, dwords):
    """Add the decoder's part to the gradient of its table in `grads`; a tied word table has a part as embedding too."""
    name = words_name(config)
    grads[name] = grads[name] + dwords if name in grads else dwords
