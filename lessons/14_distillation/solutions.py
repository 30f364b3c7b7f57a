"""Lesson 14 as a student would write it; never part of a student edition. Mutants are made from these."""

import numpy as np

from minimobilebert.model.pretraining import mean_cross_entropy
from minimobilebert.ops.cross_entropy import soft_cross_entropy_backward, soft_cross_entropy_forward
from minimobilebert.ops.softmax import softmax_forward


def mixed_targets(teacher_logits, labels, alpha):
    y, _ = softmax_forward(teacher_logits)
    y = y * (1.0 - alpha)
    for row, label in enumerate(labels):
        y[row, label] += alpha
    return y


def distillation_losses(output, teacher_output, batch, alpha):
    y = mixed_targets(teacher_output.word_logits, batch.masked_labels, alpha)
    losses, cache = soft_cross_entropy_forward(output.word_logits, y)
    words = max(len(losses), 1)
    dlosses = np.ones_like(losses) / words
    dwords = soft_cross_entropy_backward(dlosses, cache)
    nsp, dnext = mean_cross_entropy(output.next_sentence_logits, batch.next_sentence_labels)
    word_loss = float(losses.sum(dtype=np.float64)) / words
    return {"loss": word_loss + nsp, "distillation_loss": word_loss, "nsp_loss": nsp}, dwords, dnext
