"""Length bucketing: batches of rows with similar lengths, because padding takes as much time as text.

    1. shuffle all rows with (seed, epoch)
    2. split them into pools of POOL batches; sort each pool by length and split it into batches
    3. shuffle the batches with (seed, epoch)

Each epoch has each row once. If we only sorted by length, all epochs would have the same batches. A batch is a pure
function of (seed, step), so a checkpoint needs no generator state. The last batch of a pool may be smaller.
"""

import functools

import numpy as np

POOL = 32  # batches; a larger pool has less padding, but its batches differ less between epochs
_ORDER_STREAM = 401


def sorted_batches(lengths, batch_size):
    """Batches of all rows, the longest first, so that a batch that does not fit into memory fails at once

    lengths [N] -> list of arrays of row indices; the last one may be smaller
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def pooled_batches(rows, lengths, batch_size, rng):
    """Steps 2 and 3: batches of similar lengths in random order

    rows [N]: row indices in random order; lengths [N]: those of the rows, in the same order
    -> list of arrays of row indices
    """
    size, batches = POOL * batch_size, []
    for start in range(0, len(rows), size):
        pool = slice(start, start + size)
        batches += [rows[pool][part] for part in sorted_batches(lengths[pool], batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


class TrainingBatches:
    """Endless training batches: `batches(step)` -> `examples.batch(rows)`, a pure function of (seed, step).

    examples: an object with `lengths` [N] and `batch(rows)`. ValueError if it is empty or batch_size is below 1.
    """

    def __init__(self, examples, batch_size, seed):
        if batch_size < 1:
            raise ValueError(f"batch_size: found {batch_size}, expected at least 1")
        if len(examples.lengths) == 0:
            raise ValueError("found no example to train on, expected at least one")
        self.examples, self.batch_size, self.seed = examples, batch_size, seed
        self._epoch = functools.lru_cache(maxsize=2)(self._order)

    @property
    def steps_per_epoch(self):
        return -(-len(self.examples.lengths) // self.batch_size)

    def _order(self, epoch):
        rng = np.random.default_rng([self.seed, _ORDER_STREAM, epoch])
        rows = rng.permutation(len(self.examples.lengths))
        return pooled_batches(rows, self.examples.lengths[rows], self.batch_size, rng)

    def rows(self, step):
        """The row indices of batch `step`."""
        epoch, index = divmod(step, self.steps_per_epoch)
        return self._epoch(epoch)[index]

    def __call__(self, step):
        return self.examples.batch(self.rows(step))
