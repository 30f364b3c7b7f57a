"""The trigram input: the embedding of each token, concatenated with those of its two neighbours (Section 3.1).

    y[t] = [x[t+1], x[t], x[t-1]]        zeros beyond both ends; next, current, previous, as in the released code

With the dense layer behind it (3E -> H), this is a convolution of kernel size 3 over the embeddings. It makes up for
a small embedding size (E = 128; the hidden size is 512).

Backward: x[t] occurs in three outputs, so its gradient is a sum of three terms.

    dx[t] = dy_next[t-1] + dy_current[t] + dy_previous[t+1]
"""

import numpy as np


def trigram_forward(x):
    """x [B, T, E] -> y [B, T, 3E], cache (None: the backward needs only dy)"""
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
