"""Random words in a text, so that a student meets the whole vocabulary of its teacher.

A training text has only some of the words, and few of their neighbours. A teacher has an answer for any text, even one
without sense, so each word may be replaced with probability `share` by a random piece of the vocabulary. Teacher and
student read the changed text. Special tokens such as [CLS] are neither replaced nor drawn.

TinyBERT's data augmentation (Jiao et al., 2020, "TinyBERT: Distilling BERT for Natural Language Understanding") has the
same purpose; it draws likely words where we draw any.
"""

import functools

import numpy as np

from .wordpiece import SPECIAL_TOKENS


@functools.lru_cache(maxsize=2)
def ordinary_pieces(tokenizer):
    """Which pieces text consists of, all but [PAD], [unused1] and the like -> [V] bool"""
    return np.array([piece not in SPECIAL_TOKENS and not piece.startswith("[unused") for piece in tokenizer.vocab])


def replace_words(input_ids, attention_mask, tokenizer, share, rng):
    """Replace each ordinary token with probability `share`.

    input_ids [B, T] int32, attention_mask [B, T] bool; share: from 0 to 1; rng: a NumPy generator
    -> a copy of input_ids
    """
    ordinary, changed = ordinary_pieces(tokenizer), input_ids.copy()
    chosen = attention_mask & ordinary[input_ids] & (rng.random(input_ids.shape) < share)
    if chosen.any():
        changed[chosen] = rng.choice(np.flatnonzero(ordinary), int(chosen.sum()))
    return changed
