"""Lesson 05 as a student would write it; never part of a student edition. Mutants are made from these."""

import numpy as np

from minimobilebert.model.layers import dense_backward, norm_backward
from minimobilebert.ops.dropout import dropout_backward


def trigram_forward(x):
    following, before = np.zeros_like(x), np.zeros_like(x)
    following[:, :-1] = x[:, 1:]
    before[:, 1:] = x[:, :-1]
    return np.concatenate([following, x, before], axis=-1), None


def trigram_backward(dy, cache):
    E = dy.shape[-1] // 3
    dfollowing, dsame, dbefore = dy[..., :E], dy[..., E : 2 * E], dy[..., 2 * E :]
    dx = dsame.copy()
    dx[:, 1:] += dfollowing[:, :-1]
    dx[:, :-1] += dbefore[:, 1:]
    return dx


def embedding_backward(dy, cache):
    dtable = np.zeros((cache.num_rows, dy.shape[-1]), dy.dtype)
    np.add.at(dtable, cache.ids, dy)
    return dtable


def embeddings_backward(dx, cache, grads, config):
    name = f"{config.prefix}.embeddings."
    dx = dropout_backward(dx, cache.dropout)
    dx = norm_backward(dx, cache.norm, grads, name + "LayerNorm", config)
    dpositions = np.zeros((config.max_position_embeddings, dx.shape[-1]), dx.dtype)
    dpositions[: dx.shape[1]] = np.sum(dx, axis=0)
    grads[name + "position_embeddings.weight"] = dpositions
    grads[name + "token_type_embeddings.weight"] = embedding_backward(dx, cache.token_types)
    if cache.transformation is not None:
        dx = dense_backward(dx, cache.transformation, grads, name + "embedding_transformation")
    if config.trigram_input:
        dx = trigram_backward(dx, None)
    grads[name + "word_embeddings.weight"] = embedding_backward(dx, cache.words)
