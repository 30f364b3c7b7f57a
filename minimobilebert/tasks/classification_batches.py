"""Labelled texts or pairs of texts as model input, and batches of them.

A batch is padded to the length of its longest row. All rows are stored in one flat array: 400,000 pairs take 100 MB,
while lists of Python integers would take gigabytes.
"""

from typing import NamedTuple

import numpy as np

from ..text.encoding import encode_pair
from ..text.length_batches import sorted_batches


class ClassificationBatch(NamedTuple):
    input_ids: np.ndarray  # [B, T] int32
    token_type_ids: np.ndarray  # [B, T] int32, 1 for the second text
    attention_mask: np.ndarray  # [B, T] bool, True = real token
    labels: np.ndarray | None  # [B] int32 classes, or float32 for regression


class LabelledTexts(NamedTuple):
    ids: np.ndarray  # [all tokens] int32, the concatenated texts
    token_type_ids: np.ndarray  # [all tokens] int8
    starts: np.ndarray  # [N + 1] int64: text n is ids[starts[n] : starts[n + 1]]
    labels: np.ndarray | None  # [N] int32 or float32; None for a test set
    pad_id: int
    cut: int  # the number of truncated texts

    @property
    def lengths(self):
        """[N] int64, number of pieces of each text, including [CLS] and [SEP]"""
        return np.diff(self.starts)

    @property
    def arrays(self):
        """All arrays of the set, for its fingerprint"""
        return [self.ids, self.token_type_ids, self.starts, *([] if self.labels is None else [self.labels])]

    def batch(self, rows):
        """The texts with these indices as one ClassificationBatch."""
        starts, stops = self.starts[rows], self.starts[np.add(rows, 1)]
        lengths = stops - starts
        attention_mask = np.arange(lengths.max()) < lengths[:, None]
        indices = np.concatenate([np.arange(a, b) for a, b in zip(starts, stops, strict=True)])
        input_ids = np.full(attention_mask.shape, self.pad_id, np.int32)
        token_type_ids = np.zeros(attention_mask.shape, np.int32)
        input_ids[attention_mask] = self.ids[indices]
        token_type_ids[attention_mask] = self.token_type_ids[indices]
        labels = None if self.labels is None else self.labels[rows]
        return ClassificationBatch(input_ids, token_type_ids, attention_mask, labels)


def _apart(tokenizer, first, second, max_length):
    """A pair whose texts are read apart: each has `max_length` pieces -> ids, token types, whether one was cut"""
    a, b = (encode_pair(tokenizer, text, None, max_length=max_length) for text in (first, second))
    ids = [*a.ids, *b.ids[1:]]  # [CLS] a [SEP] b [SEP]
    return ids, [int(n >= len(a.ids)) for n in range(len(ids))], any(a.cut) or any(b.cut)


def _together(tokenizer, first, second, max_length):
    """A text, or a pair in one sequence of `max_length` pieces -> ids, token types, whether it was cut"""
    encoding = encode_pair(tokenizer, first, second, max_length=max_length)
    return encoding.ids, encoding.token_type_ids, any(encoding.cut)


def encode_texts(tokenizer, firsts, seconds, labels, max_length, apart=False, prompt=""):
    """Encode texts, or pairs if `seconds` is not None, with their labels or None -> LabelledTexts

    Integer labels are classes; float labels are targets of a regression. Texts are truncated to `max_length`, pairs in
    all, or each text if they are read `apart`; prompt: a sentence encoder's, before each text
    """
    seconds = [None] * len(firsts) if seconds is None else seconds
    ids, types, lengths, cut = [], [], [], 0
    for first, second in zip(firsts, seconds, strict=True):
        encode = _apart if apart and second is not None else _together
        found = encode(tokenizer, prompt + first, None if second is None else prompt + second, max_length)
        ids.append(np.array(found[0], np.int32))
        types.append(np.array(found[1], np.int8))
        lengths.append(len(found[0]))
        cut += found[2]
    if labels is not None:
        labels = np.asarray(labels)
        labels = labels.astype(np.float32 if labels.dtype.kind == "f" else np.int32)
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    empty = [np.zeros(0, np.int32)]
    return LabelledTexts(np.concatenate(ids or empty), np.concatenate(types or empty).astype(np.int8), starts, labels,
                         tokenizer.pad_id, cut)  # fmt: skip


def all_batches(texts, batch_size):
    """All texts once, the longest first -> list of ClassificationBatch; the last one may be smaller"""
    return [texts.batch(rows) for rows in sorted_batches(texts.lengths, batch_size)]
