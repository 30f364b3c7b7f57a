"""`doctor`: check the requirements of this project. It prints one line per check, with advice for a problem."""

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import sys

from .support.project import ROOT, in_project
from .support.regular_files import read_text
from .support.tables import aligned

REQUIRED, OPTIONAL = ("numpy", "numba", "tqdm"), ("pytest", "hypothesis", "matplotlib", "safetensors", "torch")

_EXAMPLE = "mpiexec -n 2 python -m mpi4py -m minimobilebert ..."


def _check(name, ok, found, advice=""):
    return {"check": name, "ok": bool(ok), "found": str(found), "advice": "" if ok else advice}


def _packages():
    for name in REQUIRED + OPTIONAL:
        try:
            yield _check(name, True, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            if name in REQUIRED:
                yield _check(name, False, "not installed", "make setup")
            else:
                yield _check(name, True, "not installed (optional)")


def _numba():
    """Compile a small function, and report the vector instructions."""
    try:
        import llvmlite.binding
        import numba

        compiled = numba.njit(lambda x: x + 1)(1) == 2
    except Exception as error:  # report any error
        yield _check("numba compiles", False, f"{type(error).__name__}: {error}", "set MINIMOBILEBERT_BACKEND=numpy")
        return
    yield _check("numba compiles", compiled, "yes" if compiled else "no", "set MINIMOBILEBERT_BACKEND=numpy")
    features = llvmlite.binding.get_host_cpu_features()
    known = [name for name in ("avx512f", "avx2", "fma", "neon") if features.get(name)]
    yield _check("processor", True, f"{llvmlite.binding.get_host_cpu_name()}: {', '.join(known) or 'no known vectors'}")


def _threads():
    """The number of threads that kernels use, and its origin."""
    from .kernels.runtime.processors import affinity, quota

    limit = quota()
    paid = "no container quota" if limit is None else f"the container's quota pays for {limit:g}"
    yield _check("processors", True, f"{affinity()} of {os.cpu_count()} (affinity), {paid}")
    try:
        import numba

        from .kernels.runtime.jit import get_num_threads

        found = f"{get_num_threads()} for kernels"
        with contextlib.suppress(ValueError):  # the NumPy back end starts none
            found += f", threading layer {numba.threading_layer()}"
    except Exception as error:
        yield _check("threads", False, f"{type(error).__name__}: {error}", "set NUMBA_THREADING_LAYER=workqueue")
        return
    policy = os.environ.get("OMP_WAIT_POLICY")
    yield _check("threads", True, f"{found}, OMP_WAIT_POLICY {policy or 'not set'}")


def _precision():
    """How products in bfloat16 are computed: in any case the same numbers."""
    try:
        from .kernels.gemm.tiles import HAS_PAIRS, PATH
    except ImportError as error:
        yield _check("bfloat16", False, error, "make setup")
        return
    how = "one instruction for a pair of products" if HAS_PAIRS else "emulated in float32, not faster than float32"
    yield _check("bfloat16", True, f"{how} (register tile: {PATH})")


def _ranks():
    """Whether several processes can train together, and those that were started together: a line for each."""
    try:
        version = importlib.metadata.version("mpi4py")
    except importlib.metadata.PackageNotFoundError:
        yield _check("ranks", True, "one process; mpi4py is not installed (optional)")
        return
    from .distributed.communicator import current, gather_bytes
    from .kernels.runtime.jit import get_num_threads

    communicator = current()
    if not communicator.is_launched:
        yield _check("ranks", True, f"one process; mpi4py {version}: {_EXAMPLE} starts two")
        return
    yield _check("ranks", True, f"{communicator.size}, mpi4py {version}, {communicator.library}")
    processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    found = f"{platform.node()}: {get_num_threads()} threads on processors {', '.join(map(str, processors))}"
    for rank, content in enumerate(gather_bytes(communicator, found.encode())):
        yield _check(f"rank {rank}", True, content.decode())


def _kernel_cache():
    """Write a file of the size of a kernel to the kernel cache, and read it again."""
    try:
        from .kernels.runtime import cache
    except ImportError as error:
        yield _check("kernel cache", False, error, "make setup")
        return
    name, key, payload = f"doctor.{os.getpid()}{cache.SUFFIX}", b"doctor", os.urandom(1 << 18)
    folder, failed = cache.keep(name, key, payload)
    if folder is None:
        advice = "set NUMBA_CACHE_DIR to a folder; until then each process compiles for half a minute"
        yield _check("kernel cache", False, f"cannot be written: {'; '.join(failed)}", advice)
        return
    same = cache.read(folder, name, key) == payload
    (folder / name).unlink(missing_ok=True)
    why = f" (not in {'; '.join(failed)})" if failed else ""
    yield _check("kernel cache", same, f"{folder}{why}", "what was written is not what was read: check the disk")


def _isolation():
    """In what `grade` runs submissions."""
    from .course.sandbox import isolation

    try:
        name = isolation.choose()
        isolation.try_out(name, ROOT)
    except isolation.IsolationError as error:
        yield _check("isolation", False, error, "only `grade` needs it: `grade --isolation NAME` chooses another one")
        return
    yield _check("isolation", True, f"{name}: {isolation.EXPLAINED[name]}")


def _data():
    sums = ROOT / "data" / "SHA256SUMS"
    if not in_project():
        yield _check("texts", True, "none in an installed package: train-tiny --text FOLDER, or run from a clone")
        return
    if not sums.exists():
        yield _check("texts", False, f"{sums} not found", "git checkout data")
        return
    for number, line in enumerate(read_text(sums).splitlines(), start=1):
        digest, _, name = line.partition("  ")
        if not re.fullmatch("[0-9a-f]{64}  [^/\\\\]+", line):
            yield _check("texts", False, f"{sums}: line {number}: found no checksum and name", "git checkout data")
            continue
        file = ROOT / "data" / name
        same = file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == digest
        yield _check(name, same, "checksum right" if same else "missing or changed", "git checkout data")


def diagnose():
    """-> a list of {"check", "ok", "found", "advice"}"""
    version = sys.version.split()[0]
    checks = [_check("Python", sys.version_info >= (3, 11), version, "Python 3.11 or newer is needed")]
    checks += _packages()
    checks += _numba()
    checks += _threads()
    checks += _precision()
    checks += _ranks()
    checks += _kernel_cache()
    checks += _isolation()
    checks += _data()
    free = shutil.disk_usage(ROOT).free / 2**30
    checks.append(_check("free disk", free > 1.0, f"{free:.1f} GiB", "a run needs about 100 MiB, packages 1 GiB"))
    return checks


def format_diagnosis(checks):
    """The list as aligned lines, and one that sums up."""
    lines = aligned(
        [
            [
                "[ok]" if c["ok"] else "[PROBLEM]",
                c["check"],
                c["found"] + (f"  -> {c['advice']}" if c["advice"] else ""),
            ]
            for c in checks
        ],
        left=range(3),
    )
    bad = sum(not check["ok"] for check in checks)
    return "\n".join([*lines, "", "all is well" if not bad else f"{bad} problem(s)"])
