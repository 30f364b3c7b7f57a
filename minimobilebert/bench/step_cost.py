"""The duration of a training step on N ranks, from times that were measured on one: equations; nothing is measured.

    T(N) = gradients + sums + network + fixed

    gradients    the parts of the busiest rank, one after the other: they are what N ranks share
    sums         additions of what has arrived, on each rank
    network      distributed/cost.py
    fixed        what every rank does for itself: it makes the batch, clips, and updates all parameters

    efficiency(N) = T(1) / (N T(N))          1 if N ranks are N times as fast as one

The batch of a step is the same for every N ("strong scaling"): it is cut into parts of at most `part` rows, and into N
parts if that is more. A rank computes ceil(parts / N) of them, or fewer. With more ranks each computes less, while the
network takes as long as before.

With `overlap` the gradients of the layers travel while the layers below still compute theirs (distributed/overlap.py).
The bound is ideal: they hide behind the whole backward of a rank's last part, which is 2/3 of that part, because a
product's backward has two products (dx and dW) and its forward one. Parts before the last hide nothing: their gradients
are added first. The rest, which is no layer's own (embeddings, heads), travels at the end.

    network that is seen = max(rest's share of the network, network - 2/3 of the last part)
"""

import itertools
from typing import NamedTuple

import numpy as np

from ..distributed import cost
from ..distributed.reduction import parts_of_rank
from ..model.parts import bounds

BACKWARD = 2 / 3  # of the time of a part
BYTES = 4  # of a gradient


class StepTimes(NamedTuple):
    """Seconds that one rank needs, without any other rank."""

    gradients: dict  # {rows of a part: seconds}
    update: float = 0.0  # clipping and the optimiser
    batch: float = 0.0  # making the batch of a step
    sums: dict = {}  # {additions for each number of the array: seconds of a reduction without a network}


class Job(NamedTuple):
    """What is trained, and how."""

    numbers: int  # parameters
    batch: int  # rows of a step
    part: int  # rows that a rank computes at a time, at most
    reduction: str = "deterministic"
    overlap: bool = False
    rest: float = 0.0  # share of the parameters that are no layer's own
    buckets: int = 1  # of gradients that travel for themselves, with overlap

    def parts(self, ranks):
        """Into how many parts the batch is cut"""
        return min(self.batch, max(ranks, -(-self.batch // self.part)))


class Step(NamedTuple):
    """Seconds of one step; the sum of all is its duration."""

    gradients: float
    sums: float
    network: float
    fixed: float

    @property
    def seconds(self):
        return sum(self)

    @property
    def communication(self):
        """The share of what one rank alone would not do"""
        return (self.sums + self.network) / self.seconds


def seconds_of_part(rows, measured):
    """Between measured numbers of rows on a line; above the largest, and below the smallest, in proportion"""
    known = sorted(measured)
    if rows <= known[0] or rows >= known[-1]:
        nearest = known[0] if rows <= known[0] else known[-1]
        return measured[nearest] * rows / nearest
    return float(np.interp(rows, known, [measured[each] for each in known]))


def _gradients(job, ranks, measured):
    """-> seconds of the busiest rank, and of its last part"""
    parts = job.parts(ranks)
    rows = [stop - start for start, stop in itertools.pairwise(bounds(job.batch, parts))]
    busiest = last = 0.0
    for rank in range(ranks):
        own = [seconds_of_part(each, measured) for each in rows[slice(*parts_of_rank(rank, ranks, parts))]]
        if sum(own) > busiest:
            busiest, last = sum(own), own[-1]
    return busiest, last


def _sums(job, ranks, measured):
    wanted = cost.additions(ranks, cost.parts_apart(job.reduction, job.parts(ranks)))
    if not (wanted and measured):
        return 0.0
    known = sorted(measured)
    return float(np.interp(wanted, known, [measured[each] for each in known])) * max(1.0, wanted / known[-1])


def step(job, ranks, times, network):
    """-> Step. ValueError if there are more ranks than rows."""
    if ranks > job.batch:
        raise ValueError(f"ranks: found {ranks} with a batch of {job.batch} rows, expected at most one for each row")
    gradients, last = _gradients(job, ranks, times.gradients)
    traffic = cost.traffic_of(job.reduction, ranks, BYTES * job.numbers, job.parts(ranks))
    travel = cost.seconds_of(traffic, network)
    if job.overlap:
        travel += network.overhead * traffic.messages * (job.buckets - 1)
        travel = max(job.rest * travel, travel - BACKWARD * last)
    travel += 2 * cost.seconds_of(cost.small_exchange(ranks), network)
    return Step(gradients, _sums(job, ranks, times.sums), travel, times.update + times.batch)


def powers_of_two(most):
    """1, 2, 4 ... and `most`"""
    numbers = [1 << power for power in range(most.bit_length())]
    return numbers if numbers[-1] == most else [*numbers, most]


def efficiency(first, found, ranks):
    """first: Step of one rank; found: Step of `ranks` ranks"""
    return first.seconds / (ranks * found.seconds)


def stops_scaling(job, times, network, least=0.5, most=4096):
    """The first power of two with an efficiency below `least` -> ranks, or None up to `most` and one a row"""
    first = step(job, 1, times, network)
    for ranks in powers_of_two(min(most, job.batch)):
        if efficiency(first, step(job, ranks, times, network), ranks) < least:
            return ranks
    return None
