"""The locks of everything that the user's threads share, and what happens to them when the process is forked.

A child begins with one thread. A lock that another thread of the parent held at that moment would stay shut in the
child for ever, and what it guards would be half-done. So the forking thread takes all locks first and opens them again
on both sides. The order is that of use: who holds one may take a later one, never an earlier one.
"""

import os
import threading

packing = threading.RLock()  # of a model's weights, for inference
launching = threading.RLock()  # of parallel kernels (threads.py)
memory = threading.RLock()  # the pool (memory.py); a garbage collection may ask for it at any time
order = [packing, launching, memory]


def _take_all():
    for lock in order:
        lock.acquire()


def _open_all():
    for lock in reversed(order):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_take_all, after_in_parent=_open_all, after_in_child=_open_all)
