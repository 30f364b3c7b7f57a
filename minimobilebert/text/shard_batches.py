"""Training batches from prepared text: a pure function of (seed, step), in bounded memory.

A random order of 100 million rows would take a gigabyte for each epoch, and its rows would come from everywhere on the
disk. So we shuffle twice:

    1. blocks of BLOCK neighbouring rows, with (seed, epoch)            [7 ...][2 ...][9 ...][0 ...] ...
    2. windows of about WINDOW rows of this order, with (seed, epoch, window)
                                                                        |- window 0 -|- window 1 -| ...

and in a window, batches of similar lengths (length_batches.py). Each epoch has each row once. A text of up to WINDOW
rows is one window: its order is completely random.
"""

import functools
from typing import NamedTuple

import numpy as np

from .encoding import Encoding, pad_batch
from .length_batches import POOL, pooled_batches

BLOCK, WINDOW = 4096, 2**18  # rows
_BLOCK_STREAM, _WINDOW_STREAM = 501, 502


class InputBatch(NamedTuple):
    input_ids: np.ndarray  # [B, T] int32: [CLS] text [SEP] [PAD] ...
    token_type_ids: np.ndarray  # [B, T] int32, 0
    attention_mask: np.ndarray  # [B, T] bool, True = real token


class ShardBatches:
    """Endless training batches of a TextShards: `batches(step)` -> InputBatch.

    A text is cut to `max_length` pieces, including [CLS] and [SEP]. The last batch of an epoch's last pool may be
    smaller. steps_per_epoch: batches in which each row occurs once
    """

    def __init__(self, shards, seed, batch_size, max_length):
        """ValueError for a batch_size below 1 or a max_length below 3."""
        for name, value, least in (("batch_size", batch_size, 1), ("max_length", max_length, 3)):
            if value < least:
                raise ValueError(f"{name}: found {value}, expected at least {least}")
        self.shards, self.seed, self.batch_size, self.max_length = shards, seed, batch_size, max_length
        pool = POOL * batch_size
        self._window_rows = max(1, WINDOW // pool) * pool  # whole batches, so that all epochs have as many
        self.steps_per_epoch = -(-shards.rows // batch_size)
        self._blocks = functools.lru_cache(2)(self._shuffled_blocks)
        self._window = functools.lru_cache(2)(self._shuffled_window)

    def _shuffled_blocks(self, epoch):
        """-> first row of each block in random order, position behind each block in this order"""
        starts = BLOCK * np.random.default_rng([self.seed, _BLOCK_STREAM, epoch]).permutation(
            -(-self.shards.rows // BLOCK)
        )
        return starts, np.cumsum(np.minimum(BLOCK, self.shards.rows - starts))

    def _rows_between(self, epoch, start, stop):
        """The rows in positions start to stop of the order of blocks"""
        starts, stops = self._blocks(epoch)
        first, last = np.searchsorted(stops, [start, stop - 1], side="right")
        blocks = [np.arange(a, min(a + BLOCK, self.shards.rows)) for a in starts[first : last + 1]]
        before = stops[first] - len(blocks[0])
        return np.concatenate(blocks)[start - before : stop - before]

    def _shuffled_window(self, epoch, window):
        """The batches of a window -> list of arrays of rows"""
        start = window * self._window_rows
        rows = self._rows_between(epoch, start, min(start + self._window_rows, self.shards.rows))
        rng = np.random.default_rng([self.seed, _WINDOW_STREAM, epoch, window])
        lengths = np.minimum(self.shards.lengths(rows), self.max_length - 2)
        order = rng.permutation(len(rows))
        return pooled_batches(rows[order], lengths[order], self.batch_size, rng)

    def rows(self, step):
        """The rows of batch `step`."""
        epoch, index = divmod(step, self.steps_per_epoch)
        window, index = divmod(index, self._window_rows // self.batch_size)
        return self._window(epoch, window)[index]

    def __call__(self, step):
        return self.batch(self.rows(step))

    def batch(self, rows):
        """The rows with these numbers as one InputBatch."""
        tokenizer, encodings = self.shards.tokenizer, []
        for text in self.shards.texts(rows):
            ids = [tokenizer.cls_id, *text[: self.max_length - 2], tokenizer.sep_id]
            encodings.append(Encoding(ids, [0] * len(ids), None, None, None))
        return InputBatch(*pad_batch(encodings, tokenizer.pad_id))
