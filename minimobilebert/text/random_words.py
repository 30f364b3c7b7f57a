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
    """The ids of all pieces that text can contain, without [PAD], [unused1] and the like -> [N] int32"""
    special = {tokenizer.id_of(token) for token in SPECIAL_TOKENS}
    unused = {index for index, piece in enumerate(tokenizer.vocab) if piece.startswith("[unused")}
    return np.array(sorted(set(range(tokenizer.vocab_size)) - special - unused), np.int32)


def replace_words(input_ids, attention_mask, tokenizer, share, rng):
    """Replace each ordinary token with probability `share`.

    input_ids [B, T] int32, attention_mask [B, T] bool; share: from 0 to 1; rng: a NumPy generator
    -> a copy of input_ids
    """
    chosen = attention_mask & (rng.random(input_ids.shape) < share)
    chosen &= ~np.isin(input_ids, [tokenizer.id_of(token) for token in SPECIAL_TOKENS])
    changed, pieces = input_ids.copy(), ordinary_pieces(tokenizer)
    if chosen.any():
        changed[chosen] = pieces[rng.integers(len(pieces), size=int(chosen.sum()))]
    return changed
