"""Attention transfer: the student imitates the attention maps of the teacher (Section 3.4, Equation 3).

    L = 1/(T A) sum_t sum_a KL( p_teacher[t, a, :] || p_student[t, a, :] )        t over real tokens

p is the softmax of the scores over real keys. Student and teacher need the same number of heads.

Backward: with p = softmax(s), the derivative of KL with respect to the student's scores is

    ds[t, a, :] = 1/(T A) (p_student[t, a, :] - p_teacher[t, a, :]) * dloss

The released code minimises the cross-entropy, which has the same gradient. We report KL because its minimum is 0; the
minimum of the cross-entropy is the teacher's entropy.
"""

from typing import NamedTuple

import numpy as np

from ..kernels import attention_transfer as kernel
from ..kernels.runtime.backend import accelerated_by
from ..ops.sums import dot
from .masked_mean import token_weights


class AttentionTransferCache(NamedTuple):
    difference: np.ndarray  # [B, A, T, T] 1/(T A) (p_student - p_teacher), 0 for padding queries and keys


@accelerated_by(kernel.softmax_divergence)
def softmax_divergence(student, teacher, mask, weights):
    """KL(softmax(teacher) || softmax(student)) of each row over the real keys, and its weighted gradient.

    student, teacher [B, A, T, T]; mask [B, T] bool (keys); weights [B, T] (queries)
    -> divergence [B, A, T], difference [B, A, T, T] = weights[b, i] * (softmax(student) - softmax(teacher))
    """
    keys = mask[:, None, None, :]

    def log_softmax(scores):
        """[B, A, T, T] -> log-probabilities (0 at padding keys), probabilities"""
        shifted = scores - np.where(keys, scores, -np.inf).max(
            axis=-1, keepdims=True, initial=np.finfo(scores.dtype).min
        )
        exponentials = np.where(keys, np.exp(np.where(keys, shifted, 0)), 0)
        total = exponentials.sum(axis=-1, keepdims=True)
        total = np.where(total == 0, 1, total)  # 0 if all tokens of a sequence are padding
        return np.where(keys, shifted - np.log(total), 0), exponentials / total

    log_student, p_student = log_softmax(student)
    log_teacher, p_teacher = log_softmax(teacher)
    divergence = (p_teacher * (log_teacher - log_student)).sum(axis=-1)
    return divergence, weights[:, None, :, None] * (p_student - p_teacher)


def attention_transfer_forward(student_scores, teacher_scores, mask):
    """student_scores, teacher_scores [B, A, T, T] before softmax; mask [B, T] bool -> loss (float), cache"""
    if student_scores.shape != teacher_scores.shape:
        raise ValueError(
            f"attention transfer: found student maps {student_scores.shape} and teacher maps {teacher_scores.shape},"
            " expected the same shape (the same number of heads)"
        )
    weights = token_weights(mask, student_scores.dtype) / student_scores.dtype.type(student_scores.shape[1])
    divergence, difference = softmax_divergence(student_scores, teacher_scores, np.asarray(mask, dtype=bool), weights)
    return dot(weights, divergence.sum(axis=1)), AttentionTransferCache(difference)


def attention_transfer_backward(dloss, cache):
    """dloss (float) -> dstudent_scores [B, A, T, T]"""
    return cache.difference * cache.difference.dtype.type(dloss)
