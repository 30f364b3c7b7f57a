"""The same seed gives the same bits: for other processors, vector widths, threads, BLAS kernels and NumPy loops.

Each run is a process of its own that compiles the kernels for another target and hashes every operation and 20 training
steps (minimobilebert/verification), and then multiplies on that target's tile in float64 too (tile_check.py). One run
changes several things at once: if all are equal, none of them mattered. They start with the first test and run beside
the others; this processor's own tile is the turn of the process that asks.
"""

import json
import os
import platform

import numpy as np
import pytest
import tile_check
from background import Background
from documents import ROOT

from minimobilebert.cli import main
from minimobilebert.kernels.gemm import tiles
from minimobilebert.kernels.reductions import block_sums, dot, row_dots, row_sums
from minimobilebert.kernels.runtime.jit import HAVE_NUMBA
from minimobilebert.verification import operations, run, training
from minimobilebert.verification.digest import digest_of

pytestmark = pytest.mark.skipif(not HAVE_NUMBA, reason="the promise is for the numba back end, which is off here")

X86 = platform.machine().lower() in ("x86_64", "amd64")
HASWELL = (
    "+64bit,+avx,+avx2,+bmi,+bmi2,+cmov,+cx16,+cx8,+f16c,+fma,+fsgsbase,+fxsr,+invpcid,+lzcnt,+mmx,+movbe,+pclmul,"
    "+popcnt,+rdrnd,+sahf,+sse,+sse2,+sse3,+sse4.1,+sse4.2,+ssse3,+xsave,+xsaveopt"
)
SKYLAKE_X = HASWELL + (
    ",+adx,+aes,+avx512bw,+avx512cd,+avx512dq,+avx512f,+avx512vl,+clflushopt,+clwb,+prfchw,+rdseed,+xsavec,+xsaves"
)
OLD_NUMPY = "AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V4 AVX512F AVX512CD AVX2 FMA3 X86_V3"
PLAIN, HERE = "this processor, plain loops, 1 thread", "this processor"
FULL = "Skylake-X, 2 threads, Haswell's BLAS, less optimised"  # only with --all-targets: a minute of compilation
# name -> what this processor must have, environment variables
TARGETS = {
    "Haswell, 1 thread, Prescott's BLAS, NumPy without AVX2": ("avx2", {
        "NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": HASWELL, "NUMBA_NUM_THREADS": "1",
        "OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": OLD_NUMPY,
    }),
    FULL: ("avx512", {
        "NUMBA_CPU_NAME": "skylake-avx512", "NUMBA_CPU_FEATURES": SKYLAKE_X, "NUMBA_NUM_THREADS": "2",
        "OPENBLAS_CORETYPE": "Haswell", "NUMBA_OPT": "1",
    }),
    PLAIN: ("plain", {"MINIMOBILEBERT_SIMD": "plain", "NUMBA_NUM_THREADS": "1"}),
    HERE: (tiles.PATH, {}),
}  # fmt: skip
SCRIPT = """
import json, tile_check
from minimobilebert.verification.run import verify
report = verify({parts})
tile_check.check({path!r})
print()
print(json.dumps(report))
"""
# Left out, because compiling takes most of the time: inference everywhere (`verify` has it); attention in bfloat16,
# whose products are dense layers' products, on other tiles; and in plain loops all but what is written with vectors
# elsewhere: products, exponentials and the like. `make test ARGS=--all-targets` has everything.
PARTS = [name for name in run.parts() if not name.startswith("inference")]
OPERATIONS = [name for name in PARTS if name not in training.TRAININGS]
LATER = {"attention, bfloat16"}
IN_PLAIN_LOOPS = ("exp, log, tanh, Phi, float32", "dense layers, float32")


def _parts(name, everything):
    if name == PLAIN:
        return OPERATIONS if everything else list(IN_PLAIN_LOOPS)
    return PARTS if everything or name == HERE else [part for part in PARTS if part not in LATER]


def _possible(needed):
    return needed in ("plain", tiles.PATH) or (X86 and needed in tiles.SUPPORTED)


RUNS = Background()


