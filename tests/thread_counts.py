"""Another number of threads for one block of code."""

import contextlib

from minimobilebert.kernels.runtime.jit import get_num_threads, set_threads


@contextlib.contextmanager
def threads(count):
    """Kernels use `count` threads inside, and as many as before afterwards."""
    before = get_num_threads()
    set_threads(count)
    try:
        yield
    finally:
        set_threads(before)
