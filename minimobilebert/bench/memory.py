"""Peak memory of a training step, measured in a new process for each side: the peak minus the memory after the imports.

On Linux we read the peak from /proc, because there ru_maxrss of getrusage is inherited from the parent process.
"""

import ctypes
import gc
import pathlib
import subprocess
import sys

_STATUS = pathlib.Path("/proc/self/status")
STEPS = 2


def peak_bytes():
    """The peak memory of this process -> bytes, or None if the system does not report it"""
    if _STATUS.exists():
        lines = dict(line.split(":", 1) for line in _STATUS.read_text(encoding="utf-8").splitlines())
        if "VmHWM" in lines:
            return 1024 * int(lines["VmHWM"].split()[0])
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def forget_peak():
    """Let the peak of this process be what it uses now, where the system (Linux) can do that.

    What was freed goes back to the system first: later allocations would take it, and would not count.
    """
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, TypeError, OSError):  # another C library than glibc, or Windows
        pass
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:  # another system, or one that does not allow it: the peak then includes what was before
        return


def memory_in_a_new_process(module, arguments, what):
    """Run `child(*arguments)` of a module of this room in a new process -> the bytes that it prints, or None

    what: is measured, for the message of the ValueError if the process fails
    """
    code = f"from minimobilebert.bench.{module} import child; child{tuple(arguments)!r}"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if finished.returncode:
        raise ValueError(f"{what}: {(finished.stderr.strip() or 'no message').splitlines()[-1]}")
    found = finished.stdout.split()[-1]
    return None if found == "None" else int(found)


def memory_of_step(name, side, threads):
    """Peak memory in bytes of `STEPS` steps of a case of training.py, in a new process; None if unknown"""
    return memory_in_a_new_process("memory", (name, side, threads), f"{name}: memory of {side}")


def child(name, side, threads):
    """Run in the new process; prints the bytes."""
    from .libraries import load, set_all_threads
    from .sides import OURS, library_of

    sides = load([side]) if library_of(side) != OURS else []
    from .training import CONFIGS, SHAPES, step_of

    set_all_threads(threads, sides)
    before = peak_bytes()
    step = step_of(CONFIGS[name], *SHAPES[name], side, threads)
    for _ in range(STEPS):
        step()
    print(None if before is None else peak_bytes() - before)
