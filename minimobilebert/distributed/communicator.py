"""The processes of a job ("ranks", numbered from 0), and how they send arrays to each other.

A job of N ranks runs the same command N times. Whoever needs the others asks `current()`, which is one process alone
unless `use(communicator)` said otherwise: nothing else in the project knows how ranks are connected. mpi.py connects
them by MPI; the tests and lesson 22 by queues between threads.
"""

import contextlib
import json
import threading
from typing import Any, Protocol

import numpy as np


class Communicator(Protocol):
    """rank: the number of this process; size: how many there are; local: how many on this machine

    is_launched: somebody asked for ranks, if only for one; library: what connects them, for people
    """

    rank: int
    size: int
    local: int
    is_launched: bool
    library: str

    def start(self, outgoing: list[tuple[int, Any]], incoming: list[tuple[int, Any]], tag: int) -> "Pending":
        """Send arrays and receive into arrays; both are lists of (other rank, contiguous array), all at the same time.

        What one rank sends to another with one tag arrives in the order of the list. Until the end nobody may change
        what is sent.
        """

    def start_all_reduce(self, array: Any) -> "Pending":
        """Add the arrays of all ranks in the library's order; in place"""

    def abort(self, code: int) -> None:
        """End the processes of all ranks"""


class Pending(Protocol):
    """Arrays on their way."""

    def done(self) -> bool:
        """True if all have arrived; does not wait"""

    def wait(self) -> None:
        """Wait until all have arrived"""


class Arrived:
    """Nothing is on its way any more."""

    def done(self):
        return True

    def wait(self):
        pass


class OneProcess:
    """A job of one rank."""

    rank, size, local, is_launched, library = 0, 1, 1, False, "no MPI"

    def start(self, outgoing, incoming, tag):
        if outgoing or incoming:
            raise ValueError("found another rank to exchange arrays with, expected none: this is one process")
        return Arrived()

    def start_all_reduce(self, array):
        return Arrived()

    def abort(self, code):
        raise SystemExit(code)


_of_thread = threading.local()


def current():
    """The communicator of this process (of this thread, in tests)"""
    return getattr(_of_thread, "communicator", None) or OneProcess()


@contextlib.contextmanager
def use(communicator):
    """`with use(communicator):` it is `current()`"""
    before = getattr(_of_thread, "communicator", None)
    _of_thread.communicator = communicator
    try:
        yield communicator
    finally:
        _of_thread.communicator = before


def alone():
    """`with alone():` what this rank does, it does by itself, as one process would"""
    return use(OneProcess())


class WorkIsDone(BaseException):
    """Ends the command of a rank that is not 0: rank 0 alone does the rest. No failure."""


class RunWasFinished(WorkIsDone):
    """Rank 0 has said farewell already: it found a finished run, and this rank waited for its next stage."""


def leader_only():
    """What follows is for rank 0 alone, such as a report: end the command of every other rank."""
    if current().rank:
        raise WorkIsDone


def farewell(communicator):
    """The end of a command, on every rank: a rank that waits for another stage learns that there is none."""
    if communicator.size > 1:
        gather_bytes(communicator, b"")


_GATHER = 30_000  # the tag of what nobody computes beside


def exchange(communicator, outgoing, incoming):
    """Send and receive as `start` does, and wait"""
    communicator.start(outgoing, incoming, _GATHER).wait()


def gather(communicator, array):
    """The arrays of all ranks, of the same shape and type -> list, by rank"""
    array = np.asarray(array, order="C")
    arrays = [array if rank == communicator.rank else np.empty_like(array) for rank in range(communicator.size)]
    others = [rank for rank in range(communicator.size) if rank != communicator.rank]
    exchange(communicator, [(rank, array) for rank in others], [(rank, arrays[rank]) for rank in others])
    return arrays


def gather_bytes(communicator, content):
    """The byte strings of all ranks -> list, by rank"""
    sizes = gather(communicator, np.array([len(content)], np.int64))
    longest = max(int(size[0]) for size in sizes)
    padded = np.zeros(longest, np.uint8)
    padded[: len(content)] = np.frombuffer(content, np.uint8)
    arrays = gather(communicator, padded)
    return [array[: int(size[0])].tobytes() for array, size in zip(arrays, sizes, strict=True)]


def send_dict(communicator, arrays, source, receivers):
    """{name: array} from one rank to others; all of these have to call it -> the dict, on every receiver

    arrays: on `source` alone; names, shapes and types travel as JSON before them
    """
    if communicator.rank == source:
        arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        described = [[name, array.dtype.str, array.shape] for name, array in arrays.items()]
        content = np.frombuffer(json.dumps(described).encode(), np.uint8)
        size = np.array([len(content)], np.int64)
        others = [rank for rank in receivers if rank != source]
        exchange(communicator, [(rank, array) for rank in others for array in (size, content, *arrays.values())], [])
        return arrays if source in receivers else {}
    if communicator.rank not in receivers:
        return {}
    size = np.empty(1, np.int64)
    exchange(communicator, [], [(source, size)])
    content = np.empty(int(size[0]), np.uint8)
    exchange(communicator, [], [(source, content)])
    arrays = {name: np.empty(shape, dtype) for name, dtype, shape in json.loads(content.tobytes())}
    exchange(communicator, [], [(source, array) for array in arrays.values()])
    return arrays


def broadcast(communicator, arrays):
    """Copy rank 0's arrays into those of every rank; arrays: list, of the same shapes and types on every rank"""
    if communicator.rank:
        exchange(communicator, [], [(0, array) for array in arrays])
    else:
        others = range(1, communicator.size)
        exchange(communicator, [(rank, np.asarray(array, order="C")) for array in arrays for rank in others], [])
