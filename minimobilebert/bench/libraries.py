"""The libraries that `bench` compares with: which are installed, their versions, their numbers of threads, and the
environment variables that slow one of them down.

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
from .sides import BFLOAT16, ONNX, ONNX_INT8, TORCH, TORCH_BFLOAT16, TORCH_INT8, library_of, precision_of

# The packages of each side. threadpoolctl is optional, so it is not among them.
_TORCH = ("torch", "transformers")
_ONNX = ("onnx", "onnxruntime")
NEEDS = {TORCH: _TORCH, TORCH_BFLOAT16: _TORCH, TORCH_INT8: _TORCH, ONNX: _ONNX, ONNX_INT8: _ONNX}
# Instructions for products of bfloat16, as LLVM names them: x86-64 and 64-bit Arm.
_PAIRS = ("avx512bf16", "amx-bf16", "bf16")
_BUSY = 1.2  # load average; above 1 because the minute before may have been a measurement too

_NUMPY_THREADS = "NumPy's BLAS starts with that many threads; bench can set its own number only with threadpoolctl"
_MKL = "MKL (PyTorch's products in float32; in some builds NumPy's)"
_ONEDNN = "PyTorch's oneDNN may use no newer instructions; without AVX512_CORE_BF16, products in bfloat16 are emulated"
_OURS = "our kernels are compiled for that processor, not for this one"
# Environment variables that slow one side down, which would then not be at its best: what each does to whom.
HANDICAPS = {
    "OPENBLAS_CORETYPE": "NumPy's OpenBLAS runs the kernels for that processor, not those for this one",
    "OPENBLAS_L2_SIZE": "NumPy's OpenBLAS chooses its blocks for a second-level cache of that many KB",
    "OPENBLAS_NUM_THREADS": _NUMPY_THREADS,
    "OMP_NUM_THREADS": f"{_NUMPY_THREADS}; PyTorch starts with as many, and bench sets its own number",
    "OMP_THREAD_LIMIT": "PyTorch never has more threads than that, whatever bench sets",
    "MKL_NUM_THREADS": f"{_MKL} starts with that many threads; bench sets its own number",
    "MKL_CBWR": f"{_MKL} uses that instruction set, for the same bits on every processor",
    "MKL_DEBUG_CPU_TYPE": f"{_MKL} runs the kernels for that processor; from 2020.1 on it ignores this",
    "MKL_ENABLE_INSTRUCTIONS": f"{_MKL} may use no newer instructions; on Intel's processors only",
    "ONEDNN_MAX_CPU_ISA": _ONEDNN,
    "DNNL_MAX_CPU_ISA": _ONEDNN,
    "ATEN_CPU_CAPABILITY": "PyTorch's own kernels (activations, norms, softmax, conversions) use that instruction set",
    "NPY_DISABLE_CPU_FEATURES": "NumPy's own loops (not its BLAS) may not use these instructions",
    "NUMBA_CPU_NAME": _OURS,
    "NUMBA_CPU_FEATURES": _OURS,
    "MINIMOBILEBERT_SIMD": "our matrix products use the register tile for that instruction set",
}  # fmt: skip


def handicaps(environment):
    """Environment variables {name: value} -> a line for each that slows one side down"""
    return [f"warning: found {name}={environment[name]}: {effect}"
            for name, effect in HANDICAPS.items() if environment.get(name)]  # fmt: skip


def has_pairs():
    """Whether this processor has instructions for products in bfloat16; False if LLVM cannot say"""
    from llvmlite import binding

    try:
        features = binding.get_host_cpu_features()
    except RuntimeError:
        return False
    return any(features.get(name) for name in _PAIRS)


def load(wanted):
    """Import the packages of the sides -> the sides that can be measured; prints a line for each other side."""
    found, told = [], set()
    for side in wanted:
        if precision_of(side) == BFLOAT16 and not has_pairs():
            say(f"left out: {side}. This processor has no instructions for it, and emulating them is slower")
            continue
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
    if any(library_of(side) == TORCH for side in sides):
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

    from ..kernels.gemm.tiles import HAS_PAIRS, PATH

    versions = [f"Python {platform.python_version()}", f"NumPy {numpy.__version__}", f"Numba {numba.__version__}"]
    modules = dict.fromkeys(module for side in sides if side in NEEDS for module in NEEDS[side])
    versions += [f"{name} {require(name, 'compare').__version__}" for name in modules]
    blas = _blas()
    lines = [f"processor: {_processor()}, {os.cpu_count()} cores; our vectors: {PATH};"
             f" our bfloat16: {'one instruction for a pair of products' if HAS_PAIRS else 'emulated in float32'}",
             ", ".join(versions)]  # fmt: skip
    if blas:
        lines.append(f"NumPy's BLAS: {blas['internal_api']} {blas['version']}, kernels for {blas.get('architecture')};"
                     " its threads are set by threadpoolctl")  # fmt: skip
    else:
        lines.append("NumPy's BLAS: threads as its environment says (no threadpoolctl)")
    if hasattr(os, "getloadavg"):
        load = os.getloadavg()[0]
        busy = "; others may be at work: figures with all threads would then be too low" if load > _BUSY else ""
        lines.append(f"load before: {load:.1f} programs running on {os.cpu_count()} cores{busy}")
    return lines
