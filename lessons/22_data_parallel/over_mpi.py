"""Lesson 22: the ring written by hand, the fixed tree and MPI's own Allreduce, on ranks that are processes.

    mpiexec -n 3 python -m mpi4py lessons/22_data_parallel/over_mpi.py

It needs the extra `distributed` and an MPI. Each rank has an array of random numbers; all are added up in four ways.
"""

import argparse
import os
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # ranks share the processors

import numpy as np  # noqa: E402

from minimobilebert.distributed import mpi  # noqa: E402
from minimobilebert.distributed.communicator import gather  # noqa: E402
from minimobilebert.distributed.reduction import REDUCTIONS, Numbers, Reduction  # noqa: E402

NAMES = {
    "deterministic": "fixed tree", "fast": "MPI's Allreduce", "ring": "ring by hand", "bfloat16": "tree, in bfloat16",
}  # fmt: skip


def added_up(communicator, array, how):
    """The sum of all ranks' arrays -> array, seconds of the slowest rank"""
    rank = communicator.rank
    gather(communicator, np.zeros(1))  # all ranks start together
    started = time.perf_counter()
    numbers = Numbers(array.size, array.dtype, communicator.size, how)
    total = Reduction(communicator, {(rank, rank + 1): array.copy()}, numbers).wait()
    seconds = np.array([time.perf_counter() - started])
    return total, max(float(each[0]) for each in gather(communicator, seconds))


def measure(communicator, numbers, turns):
    """-> list of (name, shortest milliseconds, difference from the tree, do all ranks have the same bits)"""
    array = np.random.default_rng([22, communicator.rank]).normal(size=numbers).astype(np.float32)
    rows, tree = [], None
    for how in REDUCTIONS:
        results = [added_up(communicator, array, how) for _ in range(turns)]
        total = results[0][0]
        tree = total if tree is None else tree
        difference = float(np.abs(total - tree).max() / np.abs(tree).max())
        same = all(np.array_equal(each, total) for each in gather(communicator, total))
        rows.append((NAMES[how], 1e3 * min(seconds for _, seconds in results), difference, same))
    return rows


def table(rows):
    """-> text"""
    lines = [f"{'':<20}{'ms':>8}   difference   same bits on all ranks"]
    for name, milliseconds, difference, same in rows:
        lines.append(f"{name:<20}{milliseconds:>8.2f}   {difference:<10.0e}   {'yes' if same else 'NO'}")
    return "\n".join(lines)


def positive(word):
    number = int(word) if word.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"found {word}, expected a positive number")
    return number


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--numbers", type=positive, default=1_000_000, help="how many each rank has")
    parser.add_argument("--turns", type=positive, default=10, help="the shortest time of so many is printed")
    arguments = parser.parse_args(words)
    try:
        communicator = mpi.connect()
        if communicator.size == 1:
            raise ValueError("found one rank, expected several: mpiexec -n 3 python -m mpi4py " + parser.prog)
        rows = measure(communicator, arguments.numbers, arguments.turns)
    except NotImplementedError as missing:
        parser.error(f"it runs your own functions, and one is missing: {missing}")
    except ValueError as error:
        parser.error(str(error))
    if communicator.rank == 0:
        print(f"{communicator.size} ranks, {arguments.numbers:,} numbers each; {communicator.library}")
        print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
