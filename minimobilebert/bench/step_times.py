"""Measure on this machine what a training step is made of; step_cost.py computes the step of N ranks from it."""

import time
from typing import NamedTuple

import numpy as np

from ..distributed import cost
from ..distributed.communicator import Arrived
from ..distributed.overlap import GradientSum
from ..distributed.reduction import BFLOAT16, DETERMINISTIC
from ..model.pretraining import pretraining_step
from ..support.terminal import progress_bar
from ..support.timing import fastest
from ..text.masking import mask_tokens
from ..training.adamw import AdamW
from ..training.clipping import clip_by_global_norm
from ..training.data_parallel import DataParallel, Sharing
from .step_cost import StepTimes
from .training import CLIP, RATE, first_weights, random_batch

_RANKS = (2, 16)  # with so many, the sums of a reduction are measured
REPEATS = 3


class Silent:
    """A communicator without other ranks: what should arrive is 0 and takes as long as writing it does."""

    rank = 0

    def __init__(self, size):
        self.size = size

    def start(self, outgoing, incoming, tag):
        for _, array in incoming:
            array.fill(0)
        return Arrived()

    def start_all_reduce(self, array):
        return Arrived()


class _Pieces(NamedTuple):
    """What mask_tokens reads of a tokeniser."""

    vocab_size: int
    cls_id: int = -1
    sep_id: int = -1
    mask_id: int = 0


def part_rows(part):
    """Rows of the parts that are measured: 1, 2, 4 ... and `part`"""
    rows = [1 << power for power in range(part.bit_length())]
    return rows if rows[-1] == part else [*rows, part]


def seconds_of_sums(gradients, reduction, ranks, repeats=REPEATS, bar=None):
    """Seconds in which rank 0 of `ranks` ranks, with one part each, adds up, but for the network

    gradients {name: array}: of one part
    """
    how = reduction if reduction == BFLOAT16 else DETERMINISTIC  # MPI and a ring add as many numbers
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        GradientSum(Silent(ranks), {}, lambda last: {(0, 1): last}, ranks, how, ()).finish(gradients)
        best = min(best, time.perf_counter() - start)
        if bar:
            bar.update()
    return best


def seconds_of_batch(config, batch, length):
    """Masking the words of a whole batch, as every rank does, without reading them from the disk"""
    rng = np.random.default_rng(1)
    ids = rng.integers(1, config.vocab_size, (batch, length)).astype(np.int32)
    mask = np.ones(ids.shape, bool)
    start = time.perf_counter()
    mask_tokens(ids, mask, _Pieces(config.vocab_size), length, rng)
    return time.perf_counter() - start


def measure_step(config, batch, part, length, reduction, repeats=REPEATS):
    """Masked words and next sentences, backward, clipping and AdamW -> StepTimes

    batch: rows of a step; part: rows that a rank computes at a time, at most
    """
    params = first_weights(config)
    rows, optimizer, found = part_rows(min(part, batch)), AdamW(params), {}

    def one_part(params, data, step, rng, shares):
        return pretraining_step(params, config, data, rng, shares)

    training = DataParallel(one_part, 1, Sharing(parts=2))

    def gradients_of(count):
        """Two parts, so that their sum is in it; a rank has many of them"""
        data = random_batch(config, 2 * count, length)

        def compute():
            found["gradients"] = training.gradients(params, data, 0)[1]

        return compute

    def update():
        _, factor = clip_by_global_norm(found["gradients"], CLIP)
        optimizer.step(params, found["gradients"], RATE, factor=factor)

    with progress_bar("plan: measuring a step", repeats * (len(rows) + 1 + len(_RANKS))) as bar:
        gradients = {count: fastest(gradients_of(count), repeats, bar.update) / 2 for count in rows}
        seconds = fastest(update, repeats, bar.update)
        sums = {}
        for ranks in _RANKS:
            sums[cost.additions(ranks)] = seconds_of_sums(found["gradients"], reduction, ranks, repeats, bar)
    return StepTimes(gradients, seconds, seconds_of_batch(config, batch, length), sums)
