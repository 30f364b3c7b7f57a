"""How long OpenMP's threads wait for the next kernel before they fall asleep.

Waking one up takes 50 us, as long as a small kernel; but threads that never sleep stop a busy machine: on 2 cores
shared with another program a kernel took 12 ms instead of 7 us. So ours watch for about a tenth of a millisecond,
longer than Python needs between two kernels.

OpenMP reads this from the environment, once, for all that use it in a process. So it is said only in processes that are
ours: the command line's. Who imports the package into another program sets OMP_WAIT_POLICY (and GOMP_SPINCOUNT) before
its first parallel kernel, or leaves OpenMP its own way. The user's own OMP_WAIT_POLICY is never changed.
"""

import os

_ours = False


def this_process_is_ours():
    """From here on `choose` may set what the whole process sees."""
    global _ours
    _ours = True


def choose():
    """Called just before the first parallel kernel; other libraries have started their threads in their own way."""
    if _ours and "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")
