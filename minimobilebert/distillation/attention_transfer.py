"""Attention transfer: the student should look where the teacher looks (Section 3.4, Equation 3).

    L = 1/(T A) sum_t sum_a KL( p_teacher[t, a, :] || p_student[t, a, :] )        t over real tokens

p is the softmax of the scores over real keys. Student and teacher need the same number of heads.

Backward: with p = softmax(s), the derivative of KL with respect to the student's scores is

    ds[t, a, :] = 1/(T A) (p_student[t, a, :] - p_teacher[t, a, :]) * dloss

The released code minimises the cross-entropy, which has the same gradient; KL is reported here because
its smallest value is 0, not the teacher's entropy.
"""

from typing import NamedTuple

import numpy as np

from ..kernels.attention_transfer import softmax_divergence
from ..kernels.reductions import dot
from .masked_mean import token_weights


class AttentionTransferCache(NamedTuple):
    gap: np.ndarray  # [B, A, T, T] 1/(T A) (p_student - p_teacher), 0 for padding queries and keys


def attention_transfer_forward(student_scores, teacher_scores, mask):
    """student_scores, teacher_scores [B, A, T, T] before softmax; mask [B, T] bool -> loss (float), cache"""
    if student_scores.shape != teacher_scores.shape:
        raise ValueError(
            f"attention transfer: found student maps {student_scores.shape} and teacher maps {teacher_scores.shape},"
            " expected the same shape (the same number of heads)"
        )
    weights = token_weights(mask, student_scores.dtype) / student_scores.dtype.type(student_scores.shape[1])
    divergence, gap = softmax_divergence(student_scores, teacher_scores, np.asarray(mask, dtype=bool), weights)
    return dot(weights, divergence.sum(axis=1)), AttentionTransferCache(gap)


def attention_transfer_backward(dloss, cache):
    """dloss (float) -> dstudent_scores [B, A, T, T]"""
    return cache.gap * cache.gap.dtype.type(dloss)
