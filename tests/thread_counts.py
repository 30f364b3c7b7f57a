"""Another number of threads for one block of code; several functions at once."""

import contextlib
import sys
import threading

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


def at_once(functions):
    """Call each function in a thread of its own, with frequent switches between them, and wait for all."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        workers = [threading.Thread(target=function) for function in functions]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(interval)
