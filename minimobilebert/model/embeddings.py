"""The embedding layer with factorisation and trigrams (Section 3.1; "3-convolution" in Table 1).

    1. e = word_embeddings[ids]                   [B, T, E]
    2. e = [e[t+1], e[t], e[t-1]]                 [B, T, 3E]     if trigram_input
    3. x = e W^T + b                              [B, T, H]      if trigram_input or E != H
    4. x = x + token_type_embeddings[segment] + position_embeddings[t]
    5. x = Norm(x)
    6. x = dropout(x)

The trigram does not mask padding: the last real token reads the [PAD] vector after it, as in the released model.
"""

from typing import Any, NamedTuple

import numpy as np

from ..ops.dropout import dropout_backward, dropout_forward
from ..ops.embedding import embedding_backward, embedding_forward
from ..ops.trigram import trigram_backward, trigram_forward
from .layers import dense, dense_backward, norm, norm_backward


class EmbeddingsCache(NamedTuple):
    words: Any  # step 1
    transformation: Any  # step 3, None without it
    token_types: Any  # step 4
    norm: Any  # step 5
    dropout: Any  # step 6


def embeddings_forward(params, config, input_ids, token_type_ids, rng=None):
    """input_ids, token_type_ids [B, T] -> x [B, T, H], cache. ValueError if T exceeds the position table."""
    tokens = input_ids.shape[1]
    if tokens > config.max_position_embeddings:
        raise ValueError(
            f"sequence length: found {tokens}, expected at most {config.max_position_embeddings} (the position table)"
        )
    name = f"{config.prefix}.embeddings"
    x, words = embedding_forward(input_ids, params[f"{name}.word_embeddings.weight"])
    if config.trigram_input:
        x, _ = trigram_forward(x)
    transformation = None
    if config.has_embedding_transformation:
        x, transformation = dense(params, f"{name}.embedding_transformation", x)
    segments, token_types = embedding_forward(token_type_ids, params[f"{name}.token_type_embeddings.weight"])
    x = x + segments + params[f"{name}.position_embeddings.weight"][:tokens]
    x, norm_cache = norm(params, f"{name}.LayerNorm", x, config)
    x, dropout = dropout_forward(x, config.hidden_dropout_prob, rng)
    return x, EmbeddingsCache(words, transformation, token_types, norm_cache, dropout)


def embeddings_backward(dx, cache, grads, config):
    """Reverse of `embeddings_forward`; dx [B, T, H]. Writes the gradients of the embedding parameters to `grads`."""
    name = f"{config.prefix}.embeddings"
    dx = dropout_backward(dx, cache.dropout)
    dx = norm_backward(dx, cache.norm, grads, f"{name}.LayerNorm", config)
    grads[f"{name}.token_type_embeddings.weight"] = embedding_backward(dx, cache.token_types)
    dpositions = np.zeros((config.max_position_embeddings, dx.shape[-1]), dx.dtype)
    dpositions[: dx.shape[1]] = dx.sum(axis=0)
    grads[f"{name}.position_embeddings.weight"] = dpositions
    if config.has_embedding_transformation:
        dx = dense_backward(dx, cache.transformation, grads, f"{name}.embedding_transformation")
    if config.trigram_input:
        dx = trigram_backward(dx, None)
    grads[f"{name}.word_embeddings.weight"] = embedding_backward(dx, cache.words)
