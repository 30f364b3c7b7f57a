"""Data parallelism: the gradients of a batch, computed in parts, by as many ranks as there are.

    batch -> P parts (model/parts.py) -> rank r computes the gradients of its parts, one after the other
          -> all are added along one tree (distributed/) -> the same losses and gradients on every rank

P does not depend on the number of ranks, nor do the bits: one process with P parts computes the same ("gradient
accumulation", which needs the memory of one part at a time). Random numbers belong to the part, not to the rank.
"""

import hashlib
import math

import numpy as np

from ..distributed.communicator import current, gather
from ..distributed.fixed_tree import nodes_inside, tree_sum
from ..distributed.reduction import parts_of_rank, reduce
from ..model.parts import cut_batch

_DROPOUT_STREAM = 501


class RanksDiffer(ValueError):
    """The parameters of two ranks are not the same."""


def _random(seed, step, part, parts):
    """The generator of a part. A batch in one part has the generator that it had before there were parts."""
    return np.random.default_rng([seed, _DROPOUT_STREAM, step, *([part] if parts > 1 else [])])


def _flat(gradients):
    """{name: array} -> one array with all numbers, in the order of the dict"""
    return np.concatenate([gradient.reshape(-1) for gradient in gradients.values()])


def _views(flat, layout):
    """One array -> {name: view of it}; layout: {name: shape}"""
    views, start = {}, 0
    for name, shape in layout.items():
        size = math.prod(shape)
        views[name] = flat[start : start + size].reshape(shape)
        start += size
    return views


class _Parts:
    """The parts of one step that this rank computes."""

    def __init__(self, compute):
        """compute(part number) -> losses, gradients"""
        self._compute, self.losses, self.layout, self.size = compute, {}, None, None

    def node(self, low, high):
        """The flat gradients of a part, as `tree_sum` asks for them"""
        if high - low > 1:
            return None
        self.losses[low], gradients = self._compute(low)
        self.layout = {name: gradient.shape for name, gradient in gradients.items()}
        flat = _flat(gradients)
        self.size = len(flat), flat.dtype
        return flat


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


def step_gradients(step_function, params, batch, *, step, seed, parts=1, reduction="deterministic"):
    """-> losses {name: float}, gradients {name: array} of the whole batch

    step_function(params, batch, step, rng, shares) -> losses, gradients of a part
    parts: into how many the batch is cut; reduction: of REDUCTIONS, with more than one rank
    """
    communicator = current()
    cut = cut_batch(batch, parts)
    count = len(cut)

    def compute(part):
        return step_function(params, cut[part].batch, step, _random(seed, step, part, parts), cut[part].shares)

    if count == 1 and communicator.size == 1:
        return compute(0)
    mine, own = _Parts(compute), parts_of_rank(communicator.rank, communicator.size, count)
    nodes = {node: tree_sum(*node, mine.node) for node in nodes_inside(*own, 0, count)}
    if not nodes:  # a short batch: this rank adds nothing, but it must know what the others add
        mine.node(0, 1)
        mine.losses = {0: dict.fromkeys(mine.losses[0], 0.0)}
    total = reduce(communicator, nodes, count, mine.size, reduction)
    return _total_losses(communicator, mine.losses, count), _views(total, mine.layout)


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
