"""Feature-map transfer in the form of the released code: separate terms for pattern, mean and variance.

A squared difference mixes errors of the pattern, the level (mean) and the size (variance) of a feature map. Separate
terms have separate weights: 100, 5000 and 5 in the released recipe. LN is layer normalisation without weight and bias.

    pattern  = mean over real tokens, features of (LN(student) - LN(teacher))^2
    level    = mean over real tokens of (mean_n student - mean_n teacher)^2
    size     = mean over real tokens of |var_n student - var_n teacher|
    L        = pattern_factor * pattern + level_factor * level + size_factor * size

Backward (the teacher is fixed; N features, w = 1 / number of real tokens):

    1. dLN       = pattern_factor * 2 w / N (LN(student) - LN(teacher)), then LayerNorm's backward
    2. dstudent += level_factor * 2 w / N (mean difference)
    3. dstudent += size_factor * w sign(variance difference) * 2 / N (student - mean student)

A variance difference of exactly 0 is a kink of the absolute value; we use the derivative 0 there.
"""

from typing import NamedTuple

import numpy as np

from ..ops.layernorm import layernorm_backward, layernorm_forward
from ..ops.sums import dot, row_dots, row_sums
from .masked_mean import token_weights


class NormalizedFeatureMapTransferCache(NamedTuple):
    normalization: tuple  # LayerNorm's cache of the student's feature map
    pattern_difference: np.ndarray  # [B, T, H] LN(student) - LN(teacher)
    mean_difference: np.ndarray  # [B, T]
    variance_difference: np.ndarray  # [B, T]
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
    pattern_difference = student_pattern - teacher_pattern
    mean, centred, variance = _moments(student)
    teacher_mean, _, teacher_variance = _moments(teacher)
    mean_difference, variance_difference = mean - teacher_mean, variance - teacher_variance
    weights = token_weights(mask, student.dtype)
    loss = (
        pattern_factor * dot(weights, row_dots(pattern_difference, pattern_difference)) / student.shape[-1]
        + level_factor * dot(weights, mean_difference * mean_difference)
        + size_factor * dot(weights, np.abs(variance_difference))
    )
    factors = (pattern_factor, level_factor, size_factor)
    return loss, NormalizedFeatureMapTransferCache(
        normalization, pattern_difference, mean_difference, variance_difference, centred, weights, factors
    )


def normalized_feature_map_transfer_backward(dloss, cache):
    """dloss (float) -> dstudent [B, T, H]"""
    pattern_factor, level_factor, size_factor = cache.factors
    scale = cache.weights * cache.weights.dtype.type(2.0 * dloss / cache.centred.shape[-1])
    dpattern = (pattern_factor * scale)[..., None] * cache.pattern_difference
    dstudent = layernorm_backward(dpattern, cache.normalization)[0]
    dstudent += (level_factor * scale * cache.mean_difference)[..., None]
    dstudent += (size_factor * scale * np.sign(cache.variance_difference))[..., None] * cache.centred
    return dstudent
