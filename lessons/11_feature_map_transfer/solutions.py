"""Lesson 11 as a student would write it; never part of a student edition. Mutants are made from these."""

import numpy as np

from minimobilebert.distillation.feature_map_transfer import FeatureMapTransferCache
from minimobilebert.distillation.normalized_feature_map_transfer import NormalizedFeatureMapTransferCache
from minimobilebert.ops.layernorm import layernorm_backward, layernorm_forward


def token_weights(mask, dtype):
    real = np.asarray(mask, dtype=bool)
    count = max(int(real.sum()), 1)
    return real.astype(dtype) / dtype.type(count)


def feature_map_transfer_forward(student, teacher, mask):
    difference = student - teacher
    per_token = (difference**2).mean(axis=-1)
    weights = token_weights(mask, student.dtype)
    return float((weights * per_token).sum()), FeatureMapTransferCache(difference, weights)


def feature_map_transfer_backward(dloss, cache):
    features = cache.difference.shape[-1]
    return 2.0 * float(dloss) / features * cache.weights[..., None] * cache.difference


def normalized_feature_map_transfer_forward(
    student, teacher, mask, pattern_factor=100.0, level_factor=5000.0, size_factor=5.0
):
    weights = token_weights(mask, student.dtype)
    normal_student, normalization = layernorm_forward(student, None, None)
    normal_teacher = layernorm_forward(teacher, None, None)[0]
    pattern_difference = normal_student - normal_teacher
    centred = student - student.mean(axis=-1)[..., None]
    mean_difference = student.mean(axis=-1) - teacher.mean(axis=-1)
    variance_difference = (centred * centred).mean(axis=-1) - teacher.var(axis=-1)
    pattern = float((weights * (pattern_difference**2).mean(axis=-1)).sum())
    level = float((weights * mean_difference**2).sum())
    size = float((weights * abs(variance_difference)).sum())
    loss = pattern_factor * pattern + level_factor * level + size_factor * size
    kept = (normalization, pattern_difference, mean_difference, variance_difference, centred, weights)
    return loss, NormalizedFeatureMapTransferCache(*kept, (pattern_factor, level_factor, size_factor))


def normalized_feature_map_transfer_backward(dloss, cache):
    pattern_factor, level_factor, size_factor = cache.factors
    features = cache.centred.shape[-1]
    share = 2.0 * float(dloss) / features * cache.weights[..., None]
    dx = layernorm_backward(pattern_factor * share * cache.pattern_difference, cache.normalization)[0]
    dx = dx + level_factor * share * cache.mean_difference[..., None]
    dx = dx + size_factor * share * np.sign(cache.variance_difference)[..., None] * cache.centred
    return dx
