"""Pooling: one vector for each text. (Stand-in until the whole operation is merged.)"""

from typing import NamedTuple

import numpy as np

from .sums import row_dots


class PoolCache(NamedTuple):
    weights: np.ndarray  # [B, T]


def pool_forward(hidden, mask, mode="mean"):
    """hidden [B, T, H], mask [B, T] bool -> vectors [B, H], cache"""
    mask = np.asarray(mask, dtype=bool)
    weights = mask.astype(hidden.dtype) / np.maximum(mask.sum(axis=1, keepdims=True), 1).astype(hidden.dtype)
    if mode == "cls":
        weights = np.zeros_like(weights)
        weights[:, 0] = 1
    return (hidden * weights[..., None]).sum(axis=1), PoolCache(weights)


def pool_backward(dvectors, cache):
    """dvectors [B, H] -> dhidden [B, T, H]"""
    return cache.weights[..., None] * dvectors[:, None, :]


class NormalizeCache(NamedTuple):
    y: np.ndarray  # [B, H]
    length: np.ndarray  # [B, 1]


def normalize_forward(x):
    """x [B, H] -> y [B, H] with rows of length 1, cache"""
    length = np.sqrt(row_dots(x, x))[:, None]
    y = x / length
    return y, NormalizeCache(y, length)


def normalize_backward(dy, cache):
    """dy [B, H] -> dx [B, H]"""
    return (dy - cache.y * row_dots(dy, cache.y)[:, None]) / cache.length
