"""Embeddings and a stack of L blocks. Hidden state 0 is the embedding output; hidden state l + 1 that of block l.

Attention transfer, feature-map transfer and relation transfer have a loss for each layer. The forward therefore returns
what each layer computes, and the backward accepts a gradient for each of it.
"""

from typing import NamedTuple

import numpy as np

from .block import block_backward, block_forward
from .embeddings import EmbeddingsCache, embeddings_backward, embeddings_forward
from .self_attention import AttentionGradients, Projections


class EncoderCache(NamedTuple):
    embeddings: EmbeddingsCache
    blocks: list  # of BlockCache, one for each block that ran
    output: np.ndarray  # [B, T, H] the last hidden state


class EncoderOutput(NamedTuple):
    hidden_states: list  # of [B, T, H]; entry 0 is the embedding output, the last entry the encoder's output
    attention_scores: list  # of [B, A, T, T], before softmax; entry l belongs to block l
    attention_maps: list  # of [B, A, T, T], after softmax
    projections: list = []  # of Projections; entry l has the queries, keys and values of block l


def encoder_forward(
    params, config, input_ids, token_type_ids, attention_mask, *, num_layers=None, rng=None, keep_scores=True
):
    """Run the embeddings and the lowest `num_layers` blocks (all of them if None).

    input_ids, token_type_ids [B, T] integers; attention_mask [B, T] bool; rng None: no dropout;
    keep_scores False: the attention scores in the output are None, which saves one [B, A, T, T] per block
    -> EncoderOutput, EncoderCache
    """
    mask = np.ascontiguousarray(attention_mask, dtype=bool)
    x, embeddings = embeddings_forward(params, config, input_ids, token_type_ids, rng)
    hidden_states, blocks = [x], []
    for layer in range(config.num_hidden_layers if num_layers is None else num_layers):
        x, cache = block_forward(params, config, layer, x, mask, rng, keep_scores)
        hidden_states.append(x)
        blocks.append(cache)
    maps = [cache.self_attention.attention for cache in blocks]
    output = EncoderOutput(
        hidden_states,
        [m.scores for m in maps],
        [m.probabilities for m in maps],
        [Projections(m.query, m.key, m.value) for m in maps],
    )
    return output, EncoderCache(embeddings, blocks, x)


def encoder_backward(
    dhidden_states, cache, grads, config, *, dscores=None, dprojections=None, train_embeddings=True
):  # fmt: skip
    """Reverse of `encoder_forward`.

    dhidden_states {index into hidden_states: [B, T, H]}; dscores {layer: [B, A, T, T]} or None;
    dprojections {layer: Projections} or None: gradients of the queries, keys and values
    Writes all gradients to `grads`. With `train_embeddings=False` the embedding layer gets none.
    """
    dattention = dict(dscores or {})
    for layer, gradients in (dprojections or {}).items():
        dattention[layer] = AttentionGradients(dattention.get(layer), gradients)
    top = len(cache.blocks)
    dx = dhidden_states.get(top)
    if dx is None:  # attention transfer alone has no gradient for the last hidden state
        dx = np.zeros_like(cache.output)
    for layer in reversed(range(top)):
        dx = block_backward(dx, cache.blocks[layer], grads, config, layer, dattention.get(layer))
        if layer in dhidden_states:
            dx = dx + dhidden_states[layer]
    if train_embeddings:
        embeddings_backward(dx, cache.embeddings, grads, config)
