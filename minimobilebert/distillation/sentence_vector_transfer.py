"""Sentence-vector transfer: the vector of a text points where the teacher's vector points.

    n(u) = u / |u|                                          u [B, H]: the pooled hidden states (ops/pooling.py)

    direction    1/B sum_b (1 - n(student[b]) . n(teacher[b]))                  1 - the cosine of the two vectors
    similarity   1/(B (B-1)) sum_{a != b} (S_student[a, b] - S_teacher[a, b])^2      S[a, b] = n(u[a]) . n(u[b])

The direction needs vectors of the same width. The similarities of all pairs of the batch do not: a narrower student can
have the teacher's similarities in a space of its own (Tung and Mori, 2019, "Similarity-Preserving Knowledge
Distillation").

Backward, from dloss, with D = S_student - S_teacher, 0 on its diagonal (D is symmetric):

    direction    dn[b] = -1/B n(teacher[b]) * dloss
    similarity   dn[a] = 4/(B (B-1)) sum_b D[a, b] n(student[b]) * dloss        n[a] is in row a and in column a of S
    both         du    = backward of n
"""

from typing import Any, NamedTuple

import numpy as np

from ..kernels.runtime.precision import in_float32
from ..ops.matmul import matmul
from ..ops.pooling import normalize_backward, normalize_forward
from ..ops.sums import dot


class DirectionTransferCache(NamedTuple):
    teacher: np.ndarray  # [B, H] of length 1
    normalization: Any


def direction_transfer_forward(student, teacher):
    """student, teacher [B, H] -> loss (float) from 0 to 2, cache"""
    if student.shape != teacher.shape:
        raise ValueError(
            f"sentence vectors: found {student.shape} of the student and {teacher.shape} of the teacher, expected the"
            " same shape"
        )
    n, normalization = normalize_forward(student)
    target, _ = normalize_forward(teacher)
    return 1.0 - dot(n, target) / max(len(n), 1), DirectionTransferCache(target, normalization)


def direction_transfer_backward(dloss, cache):
    """dloss (float) -> dstudent [B, H]"""
    dn = cache.teacher * cache.teacher.dtype.type(-dloss / max(len(cache.teacher), 1))
    return normalize_backward(dn, cache.normalization)


class SimilarityTransferCache(NamedTuple):
    n: np.ndarray  # [B, H] the student's vectors of length 1
    difference: np.ndarray  # [B, B] D
    normalization: Any


def similarity_transfer_forward(student, teacher):
    """student [B, H], teacher [B, H'] -> loss (float), cache"""
    n, normalization = normalize_forward(student)
    target, _ = normalize_forward(teacher)
    with in_float32():  # D is the small difference of two large matrices, and a rounded product has three digits
        difference = matmul(n, n.T) - matmul(target, target.T)
    np.fill_diagonal(difference, 0)  # both are 1, up to rounding
    return dot(difference, difference) / _pairs(n), SimilarityTransferCache(n, difference, normalization)


def similarity_transfer_backward(dloss, cache):
    """dloss (float) -> dstudent [B, H]"""
    with in_float32():
        dn = matmul(cache.difference, cache.n) * cache.n.dtype.type(4.0 * dloss / _pairs(cache.n))
    return normalize_backward(dn, cache.normalization)


def _pairs(n):
    """The number of ordered pairs of different rows, at least 1"""
    return max(len(n) * (len(n) - 1), 1)
