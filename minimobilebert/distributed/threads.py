"""Ranks that are threads of one process, and send arrays through queues: for tests and lessons, without any MPI.

run_ranks(3, function)     function() on three threads, each of which is a rank -> the three results
"""

import queue
import threading

import numpy as np

from .communicator import gather, use

_PATIENCE = 60.0  # seconds; a rank whose partner has failed waits no longer


class _Ended(RuntimeError):
    """Another rank has failed, or waits for something that nobody sends."""


class ThreadCommunicator:
    """One rank. All ranks share `boxes`: {(from, to): queue of arrays}"""

    is_launched, library = True, "queues between threads"

    def __init__(self, rank, size, boxes):
        self.rank, self.size, self.local, self._boxes = rank, size, size, boxes

    def exchange(self, outgoing, incoming):
        for rank, array in outgoing:
            self._boxes[self.rank, rank].put(np.array(array))  # a copy: the sender may go on and change its own
        for rank, array in incoming:
            try:
                arrived = self._boxes[rank, self.rank].get(timeout=_PATIENCE)
            except queue.Empty:
                raise _Ended(f"rank {self.rank}: found nothing from rank {rank}, expected an array") from None
            if arrived is None:
                raise _Ended(f"rank {self.rank}: rank {rank} has failed")
            if (arrived.shape, arrived.dtype) != (array.shape, array.dtype):
                raise ValueError(
                    f"rank {self.rank}: found {arrived.dtype} {arrived.shape} from rank {rank}, expected {array.dtype}"
                    f" {array.shape}"
                )
            array[...] = arrived

    def all_reduce(self, array):
        total = sum(gather(self, array))
        array[...] = total

    def abort(self, code):
        self.fail()
        raise SystemExit(code)

    def fail(self):
        """Wake up the ranks that wait for this one."""
        for rank in range(self.size):
            if rank != self.rank:
                self._boxes[self.rank, rank].put(None)


def run_ranks(size, function):
    """Call `function()` on `size` ranks -> list of results, by rank; the first failure is raised"""
    boxes = {(a, b): queue.SimpleQueue() for a in range(size) for b in range(size)}
    results, errors = [None] * size, [None] * size

    def run(rank):
        communicator = ThreadCommunicator(rank, size, boxes)
        try:
            with use(communicator):
                results[rank] = function()
        except BaseException as error:  # it is raised below, in the thread that asked
            errors[rank] = error
            communicator.fail()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failures = [error for error in errors if error is not None]
    if failures:
        raise next((error for error in failures if not isinstance(error, _Ended)), failures[0])
    return results
