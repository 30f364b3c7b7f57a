"""Run on every rank by mpiexec: a training step, and what it is made of, in turns; rank 0 prints both as JSON.

    mpiexec -n 2 python tests/measured_step.py '{"model": "classroom-1", "batch": 16, "network": null, ...}'

Every rank computes at the same time in all turns, so that ranks that share a processor, or the processor's memory, do
so in the measured step and in the parts from which the step is forecast. In each turn:

    gradients   the parts of this rank, without any other rank
    sums        distributed/reduction.py with a communicator that sends nothing
    update      clipping and AdamW
    step        all of it with the real communicator: what is forecast

The network of a forecast:

    measured           what exchanges of PROBES numbers between all ranks show
    given              the numbers with which the network was made
    bandwidth given    the same with the measured latency: where ranks share busy processors, the shortest message takes
                       as long as a rank waits for its processor, which is more than the network's delay
"""

import hashlib
import json
import sys
import time
from typing import NamedTuple

import numpy as np

from minimobilebert.bench.plan import config_of, job_of
from minimobilebert.bench.step_cost import StepTimes, step
from minimobilebert.bench.step_times import seconds_of_sums
from minimobilebert.bench.training import CLIP, RATE, first_weights, random_batch
from minimobilebert.distributed import cost
from minimobilebert.distributed.communicator import OneProcess, current, exchange, gather, use
from minimobilebert.distributed.mpi import connect, is_launched
from minimobilebert.distributed.reduction import parts_of_rank
from minimobilebert.kernels.runtime.threads import set_threads
from minimobilebert.model.parts import cut_batch
from minimobilebert.model.pretraining import pretraining_step
from minimobilebert.training.adamw import AdamW
from minimobilebert.training.clipping import clip_by_global_norm
from minimobilebert.training.data_parallel import DataParallel, Sharing

PROBES, PROBED = (1, 500_000), 5  # numbers that each rank sends to each other rank, and how often
COMPUTED = 100_000  # additions, a few milliseconds


def _seconds(communicator, function):
    """Of the slowest rank; all ranks start together"""
    gather(communicator, np.zeros(1))
    start = time.perf_counter()
    function()
    return max(float(each[0]) for each in gather(communicator, np.array([time.perf_counter() - start])))


def _seconds_of_exchange(communicator, numbers):
    """From the moment when the last rank has sent until the last one has received; before, all have computed a little

    All processes of a machine read the same clock.
    """
    others = [rank for rank in range(communicator.size) if rank != communicator.rank]
    outgoing = [(rank, np.zeros(numbers, np.float32)) for rank in others]
    incoming = [(rank, np.empty(numbers, np.float32)) for rank in others]
    gather(communicator, np.zeros(1))
    sum(range(COMPUTED))
    start = time.perf_counter()
    exchange(communicator, outgoing, incoming)
    times = np.array(gather(communicator, np.array([start, time.perf_counter()])))
    return float(times[:, 1].max() - times[:, 0].max())


def _probed(communicator, turn):
    """What the two exchanges of a turn show -> Network"""
    sent = 4 * (PROBES[1] - PROBES[0]) * (communicator.size - 1)
    return cost.Network(sent / max(turn["long"] - turn["short"], 1e-9), turn["short"])


class Compared(NamedTuple):
    forecast: float
    ratio: float


