"""The scores of all spans of one window, and the best ones.

    score(i, k) = start[i] + end[i + k]        piece i is the first, piece i + k the last; 0 <= k < max_answer_length

The table has a row for each first piece and a column for each length: the band of all (first, last) pairs in which a
span is not too long and does not end before its start.
"""

import numpy as np


def span_scores(starts, ends, allowed, max_answer_length):
    """starts, ends [n]: logits of a window's pieces; allowed [n] bool -> [n, max_answer_length]: score(i, i + k)

    -inf if an answer may not start at piece i, or if the window ends before i + k
    """
    padded = np.concatenate([ends, np.full(max_answer_length, -np.inf)])
    end_scores = np.lib.stride_tricks.sliding_window_view(padded, max_answer_length)[: len(ends)]
    return np.where(allowed[:, None], starts[:, None] + end_scores, -np.inf)


def best_spans(scores, count):
    """-> flat indices of the `count` best scores above -inf, best first; ties in ascending order of the index"""
    flat = scores.ravel()
    least = np.partition(flat, -count)[-count] if count < len(flat) else -np.inf
    found = np.flatnonzero((flat >= least) & (flat > -np.inf))
    return found[np.argsort(-flat[found], kind="stable")][:count]
