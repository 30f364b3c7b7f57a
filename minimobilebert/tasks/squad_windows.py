"""Overlapping windows of a context that is longer than the model's input, and the maximum context of each piece.

    windows           (0, room), (stride, room), (2 stride, room), ... until one reaches the end of the context
    context of piece  min(pieces to its left, pieces to its right) in the window + 0.01 window length

Each window starts `stride` pieces after the previous one, as in BERT's run_squad. A piece may be in several windows. An
answer counts only in the window in which its first piece has maximum context (in a tie the first such window), because
there the model sees the most text around it.
"""

import numpy as np

BESIDE_THE_QUESTION = 4  # the least number of other pieces in a row: [CLS], two [SEP] and one of the context


def windows_of(pieces, room, stride):
    """Windows of at most `room` pieces that cover `pieces` pieces -> list of (start, length), at least one window"""
    windows = [(0, min(pieces, room))]
    while sum(windows[-1]) < pieces:
        # A stride larger than the window would skip pieces.
        start = windows[-1][0] + min(room, stride)
        windows.append((start, min(pieces - start, room)))
    return windows


def max_context(pieces, windows):
    """-> for each window, bool [length]: True if this window has the maximum context of the piece; one per piece"""
    best, owner = np.full(pieces, -np.inf), np.zeros(pieces, np.int64)
    for number, (start, length) in enumerate(windows):
        window, index = slice(start, start + length), np.arange(length)
        context = np.minimum(index, length - 1 - index) + 0.01 * length
        better = context > best[window]  # in a tie the first window is the maximum
        best[window][better], owner[window][better] = context[better], number
    return [owner[start : start + length] == number for number, (start, length) in enumerate(windows)]
