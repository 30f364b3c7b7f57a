"""A made-up language for the walkthroughs that train a model: small enough for seconds, and not trivial.

It has 24 words, and word n is followed by word n + 1 (24 by 1 again):

    [ 3  4  5  6  7  8 | 9 10 11 12 13 14 ]      the second half goes on counting: the next sentence
    [ 3  4  5  6  7  8 |20 21 22 23 24  1 ]      or starts anywhere: a random one

So a masked word can be told from its neighbours, and the kind of a pair from the words at the border.
"""

import numpy as np

from ..config import ModelConfig
from .batches import PretrainingBatch

TEXTS, TOKENS = 16, 12
_MASK, _WORD, _WORDS = 4, 5, 24  # the ids of [MASK] and of word 0; the number of words


def small_teacher(activation="gelu_tanh"):
    """An inverted-bottleneck BERT of two layers for this language, without dropout -> ModelConfig"""
    return ModelConfig(
        vocab_size=_WORD + _WORDS, hidden_size=32, embedding_size=16, intra_bottleneck_size=32, intermediate_size=64,
        num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=16, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, use_bottleneck=True, trigram_input=True, hidden_act=activation,
    )  # fmt: skip


def counting_texts(rng):
    """TEXTS texts of two halves with two masked words in each -> PretrainingBatch"""
    half = TOKENS // 2
    start, random = rng.integers(0, _WORDS, (TEXTS, 1)), rng.integers(0, 2, TEXTS)
    jump = random[:, None] * rng.integers(1, _WORDS, (TEXTS, 1))
    second = np.arange(TOKENS) >= half
    ids = (_WORD + (start + np.arange(TOKENS) + second * jump) % _WORDS).astype(np.int32)
    columns = np.stack([rng.integers(1, half - 1, TEXTS), rng.integers(half + 1, TOKENS - 1, TEXTS)], axis=1)
    positions = (np.arange(TEXTS)[:, None] * TOKENS + columns).reshape(-1)
    labels = ids.reshape(-1)[positions].copy()
    ids.reshape(-1)[positions] = _MASK
    segments = np.broadcast_to(second, ids.shape).astype(np.int32)
    return PretrainingBatch(ids, segments, np.ones(ids.shape, bool), positions, labels, random.astype(np.int32))
