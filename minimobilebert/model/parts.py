"""A batch in parts, whose gradients add up to those of the whole batch.

A loss is a mean over something: over examples, over real tokens, over masked words. The mean of the parts' means is not
the mean of the batch, because parts have different numbers of tokens and words. Each term of each part is therefore
weighted with the part's share of what the term counts:

    L = 1/N sum_n l_n = sum over the parts of  N_part / N  *  (1/N_part sum over n in the part of l_n)
                                               ^ its share    ^ what a step function computes from the part alone

The gradients of the parts are then added, and nothing is divided. With one part the share is 1.
"""

import itertools
from typing import Any, NamedTuple

import numpy as np


class Shares(NamedTuple):
    """What part of a batch's examples, ... this batch has; 1 for a whole batch."""

    examples: float = 1.0
    tokens: float = 1.0  # real ones
    words: float = 1.0  # masked ones
    pairs: float = 1.0  # of texts inside of one part: similarities of sentence vectors


WHOLE = Shares()


class Part(NamedTuple):
    """What a step function reads of one part."""

    batch: Any  # the same kind of batch, with fewer rows
    shares: Shares


def weighted(share, loss, gradient):
    """A term of the loss and its gradient, for a part with this share of the batch -> loss, gradient"""
    return (loss, gradient) if share == 1.0 else (share * loss, gradient * gradient.dtype.type(share))


def bounds(count, parts):
    """Cut `count` rows into at most `parts` parts of almost equal size, none empty -> [parts + 1] row numbers"""
    parts = max(1, min(count, parts))
    return [part * count // parts for part in range(parts + 1)]


def _rows(batch, start, stop):
    """The rows start to stop of a batch -> the same kind of batch"""
    length = batch.input_ids.shape[1]
    fields = {name: array[start:stop] for name, array in batch._asdict().items()}
    if "masked_positions" in fields:  # the words have arrays of their own: [M], not [B]
        first, last = np.searchsorted(batch.masked_positions, [start * length, stop * length])
        fields["masked_positions"] = batch.masked_positions[first:last] - start * length
        fields["masked_labels"] = batch.masked_labels[first:last]
    return type(batch)(**fields)


def _counts(batch):
    """What the losses count in a batch, in the order of Shares"""
    examples, words = len(batch.input_ids), len(batch._asdict().get("masked_labels", ()))
    return examples, int(batch.attention_mask.sum()), words, examples * (examples - 1)


def cut_batch(batch, parts):
    """Cut a batch into at most `parts` parts, in the order of its rows -> list of Part

    batch: a named tuple with input_ids [B, T], attention_mask [B, T] and other arrays [B, ...]; masked_positions [M],
    masked_labels [M] as in PretrainingBatch
    """
    if parts == 1 or len(batch.input_ids) < 2:
        return [Part(batch, WHOLE)]
    edges = bounds(len(batch.input_ids), parts)
    pieces = [_rows(batch, start, stop) for start, stop in itertools.pairwise(edges)]
    counts = np.array([_counts(piece) for piece in pieces])
    shares = counts / np.maximum(counts.sum(axis=0), 1)
    return [Part(piece, Shares(*row)) for piece, row in zip(pieces, shares.tolist(), strict=True)]
