"""Pre-training batches. A batch is a pure function of (seed, step), so a checkpoint needs no generator state."""

import functools
from typing import NamedTuple

import numpy as np

from .masking import mask_tokens

_ORDER_STREAM, _MASK_STREAM, _EVALUATION_STREAM = 301, 302, 303


class PretrainingBatch(NamedTuple):
    input_ids: np.ndarray  # [B, T] int32, with masked words
    token_type_ids: np.ndarray  # [B, T] int32, 0 for [CLS] A [SEP] and padding, 1 for B [SEP]
    attention_mask: np.ndarray  # [B, T] bool, True = real token
    masked_positions: np.ndarray  # [M] int64, b * T + t, ascending
    masked_labels: np.ndarray  # [M] int32, the original pieces
    next_sentence_labels: np.ndarray  # [B] int32, 0 = B follows A, 1 = B is random


def assemble_pairs(pieces, a_spans, b_spans, tokenizer, sequence_length):
    """[CLS] A [SEP] B [SEP] [PAD] ... for many pairs at once.

    pieces [N] int32; a_spans, b_spans [B, 2] (start, stop in pieces)
    -> input_ids [B, T] int32, token_type_ids [B, T] int32, attention_mask [B, T] bool
    """
    t = np.arange(sequence_length)  # [T], against which the columns [B, 1] broadcast
    a_length = (a_spans[:, 1] - a_spans[:, 0])[:, None]
    b_length = (b_spans[:, 1] - b_spans[:, 0])[:, None]
    first_separator = 1 + a_length
    last_separator = first_separator + 1 + b_length

    in_a = (t >= 1) & (t < first_separator)
    in_b = (t > first_separator) & (t < last_separator)
    source = np.where(in_a, a_spans[:, :1] + t - 1, b_spans[:, :1] + t - first_separator - 1)
    input_ids = np.where(in_a | in_b, pieces[np.where(in_a | in_b, source, 0)], np.int32(tokenizer.pad_id))
    input_ids[:, 0] = tokenizer.cls_id
    rows = np.arange(len(a_spans))
    input_ids[rows, first_separator[:, 0]] = tokenizer.sep_id
    input_ids[rows, last_separator[:, 0]] = tokenizer.sep_id
    token_type_ids = ((t > first_separator) & (t <= last_separator)).astype(np.int32)
    return input_ids, token_type_ids, t <= last_separator


def _make_batch(examples, numbers, tokenizer, sequence_length, max_predictions, rng):
    input_ids, token_type_ids, attention_mask = assemble_pairs(
        examples.pieces, examples.a_spans[numbers], examples.b_spans[numbers], tokenizer, sequence_length
    )
    input_ids, positions, labels = mask_tokens(input_ids, attention_mask, tokenizer, max_predictions, rng)
    return PretrainingBatch(
        input_ids, token_type_ids, attention_mask, positions, labels, examples.next_sentence_labels[numbers]
    )


def _check(examples, batch_size, sequence_length, max_predictions):
    for name, value in (("batch_size", batch_size), ("max_predictions", max_predictions)):
        if value < 1:
            raise ValueError(f"{name}: found {value}, expected at least 1")
    if len(examples.next_sentence_labels) == 0:
        raise ValueError("found no sentence pair, expected text of at least two sentences")
    if examples.sequence_length > sequence_length:
        raise ValueError(
            f"sequence_length: found {sequence_length}, expected at least {examples.sequence_length}, "
            "the length the examples were made for"
        )


class PretrainingBatches:
    """Endless training batches: `batches(step)` -> PretrainingBatch, a pure function of (seed, step).

    The examples form an endless sequence, in a new random order for each epoch. Batch `step` has the next `batch_size`
    of them and may cross the boundary of two epochs. Each step draws new masks (dynamic masking).
    """

    def __init__(self, examples, tokenizer, batch_size, sequence_length, max_predictions, seed):
        """ValueError if there are no examples or they were made for a longer sequence."""
        _check(examples, batch_size, sequence_length, max_predictions)
        self.examples, self.tokenizer = examples, tokenizer
        self.batch_size, self.sequence_length, self.max_predictions = batch_size, sequence_length, max_predictions
        self.seed = seed
        self._order = functools.lru_cache(maxsize=2)(self._shuffle)

    @property
    def examples_per_epoch(self):
        return len(self.examples.next_sentence_labels)

    def _shuffle(self, epoch):
        return np.random.default_rng([self.seed, _ORDER_STREAM, epoch]).permutation(self.examples_per_epoch)

    def __call__(self, step):
        row = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, offsets = np.divmod(row, self.examples_per_epoch)
        numbers = np.concatenate([self._order(int(epoch))[offsets[epochs == epoch]] for epoch in np.unique(epochs)])
        rng = np.random.default_rng([self.seed, _MASK_STREAM, step])
        return _make_batch(self.examples, numbers, self.tokenizer, self.sequence_length, self.max_predictions, rng)


def evaluation_batches(examples, tokenizer, batch_size, sequence_length, max_predictions, seed, count=None):
    """A fixed list of batches with fixed masks, so that the scores of two models are comparable.

    The examples are in random order, each once; the last batch may be smaller. count: the maximum number of batches.
    """
    _check(examples, batch_size, sequence_length, max_predictions)
    rng = np.random.default_rng([seed, _EVALUATION_STREAM])
    order = rng.permutation(len(examples.next_sentence_labels))
    starts = range(0, len(order), batch_size)[:count]
    return [
        _make_batch(examples, order[start : start + batch_size], tokenizer, sequence_length, max_predictions, rng)
        for start in starts
    ]
