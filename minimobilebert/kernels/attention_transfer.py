r"""Row-wise KL divergence between two score arrays (see distillation/attention_transfer.py).

    thread = head     row i of the student's scores s [T]  -> p_student  \
                                                                           divergence[i], difference[i, :]
                      row i of the teacher's scores t [T]  -> p_teacher  /

A row of each stays in the first-level cache for all passes over it: maximum, exponentials, sums, gradient.
"""

import numpy as np

from .exponential import exp_scalar, log_scalar
from .rows import contiguous
from .runtime.jit import jit_parallel, prange
from .runtime.memory import empty_like
from .sums import dot_of, sum_of


@jit_parallel
def _softmax_divergence(student, teacher, mask, weights, divergence, difference):
    batch, heads, tokens, _ = student.shape
    zero = student.dtype.type(0.0)
    for head in prange(batch * heads):
        b, a = head // heads, head % heads
        p_teacher = np.empty(tokens, student.dtype)
        p_student = np.empty(tokens, student.dtype)
        log_ratio = np.empty(tokens, student.dtype)
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
                log_ratio[j] = (t[j] - largest_t) - (s[j] - largest_s) if mask[b, j] else zero
            total_s, total_t, cross = sum_of(p_student), sum_of(p_teacher), dot_of(p_teacher, log_ratio)
            if total_s == zero:  # a sequence of padding only
                divergence[b, a, i] = zero
                for j in range(tokens):
                    difference[b, a, i, j] = zero
                continue
            divergence[b, a, i] = cross / total_t - log_scalar(total_t) + log_scalar(total_s)
            scale_s, scale_t = weights[b, i] / total_s, weights[b, i] / total_t
            for j in range(tokens):
                difference[b, a, i, j] = scale_s * p_student[j] - scale_t * p_teacher[j]


def softmax_divergence(student, teacher, mask, weights):
    """The compiled twin of distillation/attention_transfer.py."""
    student, teacher, mask, weights = (contiguous(x) for x in (student, teacher, mask, weights))
    divergence, difference = np.empty(student.shape[:3], student.dtype), empty_like(student)
    _softmax_divergence(student, teacher, mask, weights, divergence, difference)
    return divergence, difference
