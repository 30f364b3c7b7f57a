"""The libraries that `bench` compares with: which are installed, their versions, and their numbers of threads.

PyTorch must be imported before the kernels run: they set OMP_WAIT_POLICY (kernels/runtime/waiting.py), and PyTorch's
threads should keep their own default.

NumPy's threads belong to its BLAS library. threadpoolctl (extra `compare`) can set their number. Without it, the number
is fixed when NumPy is imported, by OPENBLAS_NUM_THREADS or OMP_NUM_THREADS, or as all cores; we then measure NumPy only
with that number.
"""

import os
import platform

from ..support.extras import MissingExtra, require
from ..support.project import how_to_install
from ..support.terminal import say

# The packages of each side. threadpoolctl is optional, so it is not among them.
NEEDS = {
    "torch": ("torch", "transformers"),
    "onnxruntime": ("torch", "transformers", "onnx", "onnxscript", "onnxruntime"),
}
_BUSY = 1.2  # load average; above 1 because the minute before may have been a measurement too


def load(wanted):
    """Import the packages of the sides -> the sides that can be measured; prints a line for each other side."""
    found, told = [], set()
    for side in wanted:
        try:
            for module in NEEDS[side]:
                require(module, "compare")
        except MissingExtra as missing:
            if str(missing) not in told:
                say(f"left out: {side}. {missing}")
            told.add(str(missing))
        else:
            found.append(side)
    return found


def _blas():
    """threadpoolctl's description of NumPy's BLAS -> dict, or None without threadpoolctl or a known BLAS"""
    try:
        control = require("threadpoolctl", "compare")
    except MissingExtra:
        return None
    libraries = [library for library in control.threadpool_info() if library["user_api"] == "blas"]
    of_numpy = [library for library in libraries if "numpy" in library["filepath"].lower()]
    return (of_numpy or libraries or [None])[0]


def set_all_threads(threads, sides):
    """Set the number of threads -> the sides that can use it; for ONNX Runtime it is set with each session"""
    from ..kernels.runtime.jit import set_threads

    set_threads(threads)
    able = list(sides)
    if "torch" in sides:
        require("torch", "compare").set_num_threads(threads)
    if "numpy" in sides:
        if _blas() is not None:
            require("threadpoolctl", "compare").threadpool_limits(threads, user_api="blas")
        fixed = _blas()["num_threads"] if _blas() else _threads_of_environment()
        if fixed != threads:
            able.remove("numpy")
            say(f"left out: numpy with {threads} threads. Its BLAS uses {fixed}; threadpoolctl can change that, and"
                f" comes with the extra 'compare': {how_to_install('compare')}")  # fmt: skip
    return able


def _threads_of_environment():
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return os.cpu_count()


def _processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def describe(sides):
    """Processor, versions, BLAS and load -> lines of text"""
    import numba
    import numpy

    from ..kernels.gemm.tiles import PATH

    versions = [f"Python {platform.python_version()}", f"NumPy {numpy.__version__}", f"Numba {numba.__version__}"]
    modules = dict.fromkeys(module for side in sides if side in NEEDS for module in NEEDS[side])
    versions += [f"{name} {require(name, 'compare').__version__}" for name in modules]
    blas = _blas()
    lines = [f"processor: {_processor()}, {os.cpu_count()} cores; our vectors: {PATH}", ", ".join(versions)]
    if blas:
        lines.append(f"NumPy's BLAS: {blas['internal_api']} {blas['version']}, kernels for {blas.get('architecture')};"
                     " its threads are set by threadpoolctl")  # fmt: skip
    else:
        lines.append("NumPy's BLAS: threads as its environment says (no threadpoolctl)")
    if "OPENBLAS_CORETYPE" in os.environ:
        lines.append(f"OPENBLAS_CORETYPE={os.environ['OPENBLAS_CORETYPE']}, which chooses the BLAS kernels")
    if hasattr(os, "getloadavg"):
        load = os.getloadavg()[0]
        busy = "; others may be at work: figures with all threads would then be too low" if load > _BUSY else ""
        lines.append(f"load before: {load:.1f} programs running on {os.cpu_count()} cores{busy}")
    return lines
