"""Tokens/s of a training step: one process with as many threads as there are ranks, and ranks of one thread each.

    python tests/ranks_and_threads.py --ranks 2 --turns 5

In each turn the ways follow each other, each in processes of its own: what disturbs the machine disturbs all of them.
Printed are the medians and quartiles of the ratios to one process, and the share of the step that is spent with what
travels between ranks. It needs mpi4py and an mpiexec.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np

from minimobilebert.bench.distilling import FACTORS, SHAPE, TEACHER, without_heads, work_of
from minimobilebert.bench.training import CLIP, CONFIGS, RATE, SHAPES, first_weights, random_batch
from minimobilebert.distillation.encoder_transfer import EncoderTransfer, encoder_transfer_step
from minimobilebert.distilling.teacher_vectors import ComputedVectors
from minimobilebert.distributed.communicator import OneProcess, gather, use
from minimobilebert.distributed.mpi import connect, is_launched
from minimobilebert.inference.engine import Engine
from minimobilebert.kernels.runtime.threads import set_threads
from minimobilebert.model.pretraining import pretraining_step
from minimobilebert.support.tables import aligned
from minimobilebert.training.adamw import AdamW
from minimobilebert.training.clipping import clip_by_global_norm
from minimobilebert.training.data_parallel import DataParallel, Sharing

MINILM = "distil_minilm_vectors"
STEPS = {"train_mobilebert": 3, "train_classroom_1": 40, "train_classroom_2": 15, MINILM: 8}
WAYS = {
    "one process": None,
    "ranks": {},
    "ranks, overlap=false": {"overlap": False},
    "ranks, reduction=fast": {"reduction": "fast"},
    "ranks, reduction=bfloat16": {"reduction": "bfloat16"},
    "ranks, parts=4": {"parts": 4},
}


def _pretraining(name):
    """-> params, batch, step function of a part"""
    config = CONFIGS[name]

    def step(params, batch, number, rng, shares):
        return pretraining_step(params, config, batch, None, shares)

    return first_weights(config), random_batch(config, *SHAPES[name]), step


def _distillation():
    """The default loss of `distil` for MiniLM: sentence vectors alone"""
    work = work_of(TEACHER, SHAPE)
    transfer = EncoderTransfer((), direction_factor=FACTORS["direction_factor"])
    with_vectors = ComputedVectors(Engine(work.of_teacher, work.teacher), transfer.pooling)

    def step(params, batch, number, rng, shares):
        return encoder_transfer_step(params, work.student, None, None, with_vectors(batch), transfer, None, shares)

    return without_heads(work.params, work.student), work.batch, step


def measure(job):
    """Seconds of a step, and those spent with what travels; on each rank"""
    communicator = connect() if is_launched() else OneProcess()
    set_threads(job["threads"])
    with use(communicator):
        name = job["case"]
        params, batch, step = _distillation() if name == MINILM else _pretraining(name)
        work = DataParallel(step, 1, Sharing(**{"parts": communicator.size, **job["sharing"]}))
        optimizer, seconds = AdamW(params), []
        for number in range(STEPS[name] + 2):
            if number == 2:  # compiled, and the buckets are known
                work.seconds = 0.0
                gather(communicator, np.zeros(1))
            start = time.perf_counter()
            losses, gradients = work.gradients(params, batch, number)
            _, factor = clip_by_global_norm(gradients, CLIP)
            optimizer.step(params, gradients, RATE, None, factor)
            seconds.append(time.perf_counter() - start)
        found = {"seconds": float(np.median(seconds[2:])), "travel": work.seconds / STEPS[name], "loss": losses["loss"]}
        if communicator.rank == 0:
            print(json.dumps(found))


def run(case, way, ranks):
    """One measurement in new processes -> {"seconds", "travel", "loss"}"""
    beside = pathlib.Path(sys.executable).parent / "mpiexec"
    mpiexec = [str(beside) if beside.exists() else shutil.which("mpiexec"), "-n", str(ranks)]
    alone = WAYS[way] is None
    job = {"case": case, "threads": ranks if alone else 1, "sharing": WAYS[way] or {}}
    command = [sys.executable, *([] if alone else ["-m", "mpi4py"]), __file__, "--job", json.dumps(job)]
    threads = {"OMP_WAIT_POLICY": "passive", "OPENBLAS_NUM_THREADS": str(job["threads"])}
    done = subprocess.run(
        command if alone else [*mpiexec, *command], capture_output=True, text=True, env={**os.environ, **threads},
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def _spread(values):
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--job", type=json.loads)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--cases", default=",".join(STEPS))
    arguments = parser.parse_args()
    if arguments.job:
        measure(arguments.job)
        return
    rows = [["step", "way", "tokens/s", f"to one process with {arguments.ranks} threads", "travelling"]]
    for case in arguments.cases.split(","):
        turns = [{way: run(case, way, arguments.ranks) for way in WAYS} for _ in range(arguments.turns)]
        tokens = np.prod({**SHAPES, MINILM: SHAPE}[case])
        for way in WAYS:
            rate = tokens / np.median([turn[way]["seconds"] for turn in turns])
            ratios = [turn["one process"]["seconds"] / turn[way]["seconds"] for turn in turns]
            share = np.median([turn[way]["travel"] / turn[way]["seconds"] for turn in turns])
            rows.append([case, way, f"{rate:,.0f}", _spread(ratios), f"{share:.1%}" if share else "-"])
        print("\n".join(aligned(rows, left=(0, 1))), flush=True)


if __name__ == "__main__":
    main()
