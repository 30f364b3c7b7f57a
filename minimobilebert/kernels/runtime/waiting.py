"""How long OpenMP's threads wait for the next kernel before they fall asleep.

Waking one up takes 50 us, as long as a small kernel; but threads that never sleep stop a busy machine: on 2 cores
shared with another program a kernel took 12 ms instead of 7 us. So the threads spin for about a tenth of a millisecond,
longer than Python needs between two kernels.

OpenMP reads this from the environment, once, for everything that uses it in a process. So it is set only in the
processes of the command line. A program that imports the package sets OMP_WAIT_POLICY (and GOMP_SPINCOUNT) before its
first parallel kernel, or keeps OpenMP's defaults. The user's own OMP_WAIT_POLICY is never changed.
"""

import os

_command_line = False


def the_process_is_the_command_line():
    """From here on `choose` may set what the whole process sees."""
    global _command_line
    _command_line = True


def choose():
    """Called just before the first parallel kernel; other libraries have started their threads in their own way."""
    if _command_line and "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")
