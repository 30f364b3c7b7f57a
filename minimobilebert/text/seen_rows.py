"""Find rows that occurred before, in bounded memory.

A row is known by 64 bits of its hash. We keep the hashes in sorted runs; a run is merged with the one before it as soon
as it is half as long, so that there are few:

    [ 5 7 12 31 40 58 ]  [ 9 33 ]  + [ 2 60 ]   ->   [ 5 7 12 31 40 58 ]  [ 2 9 33 60 ]   ->   [ 2 5 7 9 ... 60 ]

Only the first MOST different rows are remembered. After that, a copy of one of them is still found.
"""

import hashlib

import numpy as np

MOST = 2**25  # rows; 8 bytes each, twice that while two runs are merged


def hashes_of(rows):
    """list of N str -> [N] uint64"""
    digests = [hashlib.blake2b(row.encode("utf-8", "surrogatepass"), digest_size=8).digest() for row in rows]
    return np.frombuffer(b"".join(digests), "<u8")


def _contains(run, values):
    """[N] bool: is the value in the sorted run?"""
    index = np.minimum(np.searchsorted(run, values), len(run) - 1)
    return run[index] == values


class SeenRows:
    """The rows so far: `is_new = seen.add(hashes)`."""

    def __init__(self, most=None):
        self.most = MOST if most is None else most
        self._runs, self.count = [], 0

    @property
    def is_full(self):
        return self.count >= self.most

    def add(self, hashes):
        """hashes [N] -> [N] bool, True for the first row with this hash"""
        values, first = np.unique(hashes, return_index=True)
        known = np.zeros(len(values), bool)
        for run in self._runs:
            known |= _contains(run, values)
        is_new = np.zeros(len(hashes), bool)
        is_new[first[~known]] = True
        self._remember(hashes[is_new][: self.most - self.count])  # the first ones
        return is_new

    def _remember(self, hashes):
        if not len(hashes):
            return
        self.count += len(hashes)
        self._runs.append(np.sort(hashes))
        while len(self._runs) > 1 and 2 * len(self._runs[-1]) >= len(self._runs[-2]):
            merged = np.concatenate([self._runs[-2], self._runs.pop()])
            merged.sort(kind="stable")  # merges two sorted runs
            self._runs[-1] = merged
