"""All spans of one window at once: their scores, and the best of them.

    score(i, k) = start[i] + end[i + k]        piece i is the first, piece i + k the last; 0 <= k < max_answer_length

A row for each first piece, a column for each length: a band of the table of all pairs, without those that end before
they begin or are too long.
"""

import numpy as np


def span_scores(starts, ends, allowed, max_answer_length):
    """starts, ends [n]: logits of a window's pieces; allowed [n] bool -> [n, max_answer_length]: score(i, i + k)

    -inf where piece i may not begin an answer or the window ends before i + k
    """
    after = np.concatenate([ends, np.full(max_answer_length, -np.inf)])
    reach = np.lib.stride_tricks.sliding_window_view(after, max_answer_length)[: len(ends)]
    return np.where(allowed[:, None], starts[:, None] + reach, -np.inf)


def best_spans(scores, count):
    """-> flat indices of the `count` best that are not -inf, best first; equal ones in their order"""
    flat = scores.ravel()
    least = np.partition(flat, -count)[-count] if count < len(flat) else -np.inf
    found = np.flatnonzero((flat >= least) & (flat > -np.inf))
    return found[np.argsort(-flat[found], kind="stable")][:count]
