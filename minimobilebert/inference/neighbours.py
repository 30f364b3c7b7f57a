"""Which texts are most alike? The cosine of every two vectors, without ever keeping all of them.

    cosine(i, j) = vectors[i] . vectors[j]       the vectors have length 1

N texts have N^2 cosines: 20,000 texts, 1.6 GB. A block of rows at a time is compared with all, and only the nearest of
each row are kept, so memory grows with N.
"""

import numpy as np

from ..support.terminal import progress_bar

_BLOCK = 1 << 22  # cosines at a time
_DIGITS = 6  # beyond them the order of a product's additions shows, and equal texts would not be equally near


def _best(row, count):
    """row [N] -> places of the `count` largest, largest first; of equal ones the earlier"""
    least = np.partition(row, len(row) - count)[len(row) - count]
    above = np.flatnonzero(row > least)
    found = np.concatenate([above, np.flatnonzero(row == least)[: count - len(above)]])
    return found[np.argsort(-row[found], kind="stable")]


def nearest(vectors, top, block=_BLOCK):
    """vectors [N, H], of length 1 -> places [N, k], cosines [N, k]: the k = min(top, N - 1) nearest others of each"""
    count = len(vectors)
    top = min(top, count - 1)
    places, cosines = np.empty((count, top), np.int64), np.empty((count, top))
    if not top:
        return places, cosines
    rows = max(1, block // count)
    with progress_bar("compare", count, unit="text") as bar:
        for start in range(0, count, rows):
            found = np.round(vectors[start : start + rows] @ vectors.T, _DIGITS)
            for i, row in enumerate(found, start):
                row[i] = -np.inf  # not with itself
                places[i] = _best(row, top)
                cosines[i] = row[places[i]]
            bar.update(steps=len(found))
    return places, cosines
