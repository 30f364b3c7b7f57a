"""Batches of labelled single texts: [CLS] text [SEP] [PAD] ..., and the class of each."""

import functools
from typing import NamedTuple

import numpy as np

_ORDER_STREAM = 401


class ClassificationBatch(NamedTuple):
    input_ids: np.ndarray  # [B, T] int32
    token_type_ids: np.ndarray  # [B, T] int32, all 0
    attention_mask: np.ndarray  # [B, T] bool, True = real token
    labels: np.ndarray  # [B] int32


class LabelledTexts(NamedTuple):
    input_ids: np.ndarray  # [N, T] int32, padded to T
    lengths: np.ndarray  # [N] int64, real tokens of each text, with [CLS] and [SEP]
    labels: np.ndarray  # [N] int32

    def batch(self, numbers):
        """The texts with these numbers as one ClassificationBatch."""
        input_ids = self.input_ids[numbers]
        attention_mask = np.arange(input_ids.shape[1]) < self.lengths[numbers, None]
        return ClassificationBatch(input_ids, np.zeros_like(input_ids), attention_mask, self.labels[numbers])


def encode_labelled_texts(texts, labels, tokenizer, sequence_length):
    """Texts (list of str) and their classes (list of int) -> LabelledTexts; a text too long loses its end."""
    if sequence_length < 3:
        raise ValueError(f"sequence_length: found {sequence_length}, expected at least 3 ([CLS] text [SEP])")
    input_ids = np.full((len(texts), sequence_length), tokenizer.pad_id, np.int32)
    lengths = np.zeros(len(texts), np.int64)
    for row, text in enumerate(texts):
        ids = [tokenizer.cls_id, *tokenizer.encode(text)[: sequence_length - 2], tokenizer.sep_id]
        input_ids[row, : len(ids)] = ids
        lengths[row] = len(ids)
    return LabelledTexts(input_ids, lengths, np.array(labels, np.int32))


class ClassificationBatches:
    """Endless training batches: `batches(step)` -> ClassificationBatch, the same for the same (seed, step).

    The texts are one endless row, shuffled anew for every epoch; batch `step` is the next `batch_size` of them.
    """

    def __init__(self, texts, batch_size, seed):
        if batch_size < 1:
            raise ValueError(f"batch_size: found {batch_size}, expected at least 1")
        if len(texts.labels) == 0:
            raise ValueError("found no labelled text, expected at least one")
        self.texts, self.batch_size, self.seed = texts, batch_size, seed
        self._order = functools.lru_cache(maxsize=2)(self._shuffle)

    def _shuffle(self, epoch):
        return np.random.default_rng([self.seed, _ORDER_STREAM, epoch]).permutation(len(self.texts.labels))

    def __call__(self, step):
        row = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, places = np.divmod(row, len(self.texts.labels))
        numbers = np.concatenate([self._order(int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)])
        return self.texts.batch(numbers)


def all_batches(texts, batch_size):
    """Every text once, in order: list of ClassificationBatch, the last one may be smaller."""
    return [
        texts.batch(np.arange(start, min(start + batch_size, len(texts.labels))))
        for start in range(0, len(texts.labels), batch_size)
    ]
