"""Pre-training distillation: the student learns from labels and from the teacher's predictions (Section 3.5).

    L = a * L_MLM + (1 - a) * L_KD + L_NSP                       Equation 4, a = 0.5 in the released recipe

L_KD is the cross-entropy of the student's word distribution with the teacher's as target, at the masked positions. The
cross-entropy is linear in its targets, so we compute the two word terms as one cross-entropy with mixed targets:

    y = a * onehot(word) + (1 - a) * softmax(teacher logits)     L = CE(y, student) + L_NSP

Next-sentence prediction uses only the labels.
"""

import math

import numpy as np

from ..model.parts import WHOLE, weighted
from ..model.pretraining import mean_cross_entropy, pretraining_backward, pretraining_forward
from ..ops.cross_entropy import soft_cross_entropy_backward, soft_cross_entropy_forward
from ..ops.softmax import softmax_forward


def mixed_targets(teacher_logits, labels, alpha):
    """y = alpha * onehot(labels) + (1 - alpha) * softmax(logits); teacher_logits [M, V], labels [M] -> y [M, V]"""
    targets, _ = softmax_forward(teacher_logits)
    targets *= targets.dtype.type(1.0 - alpha)
    targets[np.arange(len(labels)), labels] += targets.dtype.type(alpha)
    return targets


def distillation_losses(output, teacher_output, batch, alpha):
    """Equation 4 and its gradients; output, teacher_output: PretrainingOutput of student and teacher for one batch

    -> {"loss", "distillation_loss", "nsp_loss"}, dword_logits [M, V], dnext_sentence_logits [B, 2]
    """
    targets = mixed_targets(teacher_output.word_logits, batch.masked_labels, alpha)
    losses, words_cache = soft_cross_entropy_forward(output.word_logits, targets)
    count = max(len(losses), 1)
    dwords = soft_cross_entropy_backward(np.full(losses.shape, 1.0 / count, losses.dtype), words_cache)
    nsp_loss, dnext = mean_cross_entropy(output.next_sentence_logits, batch.next_sentence_labels)
    distillation_loss = math.fsum(losses) / count
    values = {"loss": distillation_loss + nsp_loss, "distillation_loss": distillation_loss, "nsp_loss": nsp_loss}
    return values, dwords, dnext


def weighted_distillation_losses(output, teacher_output, batch, alpha, shares):
    """`distillation_losses` of a part of a batch; shares: those of model/parts.py"""
    values, dwords, dnext = distillation_losses(output, teacher_output, batch, alpha)
    words, dwords = weighted(shares.words, values["distillation_loss"], dwords)
    next_sentence, dnext = weighted(shares.examples, values["nsp_loss"], dnext)
    return {"loss": words + next_sentence, "distillation_loss": words, "nsp_loss": next_sentence}, dwords, dnext


def pretraining_distillation_step(params, config, teacher, teacher_config, batch, alpha=0.5, rng=None, shares=WHOLE):
    """Loss and gradients of one step -> {"loss", "distillation_loss", "nsp_loss"}, gradients of the student

    teacher: the teacher's parameters; the teacher runs without dropout and gets no gradient
    shares: those of the batch, if it is a part of one (model/parts.py)
    """
    teacher_output, _ = pretraining_forward(teacher, teacher_config, batch)
    output, cache = pretraining_forward(params, config, batch, rng)
    values, dwords, dnext = weighted_distillation_losses(output, teacher_output, batch, alpha, shares)
    return values, pretraining_backward(dwords, dnext, cache, config)
