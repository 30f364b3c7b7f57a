"""The trigram input: each token's vector beside those of its two neighbours (Section 3.1).

    y[t] = [x[t+1], x[t], x[t-1]]        zeros past either end; the order next, current, previous is the paper's code's

A dense layer after it (3E -> H) makes this a convolution of width 3 over the embeddings. Thanks to it the
word table can be thin (E = 128 instead of 1024).

Backward: x[t] was used three times, so three gradients meet.

    dx[t] = dy_next[t-1] + dy_current[t] + dy_previous[t+1]
"""

import numpy as np


def trigram_forward(x):
    """x [B, T, E] -> y [B, T, 3E], cache (None: the backward needs nothing but dy)"""
    size = x.shape[-1]
    y = np.zeros((*x.shape[:-1], 3 * size), x.dtype)
    y[:, :-1, :size] = x[:, 1:]
    y[:, :, size : 2 * size] = x
    y[:, 1:, 2 * size :] = x[:, :-1]
    return y, None


def trigram_backward(dy, cache):
    """dy [B, T, 3E] -> dx [B, T, E]"""
    size = dy.shape[-1] // 3
    dx = dy[:, :, size : 2 * size].copy()
    dx[:, 1:] += dy[:, :-1, :size]
    dx[:, :-1] += dy[:, 1:, 2 * size :]
    return dx
