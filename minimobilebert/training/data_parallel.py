"""Data parallelism: the gradients of a batch, computed in parts, by as many ranks as there are.

    batch -> P parts (model/parts.py) -> rank r computes the gradients of its parts, one after the other
          -> all are added along one tree (distributed/) -> the same losses and gradients on every rank

P does not depend on the number of ranks, nor do the bits: one process with P parts computes the same ("gradient
accumulation", which needs the memory of one part at a time). Random numbers belong to the part, not to the rank.
"""

import contextlib
import hashlib
import math
from typing import NamedTuple

import numpy as np

from ..distributed.communicator import current, gather
from ..distributed.fixed_tree import halves, nodes_inside, tree_sum
from ..distributed.overlap import GradientSum, plan_buckets
from ..distributed.reduction import DETERMINISTIC, parts_of_rank
from ..model.gradients import listening
from ..model.parts import WHOLE, Part, cut_batch

_DROPOUT_STREAM = 501


class RanksDiffer(ValueError):
    """The parameters of two ranks are not the same."""


class Sharing(NamedTuple):
    """How the ranks share a step."""

    parts: int = 1  # of a batch
    reduction: str = DETERMINISTIC  # a name of distributed/reduction.py
    overlap: bool = True  # gradients travel during the backward pass: distributed/overlap.py
    shards_optimizer: bool = False  # each rank keeps the moments of some parameters: sharded_optimizer.py


def sharing_of(settings):
    """The Sharing of a run's settings"""
    return Sharing(settings.parts, settings.reduction, settings.overlap, settings.shard_optimizer)


def _random(seed, step, part, parts):
    """The generator of a part. A batch in one part has the generator that it had before there were parts."""
    return np.random.default_rng([seed, _DROPOUT_STREAM, step, *([part] if parts > 1 else [])])


def _added(left, right):
    return {name: gradient + right[name] for name, gradient in left.items()}


def _total_losses(communicator, losses, count):
    """The sums over all parts; losses: {part: {name: number}} of this rank -> {name: float}"""
    names = list(next(iter(losses.values())))
    table = np.zeros((count, len(names)))
    for part, values in losses.items():
        table[part] = [values[name] for name in names]
    # A part is in one table and 0 in the others, so fsum, which is exact, adds the parts in no order.
    tables = gather(communicator, table)
    return {
        name: math.fsum(float(each[part, i]) for each in tables for part in range(count))
        for i, name in enumerate(names)
    }


class _Step:
    """One step on this rank; compute(part) -> losses, gradients"""

    def __init__(self, compute, count, communicator):
        self.compute, self.count, self.communicator, self.losses = compute, count, communicator, {}
        own = parts_of_rank(communicator.rank, communicator.size, count)
        self.nodes = nodes_inside(*own, 0, count)

    def _part(self, low, high):
        """As `tree_sum` asks"""
        if high - low > 1:
            return None
        self.losses[low], gradients = self.compute(low)
        return gradients

    def node(self, low, high):
        """Compute all parts of a node -> {name: array}"""
        return tree_sum(low, high, self._part, _added)

    def before_last(self, low, high):
        """Compute all parts of a node but the last one -> the nodes left of the path to it, from the root downwards"""
        left = []
        while high - low > 1:
            half, (low, high) = halves(low, high)
            left.append(self.node(*half))
        return left


class DataParallel:
    """The gradients of a training stage, step by step.

    step_function(params, batch, step, rng, shares) -> losses, gradients of a part; sharing: Sharing
    seconds: spent with what travels between ranks
    """

    def __init__(self, step_function, seed, sharing=None):
        self._step_function, self._seed, self._sharing = step_function, seed, sharing or Sharing()
        self._plan, self.seconds = [], 0.0

    def gradients(self, params, batch, step):
        """-> losses {name: float}, gradients {name: array} of the whole batch"""
        communicator, parts = current(), self._sharing.parts
        cut = cut_batch(batch, parts) if parts > 1 else [Part(batch, WHOLE)]

        def compute(part):
            rng = _random(self._seed, step, part, parts)
            return self._step_function(params, cut[part].batch, step, rng, cut[part].shares)

        work = _Step(compute, len(cut), communicator)
        if communicator.size > 1:
            return self._on_ranks(work)
        if len(cut) == 1:
            return compute(0)
        gradients = work.node(0, len(cut))
        return _total_losses(communicator, work.losses, len(cut)), gradients

    def _on_ranks(self, work):
        nodes, left = {node: work.node(*node) for node in work.nodes[:-1]}, []
        if work.nodes:
            root, part = work.nodes[-1], work.nodes[-1][1] - 1
            left = work.before_last(*root)
        else:  # a short batch: this rank adds nothing, but it must know what the others add
            root, part = None, 0

        def complete(last):
            for other in reversed(left):
                last = {name: other[name] + gradient for name, gradient in last.items()}
            return {root: last} if root else {}

        plan = self._plan if self._sharing.overlap else ()
        on_their_way = GradientSum(work.communicator, nodes, complete, work.count, self._sharing.reduction, plan)
        with listening(on_their_way) if plan else contextlib.nullcontext():
            losses, gradients = work.compute(part)
        work.losses[part] = losses if root else dict.fromkeys(losses, 0.0)
        self._plan = plan_buckets(gradients)
        total = on_their_way.finish(gradients)
        self.seconds += on_their_way.seconds
        return _total_losses(work.communicator, work.losses, work.count), total


def check_same_parameters(params, step):
    """RanksDiffer if a rank's parameters are not those of rank 0."""
    communicator = current()
    if communicator.size == 1:
        return
    digest = hashlib.sha256()
    for array in params.values():
        digest.update(np.ascontiguousarray(array).data)
    digests = [each.tobytes() for each in gather(communicator, np.frombuffer(digest.digest(), np.uint8))]
    for rank, found in enumerate(digests):
        if found != digests[0]:
            raise RanksDiffer(
                f"step {step}: found other parameters on rank {rank} ({found.hex()[:12]}) than on rank 0, expected"
                f" {digests[0].hex()[:12]}; is the memory of that machine sound?"
            )
