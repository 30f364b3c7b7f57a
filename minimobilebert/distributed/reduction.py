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
    "ring"            the same with the ring of ring.py instead of Allreduce: lesson 22 writes it by hand
    "bfloat16"        as "deterministic", with numbers rounded to bfloat16 while they travel, which halves the traffic;
                      sums stay float32. What travels depends on N, and so do the bits.

Nothing here waits before `wait`: a rank can compute while its numbers travel (overlap.py). A ring starts there only.
"""

from typing import NamedTuple

import numpy as np

from ..ops.bfloat16 import rounded
from .fixed_tree import nodes_inside, tree_sum
from .ring import ring_all_reduce, segments_of

DETERMINISTIC, FAST, RING, BFLOAT16 = REDUCTIONS = ("deterministic", "fast", "ring", "bfloat16")


class Numbers(NamedTuple):
    """What all ranks add: how many numbers, of which type, from how many parts, in which way."""

    length: int
    dtype: np.dtype
    parts: int
    how: str = DETERMINISTIC


def parts_of_rank(rank, ranks, parts):
    """The parts that a rank computes -> first, stop; neighbours, and almost as many on each rank"""
    return rank * parts // ranks, (rank + 1) * parts // ranks


def _packed(array):
    """float32 -> the upper halves of the numbers rounded to bfloat16, [n] uint16"""
    return (rounded(array).view(np.uint32) >> 16).astype(np.uint16)


def _unpacked(halves):
    """[n] uint16 -> float32"""
    return (halves.astype(np.uint32) << 16).view(np.float32)


class _Travel:
    """Arrays on their way; packed: as bfloat16"""

    def __init__(self, communicator, outgoing, incoming, packed, tag):
        self._incoming, self._halves = incoming, None
        if packed:
            outgoing = [(rank, _packed(array)) for rank, array in outgoing]
            self._halves = [(rank, np.empty(array.shape, np.uint16)) for rank, array in incoming]
        self._pending = communicator.start(outgoing, self._halves if packed else incoming, tag)
        self.done = self._pending.done

    def wait(self):
        self._pending.wait()
        if self._halves is not None:
            for (_, array), (_, halves) in zip(self._incoming, self._halves, strict=True):
                array[...] = _unpacked(halves)


class _AroundTheRing:
    """An array that travels when somebody waits for it: each turn of a ring needs the one before"""

    def __init__(self, communicator, array):
        self._communicator, self._array = communicator, array

    def done(self):
        return False

    def wait(self):
        ring_all_reduce(self._communicator, self._array)


class Reduction:
    """One sum over all ranks. It starts at once; `advance()` now and then keeps it moving, `wait()` gives the sum.

    nodes: {(low, high): [length]}, this rank's nodes of the tree; empty for a rank without a part
    numbers: Numbers; tag: another one for each sum that is on its way at the same time, the same on all ranks, and even
    """

    def __init__(self, communicator, nodes, numbers, tag=0):
        self._communicator, self._numbers, self._tag = communicator, numbers, tag
        self._segment = self._total = self._gathering = None
        self._packed = numbers.how == BFLOAT16 and numbers.dtype == np.float32
        ranks = communicator.size
        self._segments = segments_of(numbers.length, ranks)
        self._others = [other for other in range(ranks) if other != communicator.rank]
        if numbers.how in (FAST, RING) and ranks > 1:
            self._total = total = _sum_of_nodes(nodes, numbers)
            is_ring = numbers.how == RING
            self._travel = _AroundTheRing(communicator, total) if is_ring else communicator.start_all_reduce(total)
            self._gathering = self._travel
        else:
            self._scatter(nodes)

    def _scatter(self, nodes):
        """Phase 1: send each rank its segment of this rank's nodes"""
        rank, ranks, parts = self._communicator.rank, self._communicator.size, self._numbers.parts
        own = self._segments[rank]
        self._known = {node: array[own] for node, array in nodes.items()}
        arriving = {
            node: (other, np.empty(own.stop - own.start, self._numbers.dtype))
            for other in self._others for node in nodes_inside(*parts_of_rank(other, ranks, parts), 0, parts)
        }  # fmt: skip
        outgoing = [(other, array[self._segments[other]]) for other in self._others for array in nodes.values()]
        self._travel = _Travel(self._communicator, outgoing, list(arriving.values()), self._packed, self._tag)
        self._known |= {node: array for node, (_, array) in arriving.items()}

    def _gather(self):
        """Phase 2: add the own segment along the tree, and send it to all"""
        self._travel.wait()
        segment = tree_sum(0, self._numbers.parts, lambda *node: self._known.get(node))
        if not self._others:
            self._total = segment
            self._gathering = self._travel
            return
        own = self._segments[self._communicator.rank]
        self._total = np.empty(self._numbers.length, self._numbers.dtype)
        self._total[own] = rounded(segment) if self._packed else segment  # every rank must have the same numbers
        self._gathering = _Travel(
            self._communicator, [(other, self._total[own]) for other in self._others],
            [(other, self._total[self._segments[other]]) for other in self._others], self._packed, self._tag + 1,
        )  # fmt: skip

    def advance(self):
        """Start phase 2 if phase 1 has arrived; does not wait"""
        if self._gathering is None:
            if self._travel.done():
                self._gather()
        else:
            self._gathering.done()

    def wait(self):
        """-> the sum over all parts, [length]"""
        if self._gathering is None:
            self._gather()
        self._gathering.wait()
        return self._total


def _sum_of_nodes(nodes, numbers):
    """The sum of this rank's nodes, one after the other; 0 if it has none"""
    total = None
    for array in nodes.values():
        total = array if total is None else total + array
    return np.zeros(numbers.length, numbers.dtype) if total is None else total
