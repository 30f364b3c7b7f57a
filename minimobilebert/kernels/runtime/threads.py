"""Threads: how many a kernel uses, who may start one at the same time, and what is left of them after a fork.

Numba hands the iterations of a `prange` to one of three libraries ("threading layers"): TBB, OpenMP, or a work queue of
its own. They differ in what they survive:

* The work queue aborts the process if two of the user's threads start parallel kernels at once, and TBB hangs if the
  process is forked while a kernel runs. There whoever starts one holds a lock, and so does whoever forks.
* GNU's OpenMP ends a process that was forked after its threads had started (multiprocessing's "fork"), and a pool of
  such processes waits for ever. There a kernel's serial form runs, on one thread, with the same bits. No lock is
  needed: no two kernels share anything that they write (see memory.py).

The number of threads is Numba's, for each of the user's threads: NUMBA_NUM_THREADS, the processors that the process may
run on, or what `numba.set_num_threads` said last. Only where nobody said anything does a container's quota lower it.
"""

import ctypes
import functools
import os
import threading

import numba
from llvmlite import binding
from numba.core.compiler_lock import global_compiler_lock

from . import locks, waiting
from .notes import say_once
from .processors import usable

# A kernel that another thread is compiling is finished before a fork, for the same reason as the locks of locks.py.
locks.order.insert(locks.order.index(locks.memory), global_compiler_lock)

_limit = 0  # threads that the quota pays for, where it lowers Numba's number; 0: it does not
_ask = None  # Numba's number for this thread, as a call that costs little; None: its threads have not started
_lost = _serial = False  # in a process that was forked after such threads had started as do not survive it: True


def _start():
    """Start Numba's threads -> its function that tells how many this thread uses"""
    global _ask, _limit
    waiting.choose()
    most = numba.config.NUMBA_NUM_THREADS
    numba.get_num_threads()
    said = "NUMBA_NUM_THREADS" in os.environ or most != numba.config.NUMBA_DEFAULT_NUM_THREADS
    if not said and usable() < most:
        _limit = usable()
    # Numba's own Python function looks each time whether the threads run, which takes as long as a small kernel.
    _ask = ctypes.PYFUNCTYPE(ctypes.c_int)(binding.address_of_symbol("get_num_threads"))
    return _ask


def get_num_threads():
    """How many threads a kernel will use that the calling thread starts."""
    if _serial:
        return 1
    count = (_ask or _start())()
    return _limit if _limit and count == numba.config.NUMBA_NUM_THREADS else count


def set_threads(threads):
    """Use `threads` threads in every parallel kernel that the calling thread starts, whatever the container's quota.

    ValueError unless from 1 to NUMBA_NUM_THREADS.
    """
    global _limit
    if _ask is None:
        _start()
    numba.set_num_threads(threads)
    _limit = 0


def _gnu_openmp():
    """Whether Numba's threads are those of GNU's OpenMP; ValueError where none have started."""
    if numba.threading_layer() != "omp":
        return False
    from numba.np.ufunc import omppool

    return omppool.openmp_vendor == "GNU"


def _lost_by_fork():
    """Whether the threads of a process that is forked now will be missed by its child."""
    try:
        if _gnu_openmp():
            return True
    except ValueError:
        return False
    # TBB's are prepared for a fork by the thread that started the program, and by no other.
    return numba.threading_layer() == "tbb" and threading.current_thread() is not threading.main_thread()


_launchers = []  # functions that let a kernel decide anew how it runs


def _before_fork():
    global _lost
    _lost = _lost_by_fork()


def _after_fork_in_child():
    global _serial
    _serial = _serial or _lost
    for decide_again in _launchers:
        decide_again()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)


def launched(parallel, serial):
    """A parallel kernel that threads and forked processes may call.

    parallel: compiled; serial(): the same function, compiled for one thread, made only where it is needed. The kernel
    has it as `kernel.serial`.
    """

    def limited(*arguments):
        """Numba's number of threads, lowered for this kernel."""
        wanted, found = get_num_threads(), _ask()
        if wanted == found:
            return parallel(*arguments)
        numba.set_num_threads(wanted)
        try:
            return parallel(*arguments)
        finally:
            numba.set_num_threads(found)

    def decide(*arguments):
        """The first call, in this process: find out how this kernel runs here."""
        if _serial:
            say_once(
                "this process was forked after kernels had run, which their threads do not survive: kernels run on one"
                " thread here, with the same results. multiprocessing's 'spawn' and 'forkserver' keep all threads"
            )
            run = serial()
        else:
            get_num_threads()
            run = limited if _limit else parallel
            if not _gnu_openmp():
                run = _one_at_a_time(run)
        become(run)
        return run(*arguments)

    serial = functools.cache(serial)

    def become(run):
        """What the kernel's callers call from now on. A partial object costs them a tenth of what a function would."""
        launch.__setstate__((run, (), {}, {"py_func": parallel.py_func, "serial": serial}))

    launch = functools.partial(decide)
    become(decide)
    _launchers.append(lambda: become(decide))
    return launch


def _one_at_a_time(run):
    def locked(*arguments):
        """The kernel, when no other one is running."""
        with locks.launching:
            return run(*arguments)

    return locked
