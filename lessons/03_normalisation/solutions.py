"""Lesson 03 as a student would write it; never part of a student edition. Mutants are made from these."""

from minimobilebert.ops.nonorm import NoNormCache


def nonorm_forward(x, weight, bias):
    return weight * x + bias, NoNormCache(x, weight)


def nonorm_backward(dy, cache):
    tokens = tuple(range(dy.ndim - 1))
    dx = dy * cache.weight
    dweight = (dy * cache.x).sum(axis=tokens)
    dbias = dy.sum(axis=tokens)
    return dx, dweight, dbias
