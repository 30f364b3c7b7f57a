"""Lesson 12 as a student would write it; never part of a student edition. Mutants are made from these."""

import numpy as np

from minimobilebert.distillation.attention_transfer import AttentionTransferCache
from minimobilebert.distillation.masked_mean import token_weights

HIDDEN = -1e30  # finite, so that it can be subtracted from itself; e to it is 0


def log_probabilities(scores, keys):
    scores = np.where(keys, scores, scores.dtype.type(HIDDEN))
    scores = scores - scores.max(axis=-1, keepdims=True, initial=HIDDEN)
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))


def attention_transfer_forward(student_scores, teacher_scores, mask):
    mask = np.asarray(mask, dtype=bool)
    keys = mask[:, None, None, :]
    weights = token_weights(mask, student_scores.dtype)
    weights = (weights / student_scores.shape[1])[:, None, :, None]
    log_student = log_probabilities(student_scores, keys)
    log_teacher = log_probabilities(teacher_scores, keys)
    teacher = np.exp(log_teacher)
    loss = float((weights * teacher * (log_teacher - log_student)).sum())
    return loss, AttentionTransferCache(weights * (np.exp(log_student) - teacher))


def attention_transfer_backward(dloss, cache):
    return float(dloss) * cache.difference
