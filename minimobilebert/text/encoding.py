"""Encode a text or a pair of texts as the model's input, and pad encodings to a batch.

    pieces          [CLS]  a1 a2 ... [SEP]  b1 b2 ... [SEP]
    token types       0     0  0       0     1  1       1

Truncation removes pieces at the end of a text, never [CLS] or [SEP]. With `room` pieces for A and B together:

    longest_first   truncate the longer text to the length of the other, then both to room / 2 (transformers' default)
    only_first      truncate A to room - |B|
    only_second     truncate B to room - |A|; for a question and its paragraph
"""

import numbers
from typing import NamedTuple

import numpy as np

TRUNCATIONS = ("longest_first", "only_first", "only_second")


class Encoding(NamedTuple):
    """A text or a pair of texts as N pieces, including [CLS] and [SEP]."""

    ids: list  # of N int
    token_type_ids: list  # of N int, 0 up to the first [SEP], then 1
    special_tokens_mask: list  # of N bool, True at [CLS] and [SEP]
    offsets: list  # of N (start, stop): the piece's characters in its text; (0, 0) at [CLS] and [SEP]
    cut: tuple  # (number of pieces cut from A, number of pieces cut from B)


def _check(first, second, max_length, truncation):
    for name, text in (("first", first), ("second", second)):
        if not isinstance(text, str) and (name == "first" or text is not None):
            raise ValueError(f"{name}: found {type(text).__name__}, expected str")
    if truncation not in TRUNCATIONS:
        raise ValueError(f"truncation: found {truncation!r}, expected one of {', '.join(TRUNCATIONS)}")
    if truncation == "only_second" and second is None:
        raise ValueError("truncation: found 'only_second' and no second text, expected two texts")
    frame = 2 if second is None else 3
    if max_length is not None and not (isinstance(max_length, numbers.Integral) and max_length >= frame):
        raise ValueError(f"max_length: found {max_length!r}, expected an integer of at least {frame} ([CLS], [SEP])")


def kept_pieces(first, second, room, truncation="longest_first"):
    """Numbers of pieces after truncation -> (int, int), together at most `room`; first, second: numbers before it

    If `room` is odd, the longer text keeps one piece more, or B if they are equally long. ValueError if the text that
    may be truncated would lose all its pieces.
    """
    if first + second <= room:
        return first, second
    if truncation == "longest_first":
        shorter = min(first, second, room // 2)
        return (room - shorter, shorter) if first > second else (shorter, room - shorter)
    other, name = (second, "second") if truncation == "only_first" else (first, "first")
    if room <= other > 0:
        raise ValueError(
            f"max_length: found room for {room} pieces, expected more than the {other} of the {name} text, "
            f"which {truncation} does not cut"
        )
    return (room - other, other) if truncation == "only_first" else (other, room - other)


def encode_pair(tokenizer, first, second=None, *, max_length=None, truncation="longest_first"):
    """[CLS] first [SEP], or [CLS] first [SEP] second [SEP] -> Encoding

    first: str; second: str, or None for one text; max_length: the maximum number of pieces, including [CLS] and [SEP],
    or None for no limit; truncation: one of TRUNCATIONS. ValueError for an invalid argument.
    """
    _check(first, second, max_length, truncation)
    texts = [tokenizer.encode_with_offsets(text) for text in (first, second) if text is not None]
    lengths = [len(ids) for ids, _ in texts] + [0] * (second is None)
    room = sum(lengths) if max_length is None else max_length - 1 - len(texts)
    kept = kept_pieces(*lengths, room, truncation)

    ids, types, special, offsets = [tokenizer.cls_id], [0], [True], [(0, 0)]
    for number, ((text_ids, text_offsets), length) in enumerate(zip(texts, kept, strict=False)):
        ids += [*text_ids[:length], tokenizer.sep_id]
        types += [number] * (length + 1)
        special += [*[False] * length, True]
        offsets += [*text_offsets[:length], (0, 0)]
    return Encoding(ids, types, special, offsets, (lengths[0] - kept[0], lengths[1] - kept[1]))


def pad_batch(encodings, pad_id):
    """Pad B encodings with `pad_id` to the length of the longest

    encodings: list of B Encoding
    -> input_ids [B, T] int32, token_type_ids [B, T] int32 (0 at padding), attention_mask [B, T] bool, True = real token
    """
    if not encodings:
        raise ValueError("encodings: found none, expected at least one")
    lengths = np.array([len(encoding.ids) for encoding in encodings])
    attention_mask = np.arange(lengths.max()) < lengths[:, None]
    input_ids = np.full(attention_mask.shape, pad_id, np.int32)
    token_type_ids = np.zeros(attention_mask.shape, np.int32)
    input_ids[attention_mask] = np.concatenate([encoding.ids for encoding in encodings])
    token_type_ids[attention_mask] = np.concatenate([encoding.token_type_ids for encoding in encodings])
    return input_ids, token_type_ids, attention_mask