def start(everything):
    """Start the targets that run in the background."""
    RUNS.start({
        name: ({**variables, "NUMBA_CACHE_DIR": "{folder}", "OMP_WAIT_POLICY": "passive",
                "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
               ["-c", SCRIPT.format(parts=_parts(name, everything), path=path)])
        for name, (path, variables) in TARGETS.items()
        if name != HERE and _possible(path) and (name != FULL or everything)
    })  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_computes_the_expected_bits(name, pytestconfig):
    if not _possible(TARGETS[name][0]):
        pytest.skip(f"this processor cannot run it: {', '.join(tiles.SUPPORTED) or 'no vectors known here'}")
    everything = pytestconfig.getoption("--all-targets")
    if name == FULL and not everything:
        pytest.skip("a minute of compilation: make test ARGS=--all-targets")
    if name == HERE:
        report = run.verify(PARTS)
        tile_check.check(tiles.PATH)
    else:
        code, printed = RUNS.output(name)
        assert code == 0, printed
        report = json.loads(printed.splitlines()[-1])
    different = {row["part"]: row["hash"] for row in report["parts"] if not row["ok"]}
    assert not different, f"{report['machine']}; after a change of the arithmetic: verify --write"
    assert [row["part"] for row in report["parts"]] == _parts(name, everything)


@pytest.mark.parametrize("part", ["exp, log, tanh, Phi, float64", "attention, float64"])
def test_float64_too(part):
    report = run.verify([part], run.BOTH)
    assert report["ok"], report["parts"]


def test_a_changed_bit_is_seen():
    x = np.arange(5, dtype=np.float32)
    y = x.copy()
    y[3] = np.nextafter(y[3], np.float32(9))
    assert digest_of(x) == digest_of(x.copy()) != digest_of(y)
    assert digest_of(x) != digest_of(x.astype(np.float64)) and digest_of([0.0]) != digest_of([-0.0])
    assert digest_of({"a": 1.0, "b": x}) == digest_of({"b": x, "a": 1.0}) != digest_of({"a": x, "b": 1.0})


def test_the_command_says_what_differs(monkeypatch, capsys):
    part = "embedding, dropout, float32"
    monkeypatch.setattr(run, "parts", lambda dtypes: {part: lambda: operations.tables(np.float32)})
    assert main(["verify"]) == 0
    assert "bit for bit" in capsys.readouterr().out
    monkeypatch.setattr(run, "parts", lambda dtypes: {part: lambda: np.zeros(3)})
    assert main(["verify", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [row["ok"] for row in report["parts"]] == [False] and report["machine"]["vectors"] == tiles.PATH
    assert main(["verify"]) == 1
    assert "DIFFERENT" in capsys.readouterr().out


def fixed_order_sum(x):
    """The order that kernels/sums.py promises, one number after the other."""
    group = 64 // x.itemsize
    whole = len(x) // group * group
    partial = np.zeros(4 * group, x.dtype)
    for i in range(whole):
        partial[i % len(partial)] += x[i]
    step = len(partial) // 2
    while step:
        partial = np.array([partial[i] + partial[i + step] for i in range(step)], x.dtype)
        step //= 2
    total = partial[0]
    for i in range(whole, len(x)):
        total = total + x[i]
    return total


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 100, 129, 513])
def test_sums_go_in_the_order_that_is_written_down(dtype, size):
    x = np.random.default_rng(size).normal(size=(3, size)).astype(dtype)
    np.testing.assert_array_equal(row_sums(x), [fixed_order_sum(row) for row in x])
    ones = np.ones_like(x)  # x * 1 is exact, so one rounding or two do not differ
    np.testing.assert_array_equal(row_dots(x, ones), [fixed_order_sum(row) for row in x])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5), (70_001,), (2, 65_536)])
def test_reductions_beside_float64(backend, dtype, shape):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, *shape)).astype(dtype)
    exact = float((x.astype(np.float64) * y).sum())
    size = float(np.abs(x.astype(np.float64) * y).sum())
    # 4096 numbers at a time in their own type: the error of a sum of n numbers is at most n units of rounding.
    assert abs(dot(x, y) - exact) <= size * 300 * np.finfo(dtype).eps
    if x.ndim == 2:
        np.testing.assert_allclose(row_dots(x, y), (x.astype(np.float64) * y).sum(-1), atol=size * np.finfo(dtype).eps)
        np.testing.assert_allclose(
            block_sums(x), x.astype(np.float64).sum(0), rtol=1e-6 if dtype == np.float32 else 1e-15
        )


def test_training_changes_with_the_seed(monkeypatch):
    """Or the hashes above could be those of constants."""
    first = digest_of(training.pretraining("classroom-student", 2))
    monkeypatch.setattr(training, "SEED", 903)
    assert digest_of(training.pretraining("classroom-student", 2)) != first
