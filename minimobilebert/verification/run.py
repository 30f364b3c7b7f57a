"""`verify`: hash the results of fixed computations, and compare the hashes with those in expected.json.

The same seed gives the same bits on each x86-64 processor with AVX2 and on 64-bit Arm, with any number of threads, any
NumPy and any BLAS: kernels add in a fixed order (kernels/sums.py) and control where a multiply-add rounds
(kernels/multiply_add.py). This command checks it for this machine. It needs the numba back end, because NumPy's matrix
products depend on its BLAS.
"""

import json
import os
import pathlib
import platform
import time

import numpy as np

from ..kernels.runtime.backend import current_backend
from ..support.files import write_json
from ..support.tables import aligned
from ..support.terminal import progress_bar
from .digest import digest_of
from .operations import IN_FEWER_BITS, OPERATIONS
from .training import TRAININGS

EXPECTED = pathlib.Path(__file__).with_name("expected.json")


BOTH = ("float32", "float64")


def parts(dtypes=BOTH[:1]):
    """The computations in order -> {name: function without arguments}"""
    operations = {
        f"{name}, {dtype}": lambda function=function, dtype=dtype: function(np.dtype(dtype).type)
        for dtype in dtypes
        for name, function in OPERATIONS.items()
    }
    return operations | IN_FEWER_BITS | TRAININGS


def machine():
    """Processor, threads, system and packages of this machine -> {name: text}"""
    import llvmlite.binding
    import numba

    from ..kernels.gemm.tiles import PATH
    from ..kernels.runtime.jit import get_num_threads

    return {
        "processor": f"{platform.machine()} {numba.config.CPU_NAME or llvmlite.binding.get_host_cpu_name()}",
        "vectors": PATH,
        "threads": str(get_num_threads()),
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "packages": f"NumPy {np.__version__}, Numba {numba.__version__}, llvmlite {llvmlite.__version__}",
        "environment": " ".join(f"{k}={v}" for k, v in sorted(os.environ.items())
                                if k.startswith(("NUMBA_", "MINIMOBILEBERT_SIMD", "OPENBLAS_", "NPY_"))) or "plain",
    }  # fmt: skip


def verify(names=None, dtypes=BOTH[:1]):
    """Compute all parts, or those in `names`; operations in the given dtypes

    -> {"machine", "seconds", "hash", "ok", "parts": [{"part", "hash", "expected", "ok"}]}
    """
    if current_backend() != "numba":
        raise ValueError("verify: found the numpy back end, expected numba: NumPy's products depend on its BLAS")
    expected = json.loads(EXPECTED.read_text(encoding="utf-8")) if EXPECTED.exists() else {}
    chosen = {name: function for name, function in parts(dtypes).items() if names is None or name in names}
    start, rows = time.perf_counter(), []
    with progress_bar("verify", len(chosen), unit="part") as bar:
        for name, function in chosen.items():
            found, wanted = digest_of(function()), expected.get(name)
            rows.append({"part": name, "hash": found, "expected": wanted, "ok": found == wanted})
            bar.update(name)
    return {
        "machine": machine(), "seconds": time.perf_counter() - start,
        "hash": digest_of([row["hash"] for row in rows]), "ok": all(row["ok"] for row in rows), "parts": rows,
    }  # fmt: skip


def write_expected(report):
    """Write the hashes of a report to expected.json."""
    write_json(EXPECTED, {row["part"]: row["hash"] for row in report["parts"]})


def format_report(report):
    """Lines for people: what this machine is, a line a part, and the answer."""
    lines = aligned(list(report["machine"].items()), left=(0, 1)) + [""]
    lines += aligned(
        [
            [row["part"], row["hash"], "same" if row["ok"] else f"DIFFERENT, expected {row['expected']}"]
            for row in report["parts"]
        ],
        left=range(3),
    )
    different = sum(not row["ok"] for row in report["parts"])
    summary = f"all parts have the expected hashes, bit for bit ({report['hash']}, {report['seconds']:.0f} s)"
    if different:
        summary = f"{different} of {len(report['parts'])} parts differ from the expected hashes ({report['hash']})"
    return "\n".join([*lines, "", summary])
