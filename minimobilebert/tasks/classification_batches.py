"""Labelled texts, or pairs of texts, as the model reads them, and batches of them.

A batch is padded to its own longest row. All rows lie in one flat array, so that 400,000 pairs take 100 MB, not
gigabytes of Python numbers.
"""

from typing import NamedTuple

import numpy as np

from ..text.encoding import encode_pair
from .length_batches import sorted_batches


class ClassificationBatch(NamedTuple):
    input_ids: np.ndarray  # [B, T] int32
    token_type_ids: np.ndarray  # [B, T] int32, 1 for the second text
    attention_mask: np.ndarray  # [B, T] bool, True = real token
    labels: np.ndarray | None  # [B] int32 classes, or float32 where a number is to be predicted


class LabelledTexts(NamedTuple):
    ids: np.ndarray  # [all tokens] int32, one text behind the other
    token_type_ids: np.ndarray  # [all tokens] int8
    starts: np.ndarray  # [N + 1] int64: text n is ids[starts[n] : starts[n + 1]]
    labels: np.ndarray | None  # [N] int32 or float32; None where nobody knows them
    pad_id: int
    cut: int  # how many texts were too long

    @property
    def lengths(self):
        """[N] int64, pieces of each text, with [CLS] and [SEP]"""
        return np.diff(self.starts)

    @property
    def arrays(self):
        """What the texts are made of: two sets are the same where these are"""
        return [self.ids, self.token_type_ids, self.starts, *([] if self.labels is None else [self.labels])]

    def batch(self, rows):
        """The texts with these numbers as one ClassificationBatch."""
        starts, stops = self.starts[rows], self.starts[np.add(rows, 1)]
        lengths = stops - starts
        attention_mask = np.arange(lengths.max()) < lengths[:, None]
        places = np.concatenate([np.arange(a, b) for a, b in zip(starts, stops, strict=True)])
        input_ids = np.full(attention_mask.shape, self.pad_id, np.int32)
        token_type_ids = np.zeros(attention_mask.shape, np.int32)
        input_ids[attention_mask] = self.ids[places]
        token_type_ids[attention_mask] = self.token_type_ids[places]
        labels = None if self.labels is None else self.labels[rows]
        return ClassificationBatch(input_ids, token_type_ids, attention_mask, labels)


def encode_texts(tokenizer, firsts, seconds, labels, max_length):
    """Texts, or pairs where `seconds` is not None, and their labels or None -> LabelledTexts

    Labels that are whole numbers are classes, others are numbers to predict. A text too long loses its end.
    """
    seconds = [None] * len(firsts) if seconds is None else seconds
    ids, types, lengths, cut = [], [], [], 0
    for first, second in zip(firsts, seconds, strict=True):
        encoding = encode_pair(tokenizer, first, second, max_length=max_length)
        ids.append(np.array(encoding.ids, np.int32))
        types.append(np.array(encoding.token_type_ids, np.int8))
        lengths.append(len(encoding.ids))
        cut += any(encoding.cut)
    if labels is not None:
        labels = np.asarray(labels)
        labels = labels.astype(np.float32 if labels.dtype.kind == "f" else np.int32)
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    empty = [np.zeros(0, np.int32)]
    return LabelledTexts(np.concatenate(ids or empty), np.concatenate(types or empty).astype(np.int8), starts, labels,
                         tokenizer.pad_id, cut)  # fmt: skip


def all_batches(texts, batch_size):
    """Every text once, the longest first: list of ClassificationBatch, the last one may be smaller."""
    return [texts.batch(rows) for rows in sorted_batches(texts.lengths, batch_size)]
