"""Lesson 02 as a student would write it; never part of a student edition. Mutants are made from these."""

from minimobilebert.ops.linear import LinearCache


def linear_forward(x, weight, bias, residual=None):
    y = x @ weight.T
    if bias is not None:
        y = y + bias
    if residual is not None:
        y = y + residual
    return y, LinearCache(x, weight, bias is not None)


def linear_backward(dy, cache):
    rows = dy.reshape(-1, dy.shape[-1])
    x = cache.x.reshape(-1, cache.x.shape[-1])
    dx = dy @ cache.weight
    dweight = rows.T @ x
    dbias = rows.sum(axis=0) if cache.has_bias else None
    return dx, dweight, dbias
