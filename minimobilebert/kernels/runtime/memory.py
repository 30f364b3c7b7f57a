"""Memory for results and scratch, used again instead of asked for again.

A training step makes the same arrays every time. Memory that comes fresh from the operating system has to be mapped
page by page while it is first written, which costs more than the arithmetic of an addition. So memory of a large array
comes back here when the last array that looks at it is gone, and the next array of about that size gets it.

    x = empty((64, 512), np.float32)        like np.empty: any numbers may be in it
    del x                                   its memory waits for the next array of about 64 * 512 * 4 bytes
    release_memory()                        gives back to the system what waits

Batches of many lengths make arrays of many sizes, and each size would wait for its own kind of batch. So before new
memory is asked for, what has waited longest is given back, until no more is held than `SPARE` times the most that was
ever in use at once.

All threads of a process share what waits. Memory for the time of one kernel is different: each thread has its own
`scratch`, because one thread's kernel runs while another thread starts the next.
"""

import collections
import functools
import math
import threading

import numpy as np

from . import locks

SMALLEST = 1 << 16  # bytes; the C library keeps smaller ones, and gives larger ones back to the system too often
LARGEST_IDLE = 1 << 31  # bytes that may wait at the same time; more are given back to the system
SPARE = 1.5  # of the most bytes that were in use at once
ALIGNMENT = 64  # bytes of a cache line: a vector across two lines loads slower

_idle = collections.OrderedDict()  # size -> what waits; the size that came back last is the last one
_idle_bytes, _taken, _most_taken = 0, 0, 0


class _Block:
    """Memory of one array; hands it back when no array looks at it any more."""

    __slots__ = ("memory", "size", "__array_interface__")

    def __init__(self, memory, size, shape, dtype):
        """memory: an array of `size` bytes, and where its first whole cache line begins"""
        self.memory, self.size = memory, size
        self.__array_interface__ = {
            "shape": shape, "typestr": _name(dtype), "version": 3, "data": (memory[1], False)
        }  # fmt: skip

    def __del__(self):
        global _idle_bytes, _taken
        size = self.size
        with locks.memory:  # of a kind that the same thread may take twice: this runs wherever an array ends
            _taken -= size
            if _idle_bytes + size <= LARGEST_IDLE:
                _idle.setdefault(size, []).append(self.memory)
                _idle.move_to_end(size)
                _idle_bytes += size


@functools.cache
def _name(dtype):
    """NumPy's short name of a type; it makes it anew each time it is asked."""
    return dtype.str


def _give_back(limit):
    """Give memory to the system, what has waited longest first, until `limit` bytes wait or none."""
    global _idle_bytes
    while _idle_bytes > limit:
        size, waiting = next(iter(_idle.items()))
        if waiting:
            waiting.pop()
            _idle_bytes -= size
        else:
            del _idle[size]


def empty(shape, dtype):
    """Like np.empty: shape int or tuple, dtype -> C-contiguous array"""
    global _idle_bytes, _taken, _most_taken
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    size = math.prod(shape) * dtype.itemsize
    if size < SMALLEST:
        return np.empty(shape, dtype)
    size += ALIGNMENT
    step = 1 << (size.bit_length() - 4)  # sizes in steps of an eighth at most: batches of like lengths share memory
    size = -(-size // step) * step
    memory = None
    with locks.memory:
        _taken += size
        _most_taken = max(_most_taken, _taken)
        if waiting := _idle.get(size):
            memory = waiting.pop()
            _idle_bytes -= size
        else:
            _give_back(SPARE * _most_taken - _taken)
    if memory is None:
        try:
            array = np.empty(size, np.uint8)
        except MemoryError:
            with locks.memory:
                _taken -= size
            raise
        memory = array, array.ctypes.data + -array.ctypes.data % ALIGNMENT
    return np.asarray(_Block(memory, size, shape, dtype))


def empty_like(x):
    """A C-contiguous array of the shape and dtype of x."""
    return empty(x.shape, x.dtype)


def memory_in_use():
    """Bytes that arrays made here look at now, and bytes that wait to be used again -> (int, int)"""
    with locks.memory:
        return _taken, _idle_bytes


def release_memory():
    """Give all waiting memory back to the system, and the calling thread's scratch memory."""
    global _idle_bytes, _most_taken
    with locks.memory:
        _idle.clear()
        _idle_bytes, _most_taken = 0, _taken
    for scratch in _scratch:
        scratch.of.cache_clear()


class _Scratch(threading.local):
    """What each thread has for itself."""

    def __init__(self, make):
        self.of = functools.lru_cache(maxsize=8)(make)


_scratch = []


def scratch(make):
    """An object whose `of(...)` is make(...), made once for each thread: memory for the time of one kernel."""
    _scratch.append(_Scratch(make))
    return _scratch[-1]