class _Training:
    """The same steps on every rank, and on one process."""

    def __init__(self, settings):
        self.settings, self.config = settings, config_of(settings["model"])
        self.params = first_weights(self.config)
        self.data = random_batch(self.config, settings["batch"], settings["length"])
        self.optimizer, self.gradients, self.done = AdamW(self.params), None, 0
        sharing = Sharing(settings["parts"], settings["reduction"], settings.get("overlap", False))
        self.shared = DataParallel(self._step, 1, sharing)

    def _step(self, params, batch, step, rng, shares):
        return pretraining_step(params, self.config, batch, rng, shares)

    def compute(self):
        _, self.gradients = self.shared.gradients(self.params, self.data, self.done)

    def own_parts(self, communicator):
        """The gradients of this rank's parts, added up"""
        cut = cut_batch(self.data, self.settings["parts"])
        total = None
        for part in cut[slice(*parts_of_rank(communicator.rank, communicator.size, len(cut)))]:
            _, gradients = pretraining_step(self.params, self.config, part.batch, None, part.shares)
            total = gradients if total is None else {name: total[name] + each for name, each in gradients.items()}

    def update(self):
        _, factor = clip_by_global_norm(self.gradients, CLIP)
        self.optimizer.step(self.params, self.gradients, RATE, factor=factor)
        self.done += 1

    def whole(self):
        self.compute()
        self.update()
        gather(current(), np.zeros(1, np.uint8))  # as in the training loop, whether anybody pressed Ctrl-C

    def digest(self):
        digest = hashlib.sha256()
        for array in self.params.values():
            digest.update(array.data)
        return digest.hexdigest()


def _turn(communicator, training, job, ranks):
    """Seconds of each part of one turn -> dict"""
    found = {"step": _seconds(communicator, training.whole)}
    found["gradients"] = _seconds(communicator, lambda: training.own_parts(communicator))
    found["sums"] = _seconds(communicator, lambda: seconds_of_sums(training.gradients, job.reduction, ranks, repeats=1))
    kept = {name: array.copy() for name, array in training.params.items()}
    state = {name: np.copy(array) for name, array in training.optimizer.state().items()}
    found["update"] = _seconds(communicator, training.update)
    training.done -= 1
    training.optimizer.load_state(state)
    for name, array in training.params.items():
        array[...] = kept[name]
    for name, numbers in zip(("short", "long"), PROBES, strict=True):
        found[name] = float(np.mean([_seconds_of_exchange(communicator, numbers) for _ in range(PROBED)]))
    return found


def main(settings):
    communicator = connect() if is_launched() else OneProcess()
    set_threads(1)
    training = _Training(settings)
    with use(communicator):
        for _ in range(2):
            training.whole()
        if communicator.size == 1:
            for _ in range(settings["turns"]):
                training.whole()
            print(json.dumps({"digest": training.digest()}))
            return
        rows = -(-settings["batch"] // settings["parts"])
        overlap = settings.get("overlap", False)
        job = job_of(training.config, settings["batch"], rows, settings["reduction"], overlap)
        turns = [_turn(communicator, training, job, communicator.size) for _ in range(settings["turns"])]
    if communicator.rank:
        return

    def compared(network_of):
        return _median(_compared(job, communicator.size, turn, network_of(turn)) for turn in turns)

    def probed(turn):
        return _probed(communicator, turn)

    forecasts = {"measured": compared(probed)}
    if settings["network"]:
        given = cost.Network(*settings["network"])
        forecasts["given"] = compared(lambda turn: given)
        forecasts["bandwidth given"] = compared(lambda turn: given._replace(latency=probed(turn).latency))
    print(json.dumps({
        "ranks": communicator.size, "digest": training.digest(),
        "seconds": {name: float(np.median([turn[name] for turn in turns])) for name in turns[0]},
        "network": _median(probed(turn) for turn in turns), **forecasts,
    }), flush=True)  # fmt: skip


def _median(tuples):
    """The median of each field -> dict"""
    tuples = list(tuples)
    return {field: float(np.median([getattr(each, field) for each in tuples])) for field in tuples[0]._fields}


def _compared(job, ranks, seconds, network):
    """A turn's forecast, and its ratio to the step of the same turn; the busiest rank's parts were measured together"""
    share = -(-job.parts(ranks) // ranks)
    rows = -(-job.batch // job.parts(ranks))
    times = StepTimes({rows: seconds["gradients"] / share}, seconds["update"], 0.0, {1.0: seconds["sums"]})
    forecast = step(job, ranks, times, network).seconds
    return Compared(forecast, forecast / seconds["step"])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
