"""Lesson 19 as a student would write it; never part of a student edition. Mutants are made from these."""

import math

import numpy as np

from minimobilebert.distillation.attention_transfer import attention_transfer_backward
from minimobilebert.model.self_attention import Projections


def relation_scores_backward(dscores, cache):
    x = cache.query
    batch, tokens, width = x.shape
    heads = dscores.shape[1]
    depth = width // heads
    split = x.reshape(batch, tokens, heads, depth).transpose(0, 2, 1, 3)
    keys = cache.mask[:, None, None, :]
    ds = np.where(keys, dscores, dscores.dtype.type(0))
    both = ds + ds.swapaxes(-1, -2)
    dsplit = both @ split
    dsplit = dsplit * x.dtype.type(1.0 / math.sqrt(depth))
    return dsplit.transpose(0, 2, 1, 3).reshape(batch, tokens, width)


def relation_transfer_backward(dloss, cache):
    gradients = []
    share = dloss / len(cache.relations)
    for relation, transfer in zip(cache.relations, cache.transfers, strict=True):
        dscores = attention_transfer_backward(share, transfer)
        gradients.append(relation_scores_backward(dscores, relation))
    return Projections(*gradients)


def normalize_backward(dy, cache):
    y, length, eps = cache
    along = (dy * y).sum(axis=-1, keepdims=True)
    along = np.where(length > eps, along, dy.dtype.type(0))
    return (dy - y * along) / length


def direction_transfer_backward(dloss, cache):
    count = max(len(cache.teacher), 1)
    dn = -float(dloss) / count * cache.teacher
    return normalize_backward(dn, cache.normalization)
