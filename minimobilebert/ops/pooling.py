"""Pooling: the hidden states of a text's tokens become one vector, for sentence embeddings.

m[b, t] is 1 at real tokens and 0 at padding. With hidden states h [B, T, H]:

    mean    v[b] = sum_t m[b, t] h[b, t] / n[b]            n[b] = sum_t m[b, t], the number of real tokens
    cls     v[b] = h[b, 0]                                 the first token is [CLS]
    max     v[b, j] = max of h[b, t, j] over real tokens   each feature on its own

Backward. Each mode says which tokens a vector was made of, and the gradient goes back to them:

    mean    dh[b, t] = m[b, t] / n[b] dv[b]                every real token gets an equal share
    cls     dh[b, 0] = dv[b]
    max     dh[b, t, j] = dv[b, j] at the token t that has the maximum, the first one in a tie

Normalisation to length 1 makes the dot product of two vectors their cosine similarity:

    1. s = max_j |x_j|                                     1 for a vector of zeros
    2. r = s sqrt(sum_j (x_j / s)^2)                       the length of x
    3. y = x / max(r, eps)

Step 1 keeps the squares in range. The activations of a NoNorm model reach 1e7, and nothing bounds them; in float32 the
square of 1e20 is infinite, and that of 1e-23 is 0. After the division by s the largest square is 1.

Backward, from dr/dx_j = x_j / r = y_j. A change along y only changes the length, so that part of dy is removed:

    dx = (dy - y sum_j dy_j y_j) / r                       where r > eps
    dx = dy / eps                                          below, where y is x / eps
"""

from typing import NamedTuple

import numpy as np

from .sums import row_dots

POOLINGS = ("mean", "cls", "max")


class PoolCache(NamedTuple):
    mode: str
    mask: np.ndarray  # [B, T] bool
    chosen: np.ndarray | None  # [B, 1, H] the token that has the maximum; only of "max"
    features: int  # H


class NormalizeCache(NamedTuple):
    y: np.ndarray  # [..., H]
    length: np.ndarray  # [..., 1] max(r, eps)
    eps: float


def _check(hidden, mask, mode):
    if mode not in POOLINGS:
        raise ValueError(f"pooling: found {mode!r}, expected one of {', '.join(POOLINGS)}")
    if mask.shape != hidden.shape[:2]:
        raise ValueError(f"attention_mask: found shape {mask.shape}, expected {hidden.shape[:2]}")
    if not mask.any(axis=1).all():
        raise ValueError(f"attention_mask: found no token in row {int(np.argmin(mask.any(axis=1)))}, expected one")


def _token_counts(mask, dtype):
    """mask [B, T] -> the number of real tokens [B, 1]"""
    return mask.sum(axis=1, keepdims=True).astype(dtype)


def pool_forward(hidden, mask, mode):
    """hidden [B, T, H], mask [B, T] bool, mode: one of POOLINGS -> vectors [B, H], cache"""
    mask = np.asarray(mask, dtype=bool)
    _check(hidden, mask, mode)
    chosen = None
    if mode == "mean":
        vectors = np.zeros((hidden.shape[0], hidden.shape[2]), hidden.dtype)
        for t in range(hidden.shape[1]):  # in this order on every machine
            vectors += np.where(mask[:, t, None], hidden[:, t], hidden.dtype.type(0))
        vectors /= _token_counts(mask, hidden.dtype)
    elif mode == "cls":
        vectors = hidden[:, 0].copy()
    else:
        real = np.where(mask[:, :, None], hidden, hidden.dtype.type(-np.inf))
        chosen = real.argmax(axis=1)[:, None]
        vectors = np.take_along_axis(hidden, chosen, axis=1)[:, 0]
    return vectors, PoolCache(mode, mask, chosen, hidden.shape[2])


def pool_backward(dvectors, cache):
    """dvectors [B, H] -> dhidden [B, T, H]"""
    dhidden = np.zeros((*cache.mask.shape, cache.features), dvectors.dtype)
    if cache.mode == "mean":
        share = dvectors / _token_counts(cache.mask, dvectors.dtype)
        np.copyto(dhidden, share[:, None], where=cache.mask[:, :, None])
    elif cache.mode == "cls":
        dhidden[:, 0] = dvectors
    else:
        np.put_along_axis(dhidden, cache.chosen, dvectors[:, None], axis=1)
    return dhidden


def normalize_forward(x, eps=1e-12):
    """x [..., H] -> y [..., H] of length 1, cache. A vector of zeros remains one."""
    largest = np.abs(x).max(axis=-1, keepdims=True)
    s = np.where(largest == 0, x.dtype.type(1), largest)  # step 1
    z = x / s
    r = s * np.sqrt(row_dots(z, z))[..., None]  # step 2
    length = np.maximum(r, x.dtype.type(eps))
    y = x / length  # step 3
    return y, NormalizeCache(y, length, eps)


def normalize_backward(dy, cache):
    """dy [..., H] -> dx [..., H]"""
    along = row_dots(dy, cache.y)[..., None]
    along = np.where(cache.length > cache.eps, along, dy.dtype.type(0))  # below eps the length is a constant
    return (dy - cache.y * along) / cache.length
