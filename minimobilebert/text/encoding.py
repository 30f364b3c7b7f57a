"""A text, or a pair of texts, as the model reads it, and a batch of them.

[CLS] A [SEP]             token types 0 0 0
[CLS] A [SEP] B [SEP]     token types 0 0 0 1 1
"""

from typing import NamedTuple

import numpy as np

TRUNCATIONS = ("longest_first", "only_first", "only_second")


class Encoding(NamedTuple):
    """One text or pair of N pieces, [CLS] and [SEP] included."""

    ids: list  # of N int
    token_type_ids: list  # of N int, 0 up to the first [SEP], 1 behind it
    special_tokens_mask: list  # of N bool, True at [CLS] and [SEP]
    cut: tuple  # how many pieces of A and of B were left out to keep within max_length


def _lengths(first, second, room, truncation):
    """How many pieces of A and of B are kept."""
    if first + second <= room:
        return first, second
    if truncation == "only_first":
        kept = room - second, second
    elif truncation == "only_second":
        kept = first, room - first
    else:
        # The longer one is cut down to the shorter one; then both get half. An odd piece goes to the longer one, or to B.
        short, long = sorted((first, second))
        kept = (short, room - short) if short <= room // 2 else (room // 2, room - room // 2)
        kept = kept[::-1] if first > second else kept
    return kept


def encode_pair(tokenizer, first, second=None, *, max_length=None, truncation="longest_first"):
    """first: str, second: str or None -> Encoding of at most `max_length` pieces"""
    a = tokenizer.encode(first)
    b = [] if second is None else tokenizer.encode(second)
    frame = 2 if second is None else 3
    keep_a, keep_b = len(a), len(b)
    if max_length is not None:
        keep_a, keep_b = _lengths(len(a), len(b), max_length - frame, truncation)
    ids = [tokenizer.cls_id, *a[:keep_a], tokenizer.sep_id]
    special = [True, *[False] * keep_a, True]
    types = [0] * len(ids)
    if second is not None:
        ids += [*b[:keep_b], tokenizer.sep_id]
        special += [*[False] * keep_b, True]
        types += [1] * (keep_b + 1)
    return Encoding(ids, types, special, (len(a) - keep_a, len(b) - keep_b))


def pad_batch(encodings, pad_id):
    """list of B Encoding, padded to the longest

    -> input_ids [B, T] int32, token_type_ids [B, T] int32, attention_mask [B, T] bool, True = real token
    """
    lengths = np.array([len(e.ids) for e in encodings])
    attention_mask = np.arange(lengths.max())[None] < lengths[:, None]  # [B, T]
    input_ids = np.full(attention_mask.shape, pad_id, np.int32)
    token_type_ids = np.zeros(attention_mask.shape, np.int32)
    input_ids[attention_mask] = np.concatenate([e.ids for e in encodings])
    token_type_ids[attention_mask] = np.concatenate([e.token_type_ids for e in encodings])
    return input_ids, token_type_ids, attention_mask
