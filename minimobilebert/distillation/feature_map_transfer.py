"""Feature-map transfer: the student imitates the layer outputs of the teacher (Section 3.4, Equation 2).

    L = 1/(T N) sum_t sum_n (teacher[t, n] - student[t, n])^2        t over real tokens, N features

Backward (the teacher is fixed):

    dstudent[t, n] = 2/(T N) (student[t, n] - teacher[t, n]) * dloss

The released code uses a different form: see `normalized_feature_map_transfer.py`.
"""

from typing import NamedTuple

import numpy as np

from ..ops.sums import dot, row_dots
from .masked_mean import token_weights


class FeatureMapTransferCache(NamedTuple):
    difference: np.ndarray  # [B, T, H] student - teacher
    weights: np.ndarray  # [B, T] 1 / number of real tokens, 0 at padding


def feature_map_transfer_forward(student, teacher, mask):
    """student, teacher [B, T, H]; mask [B, T] bool -> loss (float), cache"""
    difference = student - teacher
    weights = token_weights(mask, student.dtype)
    loss = dot(weights, row_dots(difference, difference)) / difference.shape[-1]
    return loss, FeatureMapTransferCache(difference, weights)


def feature_map_transfer_backward(dloss, cache):
    """dloss (float) -> dstudent [B, T, H]"""
    scale = cache.weights * cache.weights.dtype.type(2.0 * dloss / cache.difference.shape[-1])
    return scale[..., None] * cache.difference
