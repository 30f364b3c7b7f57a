"""Which rows stand together in a batch: rows of about the same length, because padding costs as much time as text.

    epoch e     all rows, shuffled by (seed, e)
    pools       of POOL batches each; inside a pool the rows are sorted by length and cut into batches
    batches     shuffled by (seed, e)

So every epoch sees every row once, in other company each time, and a batch is a pure function of (seed, step): a
resumed run needs no saved generator. The last batch of a pool may be smaller.
"""

import functools

import numpy as np

POOL = 32  # batches; with more of them less is padded, and company changes less from epoch to epoch
_ORDER_STREAM = 401


def sorted_batches(lengths, batch_size):
    """Every row once, the longest first, so that what does not fit into memory shows at once

    lengths [N] -> list of arrays of row numbers, the last one may be smaller
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


class TrainingBatches:
    """Endless training batches: `batches(step)` -> `examples.batch(rows)`, the same for the same (seed, step).

    examples: anything with `lengths` [N] and `batch(rows)`; ValueError where it is empty or batch_size is no size
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
        size = POOL * self.batch_size
        batches = []
        for start in range(0, len(rows), size):
            pool = rows[start : start + size]
            batches += [pool[part] for part in sorted_batches(self.examples.lengths[pool], self.batch_size)]
        return [batches[i] for i in rng.permutation(len(batches))]

    def rows(self, step):
        """The numbers of the rows of batch `step`."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return self._epoch(epoch)[place]

    def __call__(self, step):
        return self.examples.batch(self.rows(step))
