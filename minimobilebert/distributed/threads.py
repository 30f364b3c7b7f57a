"""Ranks that are threads of one process, and send arrays through queues: for tests and lessons, without any MPI.

run_ranks(3, function)     function() on three threads, each of which is a rank -> the three results
"""

import queue
import threading

import numpy as np

from .communicator import Arrived, gather, use

_PATIENCE = 60.0  # seconds that a rank waits for an array
_LOOK = 0.05  # seconds between two looks whether another rank has failed


class _Ended(RuntimeError):
    """Another rank has failed, or waits for something that nobody sends."""


class _Boxes:
    """A queue for each sender, receiver and tag"""

    def __init__(self):
        self.failed, self._queues, self._lock = False, {}, threading.Lock()

    def of(self, sender, receiver, tag):
        with self._lock:
            return self._queues.setdefault((sender, receiver, tag), queue.SimpleQueue())


class _Arriving:
    """Arrays that others send to this rank, in the order in which they are asked for"""

    def __init__(self, communicator, incoming, tag):
        self._communicator, self._incoming, self._tag = communicator, list(incoming), tag

    def done(self):
        try:
            while self._incoming:
                self._receive(block=False)
        except queue.Empty:
            return False
        return True

    def wait(self):
        while self._incoming:
            self._receive(block=True)

    def _receive(self, block):
        rank, array = self._incoming[0]
        arrived = self._communicator.take(rank, self._tag, block)
        if (arrived.shape, arrived.dtype) != (array.shape, array.dtype):
            raise ValueError(
                f"found {arrived.dtype} {arrived.shape} from rank {rank}, expected {array.dtype} {array.shape}"
            )
        array[...] = arrived
        self._incoming.pop(0)


class ThreadCommunicator:
    """One rank. All ranks share `boxes`, a _Boxes"""

    is_launched, library = True, "queues between threads"

    def __init__(self, rank, size, boxes):
        self.rank, self.size, self.local, self._boxes = rank, size, size, boxes

    def start(self, outgoing, incoming, tag):
        for rank, array in outgoing:
            self._boxes.of(self.rank, rank, tag).put(np.array(array))  # a copy: nobody waits for the receiver
        return _Arriving(self, incoming, tag)

    def take(self, rank, tag, block):
        """The next array from a rank; queue.Empty if it has not come and block is False"""
        waited = 0.0
        while True:
            if self._boxes.failed:
                raise _Ended(f"rank {self.rank}: another rank has failed")
            try:
                return self._boxes.of(rank, self.rank, tag).get(block, timeout=_LOOK)
            except queue.Empty:
                waited += _LOOK
                if not block:
                    raise
                if waited > _PATIENCE:
                    raise _Ended(f"rank {self.rank}: found nothing from rank {rank}, expected an array") from None

    def start_all_reduce(self, array):
        array[...] = sum(gather(self, array))
        return Arrived()

    def abort(self, code):
        self.fail()
        raise SystemExit(code)

    def fail(self):
        """Tell the ranks that wait for this one."""
        self._boxes.failed = True


def run_ranks(size, function):
    """Call `function()` on `size` ranks -> list of results, by rank; the first failure is raised"""
    boxes = _Boxes()
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
