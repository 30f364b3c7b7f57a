"""Lesson 22 as a student would write it; never part of a student edition. Mutants are made from these."""

import numpy as np

from minimobilebert.distributed.communicator import exchange
from minimobilebert.distributed.fixed_tree import halves
from minimobilebert.distributed.ring import segments_of
from minimobilebert.model.parts import WHOLE, Part, Shares, _rows, bounds


def cut_batch(batch, parts):
    rows = len(batch.input_ids)
    if parts == 1 or rows < 2:
        return [Part(batch, WHOLE)]
    edges = bounds(rows, parts)
    pieces = [_rows(batch, edges[part], edges[part + 1]) for part in range(len(edges) - 1)]
    table = []
    for piece in pieces:
        examples = len(piece.input_ids)
        tokens = int(piece.attention_mask.sum())
        words = len(piece.masked_labels) if hasattr(piece, "masked_labels") else 0
        pairs = examples * (examples - 1)
        table.append((examples, tokens, words, pairs))
    totals = [max(sum(column), 1) for column in zip(*table, strict=True)]
    cut = []
    for piece, counts in zip(pieces, table, strict=True):
        shares = [count / total for count, total in zip(counts, totals, strict=True)]
        cut.append(Part(piece, Shares(*shares)))
    return cut


def tree_sum(low, high, known, add=np.add):
    found = known(low, high)
    if found is not None:
        return found
    left, right = halves(low, high)
    first = tree_sum(*left, known, add)
    second = tree_sum(*right, known, add)
    return add(first, second)


def ring_reduce_scatter(communicator, array):
    rank, ranks = communicator.rank, communicator.size
    segments = segments_of(len(array), ranks)
    number = rank - 1
    for _ in range(ranks - 1):
        outgoing = array[segments[number % ranks]]
        number -= 1
        own = array[segments[number % ranks]]
        arrived = np.zeros_like(own)
        exchange(communicator, [((rank + 1) % ranks, outgoing)], [((rank - 1) % ranks, arrived)])
        own += arrived


def ring_all_gather(communicator, array):
    rank, ranks = communicator.rank, communicator.size
    segments = segments_of(len(array), ranks)
    number = rank
    for _ in range(ranks - 1):
        outgoing = array[segments[number % ranks]]
        number -= 1
        incoming = array[segments[number % ranks]]
        exchange(communicator, [((rank + 1) % ranks, outgoing)], [((rank - 1) % ranks, incoming)])
