"""A ring all-reduce: every rank sends to the next one only, and receives from the one before.

The array of n numbers is cut into N segments, one for each rank. In each turn every rank passes one segment on:

    1. reduce-scatter, N - 1 turns   the receiver adds what arrives to its own segment; rank r ends with sum r
    2. all-gather, N - 1 turns       the receiver stores what arrives; every rank ends with all sums

With 3 ranks, whose segments are a0 a1 a2, b0 b1 b2 and c0 c1 c2:

                        before       turn 1          turn 2            turn 3      turn 4
      rank 0  sends                  a2 to rank 1    (c1+a1) to 1      s0          s2
              then has  a0 a1 a2     c1+a1           s0 = (b0+c0)+a0   s0    s2    s0 s1 s2
      rank 1  sends                  b0 to rank 2    (a2+b2) to 2      s1          s0
              then has  b0 b1 b2     a2+b2           s1 = (c1+a1)+b1   s0 s1       s0 s1 s2
      rank 2  sends                  c1 to rank 0    (b0+c0) to 0      s2          s1
              then has  c0 c1 c2     b0+c0           s2 = (a2+b2)+c2      s1 s2    s0 s1 s2

A rank sends one segment in each of 2 (N - 1) turns, 2 n (N - 1) / N numbers in all, however many ranks there are. All
ranks have the same bits at the end, because each sum is computed once. They are not those of another number of ranks:
segment r is added in the order r + 1, r + 2, ..., r.
"""

import itertools

import numpy as np

from .communicator import exchange


def segments_of(length, ranks):
    """Cut `length` numbers into one segment for each rank, of almost equal size; some are empty if length < ranks

    -> list of slices
    """
    edges = [rank * length // ranks for rank in range(ranks + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def ring_reduce_scatter(communicator, array):
    """Add up the arrays of all ranks, so that segment r of rank r's array is the sum; in place

    array: [n], the same n and type on every rank. Its other segments have partial sums afterwards, which nobody needs.
    Every rank sends to rank + 1 and receives from rank - 1 (the last one's next is rank 0).
    """
    rank, ranks = communicator.rank, communicator.size
    segments = segments_of(len(array), ranks)
    after, before = (rank + 1) % ranks, (rank - 1) % ranks
    for turn in range(1, ranks):
        passed_on, own = array[segments[(rank - turn) % ranks]], array[segments[(rank - turn - 1) % ranks]]
        arrived = np.empty_like(own)
        exchange(communicator, [(after, passed_on)], [(before, arrived)])
        own += arrived


def ring_all_gather(communicator, array):
    """Copy segment r of rank r's array into the arrays of all ranks; in place

    array: [n], the same n and type on every rank. Every rank sends to rank + 1 and receives from rank - 1.
    """
    rank, ranks = communicator.rank, communicator.size
    segments = segments_of(len(array), ranks)
    after, before = (rank + 1) % ranks, (rank - 1) % ranks
    for turn in range(ranks - 1):
        passed_on, missing = array[segments[(rank - turn) % ranks]], array[segments[(rank - turn - 1) % ranks]]
        exchange(communicator, [(after, passed_on)], [(before, missing)])


def ring_all_reduce(communicator, array):
    """Add up the arrays [n] of all ranks, on every rank; in place"""
    ring_reduce_scatter(communicator, array)
    ring_all_gather(communicator, array)
