"""The sum of all parts' gradients, on every rank: reduce-scatter, then all-gather.

Each rank has the sums of some nodes of the tree (fixed_tree.py), as one flat array of n numbers for each node. With N
ranks the array is cut into N segments, and rank r is responsible for segment r:

    1. reduce-scatter   every rank sends segment r of its nodes to rank r, which adds them along the tree
    2. all-gather       rank r sends the finished segment r to every rank

      rank 0   [a0 a1 a2]       [a0+b0+c0         ]       [s0 s1 s2]
      rank 1   [b0 b1 b2]  -1-> [     a1+b1+c1    ]  -2-> [s0 s1 s2]
      rank 2   [c0 c1 c2]       [         a2+b2+c2]       [s0 s1 s2]

Every rank sends and receives 2 n (N - 1) / N numbers, as much as in a ring (if its parts are one node).

    "deterministic"   every number is added in the order of the tree: the bits do not depend on N
    "fast"            each rank adds its own nodes, and MPI's Allreduce adds the ranks in an order of its own
    "bfloat16"        as "deterministic", with numbers rounded to bfloat16 while they travel, which halves the traffic;
                      sums stay float32. What travels depends on N, and so do the bits.
"""

import itertools

import numpy as np

from ..ops.bfloat16 import rounded
from .fixed_tree import nodes_inside, tree_sum

DETERMINISTIC, FAST, BFLOAT16 = REDUCTIONS = ("deterministic", "fast", "bfloat16")


def parts_of_rank(rank, ranks, parts):
    """The parts that a rank computes -> first, stop; neighbours, and almost as many on each rank"""
    return rank * parts // ranks, (rank + 1) * parts // ranks


def _packed(array):
    """float32 -> the upper halves of the numbers rounded to bfloat16, [n] uint16"""
    return (rounded(array).view(np.uint32) >> 16).astype(np.uint16)


def _unpacked(halves):
    """[n] uint16 -> float32"""
    return (halves.astype(np.uint32) << 16).view(np.float32)


def _travel(communicator, outgoing, incoming, packed):
    """`communicator.exchange` of float arrays; packed: as bfloat16"""
    if not packed:
        communicator.exchange(outgoing, incoming)
        return
    halves = [np.empty(array.shape, np.uint16) for _, array in incoming]
    communicator.exchange(
        [(rank, _packed(array)) for rank, array in outgoing],
        [(rank, array) for (rank, _), array in zip(incoming, halves, strict=True)],
    )
    for (_, array), half in zip(incoming, halves, strict=True):
        array[...] = _unpacked(half)


def _sum_of_nodes(nodes):
    arrays = list(nodes.values())
    total = arrays[0]
    for array in arrays[1:]:
        total += array
    return total


def reduce(communicator, nodes, parts, size, how=DETERMINISTIC):
    """The sum over all parts, on every rank -> [n]

    nodes: {(low, high): [n]}, this rank's nodes of the tree; they are overwritten; empty for a rank without a part
    parts: how many there are on all ranks; size: (n, dtype)
    """
    if communicator.size == 1:
        return tree_sum(0, parts, lambda *node: nodes.get(node))
    length, dtype = size
    if how == FAST:
        total = _sum_of_nodes(nodes) if nodes else np.zeros(length, dtype)
        communicator.all_reduce(total)
        return total
    rank, ranks = communicator.rank, communicator.size
    packed = how == BFLOAT16 and dtype == np.float32
    edges = [number * length // ranks for number in range(ranks + 1)]
    segments = [slice(start, stop) for start, stop in itertools.pairwise(edges)]
    others = [other for other in range(ranks) if other != rank]

    known = {node: array[segments[rank]] for node, array in nodes.items()}
    theirs = {
        node: (other, np.empty(edges[rank + 1] - edges[rank], dtype))
        for other in others for node in nodes_inside(*parts_of_rank(other, ranks, parts), 0, parts)
    }  # fmt: skip
    outgoing = [(other, array[segments[other]]) for other in others for array in nodes.values()]
    _travel(communicator, outgoing, list(theirs.values()), packed)
    known |= {node: array for node, (_, array) in theirs.items()}
    segment = tree_sum(0, parts, lambda *node: known.get(node))

    total = np.empty(length, dtype)
    total[segments[rank]] = rounded(segment) if packed else segment  # every rank must have the same numbers
    outgoing = [(other, total[segments[rank]]) for other in others]
    _travel(communicator, outgoing, [(other, total[segments[other]]) for other in others], packed)
    return total
