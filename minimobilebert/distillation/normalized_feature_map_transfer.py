"""Feature-map transfer as the released code does it: shape, mean and variance apart.

A squared gap mixes three questions: is the pattern right, is its level right, is its size right. Taken apart
they can be weighted (100, 5000 and 5 in the released recipe). LN is layer normalisation without weight and bias.

    pattern  = mean over real tokens, features of (LN(student) - LN(teacher))^2
    level    = mean over real tokens of (mean_n student - mean_n teacher)^2
    size     = mean over real tokens of |var_n student - var_n teacher|
    L        = pattern_factor * pattern + level_factor * level + size_factor * size

Backward (the teacher is a constant; N features, w = 1 / number of real tokens):

    1. dLN       = pattern_factor * 2 w / N (LN(student) - LN(teacher)), then LayerNorm's backward
    2. dstudent += level_factor * 2 w / N (mean gap)
    3. dstudent += size_factor * w sign(variance gap) * 2 / N (student - mean student)

At a variance gap of exactly 0 the absolute value has a kink; 0 is returned there.

The released code has a mistake in its terms 2 and 3, which is not made here: lesson 13 asks you to find it, and
`lessons/differences.md` tells it.
"""

from typing import NamedTuple

import numpy as np

from ..ops.layernorm import layernorm_backward, layernorm_forward
from ..ops.sums import dot, row_dots, row_sums
from .masked_mean import token_weights


class NormalizedFeatureMapTransferCache(NamedTuple):
    normalization: tuple  # LayerNorm's cache of the student's feature map
    pattern_gap: np.ndarray  # [B, T, H] LN(student) - LN(teacher)
    mean_gap: np.ndarray  # [B, T]
    variance_gap: np.ndarray  # [B, T]
    centred: np.ndarray  # [B, T, H] student - mean
    weights: np.ndarray  # [B, T]
    factors: tuple  # pattern, level, size


def _moments(x):
    """x [B, T, H] -> mean [B, T], x - mean [B, T, H], variance [B, T]"""
    size = x.dtype.type(x.shape[-1])
    mean = row_sums(x) / size
    centred = x - mean[..., None]
    return mean, centred, row_dots(centred, centred) / size


def normalized_feature_map_transfer_forward(
    student, teacher, mask, pattern_factor=100.0, level_factor=5000.0, size_factor=5.0
):
    """student, teacher [B, T, H]; mask [B, T] bool -> loss (float), cache"""
    student_pattern, normalization = layernorm_forward(student, None, None)
    teacher_pattern, _ = layernorm_forward(teacher, None, None)
    pattern_gap = student_pattern - teacher_pattern
    mean, centred, variance = _moments(student)
    teacher_mean, _, teacher_variance = _moments(teacher)
    mean_gap, variance_gap = mean - teacher_mean, variance - teacher_variance
    weights = token_weights(mask, student.dtype)
    loss = (
        pattern_factor * dot(weights, row_dots(pattern_gap, pattern_gap)) / student.shape[-1]
        + level_factor * dot(weights, mean_gap * mean_gap)
        + size_factor * dot(weights, np.abs(variance_gap))
    )
    factors = (pattern_factor, level_factor, size_factor)
    return loss, NormalizedFeatureMapTransferCache(
        normalization, pattern_gap, mean_gap, variance_gap, centred, weights, factors
    )


def normalized_feature_map_transfer_backward(dloss, cache):
    """dloss (float) -> dstudent [B, T, H]"""
    pattern_factor, level_factor, size_factor = cache.factors
    scale = cache.weights * cache.weights.dtype.type(2.0 * dloss / cache.centred.shape[-1])
    dpattern = (pattern_factor * scale)[..., None] * cache.pattern_gap
    dstudent = layernorm_backward(dpattern, cache.normalization)[0]
    dstudent += (level_factor * scale * cache.mean_gap)[..., None]
    dstudent += (size_factor * scale * np.sign(cache.variance_gap))[..., None] * cache.centred
    return dstudent
