"""A context longer than the model reads it: overlapping windows, and which of them knows most about a word piece.

    windows           (0, room), (stride, room), (2 stride, room), ... until one reaches the end of the context
    context of piece  min(pieces to its left, pieces to its right) in the window + 0.01 window length

Every window begins `stride` pieces behind the one before it, as in BERT's run_squad. A piece may be in several windows;
an answer counts only in the window where its first piece has most context (the first such window if two are equal):
elsewhere the model may see a word, but not the words that explain it.
"""

import numpy as np

BESIDE_THE_QUESTION = 4  # pieces that a window needs at least: [CLS], two [SEP] and a piece of the context


def windows_of(pieces, room, stride):
    """Windows of at most `room` pieces over so many -> list of (first, length); one empty window for no pieces."""
    windows = [(0, min(pieces, room))]
    while sum(windows[-1]) < pieces:
        # A stride wider than the window would leave pieces out.
        first = windows[-1][0] + min(room, stride)
        windows.append((first, min(pieces - first, room)))
    return windows


def max_context(pieces, windows):
    """-> for each window, bool [length]: has the piece its most context here? Each piece has it in one window."""
    best, owner = np.full(pieces, -np.inf), np.zeros(pieces, np.int64)
    for number, (first, length) in enumerate(windows):
        here, place = slice(first, first + length), np.arange(length)
        context = np.minimum(place, length - 1 - place) + 0.01 * length
        better = context > best[here]  # of equal ones the first window stays
        best[here][better], owner[here][better] = context[better], number
    return [owner[first : first + length] == number for number, (first, length) in enumerate(windows)]
