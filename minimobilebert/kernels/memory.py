"""Memory for results and scratch, used again instead of asked for again.

A training step makes the same arrays every time. Memory that comes fresh from the operating system has to be mapped
page by page while it is first written, which costs more than the arithmetic of an addition. So memory of a large array
comes back here when the last array that looks at it is gone, and the next array of about that size gets it.

    x = empty((64, 512), np.float32)        like np.empty: any numbers may be in it
    del x                                   its memory waits for the next array of about 64 * 512 * 4 bytes
"""

import math

import numpy as np

SMALLEST = 1 << 16  # bytes; the C library keeps smaller ones, and gives larger ones back to the system too often
LARGEST_IDLE = 1 << 31  # bytes that may wait at the same time; more are given back to the system
ALIGNMENT = 64  # bytes of a cache line: a vector across two lines loads slower

_idle, _idle_bytes, _taken = {}, 0, 0


class _Block:
    """Memory of one array; hands it back when no array looks at it any more."""

    __slots__ = ("memory", "__array_interface__")

    def __init__(self, memory, shape, dtype):
        self.memory = memory
        self.__array_interface__ = {
            "shape": shape, "typestr": dtype.str, "version": 3,
            "data": (memory.ctypes.data + -memory.ctypes.data % ALIGNMENT, False),
        }  # fmt: skip

    def __del__(self):
        global _idle_bytes, _taken
        memory = self.memory
        _taken -= memory.nbytes
        if _idle_bytes + memory.nbytes <= LARGEST_IDLE:
            _idle.setdefault(memory.nbytes, []).append(memory)
            _idle_bytes += memory.nbytes


def empty(shape, dtype):
    """Like np.empty: shape int or tuple, dtype -> C-contiguous array"""
    global _idle_bytes, _taken
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    size = math.prod(shape) * dtype.itemsize
    if size < SMALLEST:
        return np.empty(shape, dtype)
    size += ALIGNMENT
    step = 1 << (size.bit_length() - 4)  # sizes in steps of an eighth at most: batches of like lengths share memory
    size = -(-size // step) * step
    waiting = _idle.get(size)
    if waiting:
        memory = waiting.pop()
        _idle_bytes -= size
    else:
        memory = np.empty(size, np.uint8)
    _taken += size
    return np.asarray(_Block(memory, shape, dtype))


def empty_like(x):
    """A C-contiguous array of the shape and dtype of x."""
    return empty(x.shape, x.dtype)


def memory_in_use():
    """Bytes that arrays made here look at now, and bytes that wait to be used again -> (int, int)"""
    return _taken, _idle_bytes


def release():
    """Give all waiting memory back to the system."""
    global _idle_bytes
    _idle.clear()
    _idle_bytes = 0
