"""Row-wise KL divergence between two score arrays (see distillation/attention_transfer.py)."""

import numpy as np

from .backend import by_backend
from .exponential import exp_scalar, log_scalar
from .jit import jit_parallel, prange
from .memory import empty_like
from .rows import compact
from .sums import dot_of, sum_of


def softmax_divergence_numpy(student, teacher, mask, weights):
    """KL(softmax(teacher) || softmax(student)) of every row, over real keys, and its gradient.

    student, teacher [B, A, T, T]; mask [B, T] bool (keys); weights [B, T] (queries)
    -> divergence [B, A, T], gap [B, A, T, T] = weights[b, i] * (softmax(student) - softmax(teacher))
    """
    keys = mask[:, None, None, :]

    def log_softmax(scores):
        """[B, A, T, T] -> log-probabilities (0 at padding keys), probabilities"""
        shifted = scores - np.where(keys, scores, -np.inf).max(
            axis=-1, keepdims=True, initial=np.finfo(scores.dtype).min
        )
        exponentials = np.where(keys, np.exp(np.where(keys, shifted, 0)), 0)
        total = exponentials.sum(axis=-1, keepdims=True)
        total = np.where(total == 0, 1, total)  # a sequence of padding only
        return np.where(keys, shifted - np.log(total), 0), exponentials / total

    log_student, p_student = log_softmax(student)
    log_teacher, p_teacher = log_softmax(teacher)
    divergence = (p_teacher * (log_teacher - log_student)).sum(axis=-1)
    return divergence, weights[:, None, :, None] * (p_student - p_teacher)


@jit_parallel
def _softmax_divergence(student, teacher, mask, weights, divergence, gap):
    batch, heads, tokens, _ = student.shape
    zero = student.dtype.type(0.0)
    for head in prange(batch * heads):
        b, a = head // heads, head % heads
        p_teacher = np.empty(tokens, student.dtype)
        p_student = np.empty(tokens, student.dtype)
        difference = np.empty(tokens, student.dtype)
        for i in range(tokens):
            s, t = student[b, a, i], teacher[b, a, i]
            largest_s, largest_t = s[0], t[0]
            for j in range(tokens):
                if mask[b, j]:
                    largest_s = max(largest_s, s[j])
                    largest_t = max(largest_t, t[j])
            for j in range(tokens):
                p_student[j] = exp_scalar(s[j] - largest_s)
                p_teacher[j] = exp_scalar(t[j] - largest_t)
            for j in range(tokens):
                p_student[j] = p_student[j] if mask[b, j] else zero
                p_teacher[j] = p_teacher[j] if mask[b, j] else zero
            # sum of p_teacher * (log p_teacher - log p_student), the log-sums still missing; 0 at padding
            for j in range(tokens):
                difference[j] = (t[j] - largest_t) - (s[j] - largest_s) if mask[b, j] else zero
            total_s, total_t, cross = sum_of(p_student), sum_of(p_teacher), dot_of(p_teacher, difference)
            if total_s == zero:  # a sequence of padding only
                divergence[b, a, i] = zero
                for j in range(tokens):
                    gap[b, a, i, j] = zero
                continue
            divergence[b, a, i] = cross / total_t - log_scalar(total_t) + log_scalar(total_s)
            scale_s, scale_t = weights[b, i] / total_s, weights[b, i] / total_t
            for j in range(tokens):
                gap[b, a, i, j] = scale_s * p_student[j] - scale_t * p_teacher[j]


def softmax_divergence_numba(student, teacher, mask, weights):
    """The compiled twin of `softmax_divergence_numpy`."""
    student, teacher, mask, weights = (compact(x) for x in (student, teacher, mask, weights))
    divergence, gap = np.empty(student.shape[:3], student.dtype), empty_like(student)
    _softmax_divergence(student, teacher, mask, weights, divergence, gap)
    return divergence, gap


softmax_divergence = by_backend(numpy=softmax_divergence_numpy, numba=softmax_divergence_numba)
