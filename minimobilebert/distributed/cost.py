"""What it costs to add up an array over a network: equations; nothing is measured.

    t = latency * rounds + overhead * messages + bytes / bandwidth

    latency      seconds from one rank to another, however short the message
    rounds       how often a rank must wait for a message before it can send the next one
    messages     that one rank sends; each takes `overhead` seconds of its processor
    bytes        that one rank sends, or receives if that is more: both happen at the same time ("full duplex")
    bandwidth    bytes a second that one rank can send while it receives

N ranks, S bytes on each. Every rank then has the sum:

    algorithm    rounds              messages            bytes
    direct       2                   2 (N - 1)           2 S (N - 1) / N       reduction.py, with one node on each rank
    ring         2 (N - 1)           2 (N - 1)           2 S (N - 1) / N
    halving      2 ceil(log2 N)      2 ceil(log2 N)      2 S (N - 1) / N
    tree         2 ceil(log2 N)      2 ceil(log2 N)      2 S ceil(log2 N)

Direct: reduce-scatter and all-gather; in each of them a rank sends a segment of S / N bytes to every other rank, to all
of them at the same time. Ring: the same two phases in N - 1 steps each; a rank sends to its neighbour only. Halving
("recursive halving and doubling"): the same two phases in log2 N steps each; partners, which are N/2, N/4, ... 1 ranks
apart, exchange half of what they still add. Tree: sums go up a binomial tree to rank 0, and the result comes down
again; on each level the whole array travels.

The first three send equally much, 2 S for large N, and wait more or less often. A tree sends log2 N times as much; this
pays only for arrays so small that messages count and bytes do not. The network between the ports is taken to be as fast
as all ports together: with a slower one, a step takes longer than the equations say.
"""

import math
from typing import NamedTuple

from .fixed_tree import nodes_inside
from .reduction import BFLOAT16, FAST, RING, parts_of_rank


class Network(NamedTuple):
    bandwidth: float  # bytes a second, of each rank, in each direction
    latency: float  # seconds
    overhead: float = 0.0  # seconds a message


class Traffic(NamedTuple):
    """What the busiest rank sends, or receives if that is more."""

    rounds: int
    messages: int
    bytes: float


def seconds_of(traffic, network):
    """The equation above"""
    travel = traffic.bytes / network.bandwidth
    return network.latency * traffic.rounds + network.overhead * traffic.messages + travel


def _nodes_of_ranks(ranks, parts):
    """How many nodes of the tree each rank sends -> list"""
    return [len(nodes_inside(*parts_of_rank(rank, ranks, parts), 0, parts)) for rank in range(ranks)]


def direct(ranks, size, parts=None):
    """Traffic of reduction.py for an array of `size` bytes

    parts: of the batch; a rank whose parts are several nodes of the tree sends each of them. None: one node a rank
    """
    if ranks == 1:
        return Traffic(0, 0, 0.0)
    nodes = _nodes_of_ranks(ranks, parts or ranks)
    total, segment = sum(nodes), size / ranks
    scatter = max(max(count * (ranks - 1), total - count) for count in nodes) * segment
    gather = (ranks - 1) * segment
    return Traffic(2, (max(nodes) + 1) * (ranks - 1), scatter + gather)


def ring(ranks, size):
    steps = 2 * (ranks - 1)
    return Traffic(steps, steps, steps * size / ranks)


def halving(ranks, size):
    levels = 2 * math.ceil(math.log2(ranks))
    return Traffic(levels, levels, 2 * (ranks - 1) * size / ranks)


def tree(ranks, size):
    levels = 2 * math.ceil(math.log2(ranks))
    return Traffic(levels, levels, float(levels * size))


def traffic_of(reduction, ranks, size, parts=None):
    """Traffic of one of REDUCTIONS; size: bytes of the array in float32

    Which algorithm "fast" uses is the MPI library's choice; with large arrays, MPICH and its relatives halve.
    """
    if reduction == FAST:
        return halving(ranks, size)
    if reduction == RING:
        return ring(ranks, size)
    return direct(ranks, size / 2 if reduction == BFLOAT16 else size, parts)


def small_exchange(ranks):
    """Traffic of the few numbers that every rank tells every other one: losses, and whether anybody pressed Ctrl-C"""
    return Traffic(1, ranks - 1, 0.0) if ranks > 1 else Traffic(0, 0, 0.0)


def parts_apart(reduction, parts):
    """The parts whose nodes travel apart, or None where a rank adds its own first"""
    return None if reduction in (FAST, RING) else parts


def additions(ranks, parts=None):
    """How many numbers a rank adds in reduction.py for each number of the array; 0 with one rank"""
    return 0.0 if ranks == 1 else (sum(_nodes_of_ranks(ranks, parts or ranks)) - 1) / ranks


ALGORITHMS = {"direct": direct, "ring": ring, "halving": halving, "tree": tree}
