"""Nearest neighbours by cosine similarity.

    cosine(i, j) = vectors[i] . vectors[j]       the vectors have length 1

N texts have N^2 cosines; for 20,000 texts that is 1.6 GB. We compute a block of rows at a time and keep only the
nearest neighbours of each row, so memory grows with N, not with N^2.
"""

import numpy as np

from ..support.terminal import progress_bar

_BLOCK = 1 << 22  # cosines at a time
_DIGITS = 6  # rounding in the product affects the digits after these, so equal texts could have different cosines


def _best(row, count):
    """row [N] -> indices of the `count` largest numbers, largest first; in a tie the lower index is first"""
    least = np.partition(row, len(row) - count)[len(row) - count]
    above = np.flatnonzero(row > least)
    found = np.concatenate([above, np.flatnonzero(row == least)[: count - len(above)]])
    return found[np.argsort(-row[found], kind="stable")]


def nearest(vectors, top, block=_BLOCK):
    """vectors [N, H], of length 1 -> indices [N, k], cosines [N, k]: the k = min(top, N - 1) nearest others of each"""
    count = len(vectors)
    top = min(top, count - 1)
    indices, cosines = np.empty((count, top), np.int64), np.empty((count, top))
    if not top:
        return indices, cosines
    rows = max(1, block // count)
    with progress_bar("compare", count, unit="text") as bar:
        for start in range(0, count, rows):
            found = np.round(vectors[start : start + rows] @ vectors.T, _DIGITS)
            for i, row in enumerate(found, start):
                row[i] = -np.inf  # a text is not its own neighbour
                indices[i] = _best(row, top)
                cosines[i] = row[indices[i]]
            bar.update(steps=len(found))
    return indices, cosines
