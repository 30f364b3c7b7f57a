"""What matrix products read: `float32` (default) or `bfloat16`. Everything else stays in float32.

    with use_precision("bfloat16"): ...   # only inside; see ops/bfloat16.py for the arithmetic

Arrays in float64 are multiplied in float64 whatever the precision is: a gradient check is not about rounding. A small
product that every gradient passes can ask for float32 by itself: `in_float32`.
"""

import contextlib
import threading

import numpy as np

from .backend import Choice, use

PRECISIONS = ("float32", "bfloat16")

_PRECISION = Choice("precision", PRECISIONS, "float32")


def current_precision():
    """The precision of matrix products: "float32" or "bfloat16"."""
    return _PRECISION.value


def use_precision(name):
    """Choose the precision, for good or, with `with`, for one block of code; ValueError for an unknown name."""
    return use(_PRECISION, name)


_THREAD = threading.local()


@contextlib.contextmanager
def in_float32():
    """The products of one block of code read float32, whatever the precision is: those of this thread alone."""
    before = getattr(_THREAD, "in_float32", False)
    _THREAD.in_float32 = True
    try:
        yield
    finally:
        _THREAD.in_float32 = before


_OPERANDS = {np.dtype(name): np.empty(0, name) for name in ("float32", "float64", "uint32")}


def operands_of(dtype):
    """An empty array of the type that products of this dtype read: kernels are compiled for its type."""
    return _OPERANDS[np.dtype(np.uint32) if rounds(dtype) else dtype]


def rounds(dtype):
    """Whether a product of arrays of this dtype rounds its operands to bfloat16."""
    return _PRECISION.value == "bfloat16" and dtype == np.float32 and not getattr(_THREAD, "in_float32", False)
