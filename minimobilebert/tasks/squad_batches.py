"""Batches of SQuAD windows, padded to the longest row of the batch; rows of like length go together.

A window of 100 pieces beside one of 384 would be three quarters padding. So training takes the shuffled windows by
`pool` batches at a time, sorts these by length, cuts them into batches, and shuffles the batches.
"""

import functools
from typing import NamedTuple

import numpy as np

from ..text.batches import assemble_pairs

_ORDER_STREAM, _POOL_STREAM = 411, 412
_POOL = 64


class SquadBatch(NamedTuple):
    input_ids: np.ndarray  # [B, T] int32
    token_type_ids: np.ndarray  # [B, T] int32, 0 for [CLS] question [SEP] and padding, 1 for window [SEP]
    attention_mask: np.ndarray  # [B, T] bool, True = real token
    starts: np.ndarray  # [B] int32, place of the answer's first piece; None without labels
    ends: np.ndarray  # [B] int32, of its last piece; None without labels
    windows: np.ndarray  # [B] int64, which windows of the features these are


def make_batch(features, windows):
    """The windows with these numbers, [B] int64, as one SquadBatch"""
    input_ids, token_type_ids, attention_mask = assemble_pairs(
        features.pieces,
        features.question_spans[features.window_questions[windows]],
        features.window_spans[windows],
        features.tokenizer,
        int(features.lengths[windows].max()),
    )
    labels = [None if places is None else places[windows] for places in (features.starts, features.ends)]
    return SquadBatch(input_ids, token_type_ids, attention_mask, *labels, windows)


def _check(batch_size):
    if batch_size < 1:
        raise ValueError(f"batch_size: found {batch_size}, expected at least 1")


class SquadBatches:
    """Endless training batches: `batches(step)` -> SquadBatch, the same for the same (seed, step).

    The windows are one endless row, shuffled anew for every epoch; `pool` batches are the next `pool * batch_size`.
    """

    def __init__(self, features, batch_size, seed):
        _check(batch_size)
        if features.starts is None:
            raise ValueError("found a dataset read for scoring, expected one read with training=True")
        self.features, self.batch_size, self.seed = features, batch_size, seed
        self.lengths = features.lengths
        self.pool = min(_POOL, max(1, features.counts.windows // batch_size))  # of different windows, if it can be
        self._order = functools.lru_cache(maxsize=2)(self._shuffle)
        self._batches = functools.lru_cache(maxsize=1)(self._pool_batches)

    def _shuffle(self, epoch):
        return np.random.default_rng([self.seed, _ORDER_STREAM, epoch]).permutation(len(self.lengths))

    def _pool_batches(self, number):
        """-> [pool, batch_size] int64, numbers of windows"""
        size = self.pool * self.batch_size
        epochs, places = np.divmod(np.arange(number * size, (number + 1) * size), len(self.lengths))
        windows = np.concatenate([self._order(int(e))[places[epochs == e]] for e in np.unique(epochs)])
        windows = windows[np.argsort(self.lengths[windows], kind="stable")].reshape(self.pool, self.batch_size)
        return np.random.default_rng([self.seed, _POOL_STREAM, number]).permutation(windows)

    def __call__(self, step):
        number, place = divmod(step, self.pool)
        return make_batch(self.features, self._batches(number)[place])


def all_squad_batches(features, batch_size):
    """Every window once, the longest rows first: an iterator of SquadBatch; the last one may be smaller."""
    _check(batch_size)
    order = np.argsort(-features.lengths, kind="stable")
    return (make_batch(features, order[i : i + batch_size]) for i in range(0, len(order), batch_size))
