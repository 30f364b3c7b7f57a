"""The matrix product: every size, layout, type and path against a float64 product."""

import os
import subprocess
import sys

import numpy as np
import pytest
from documents import ROOT
from hypothesis import given
from hypothesis import strategies as st
from thread_counts import threads

from minimobilebert.kernels.gemm.matmul import matmul
from minimobilebert.kernels.runtime.backend import use_backend

SIZES = st.one_of(st.integers(0, 5), st.integers(6, 70))
LAYOUTS = ("rows", "columns", "row slice", "both strides", "read only")


def lay_out(array, layout):
    """The same numbers in another memory layout."""
    rows, columns = array.shape
    if layout == "columns":
        return np.asfortranarray(array)
    if layout == "row slice":
        wide = np.zeros((rows, columns + 3), array.dtype)
        wide[:, 1 : columns + 1] = array
        return wide[:, 1 : columns + 1]
    if layout == "both strides":
        wide = np.zeros((2 * rows, 2 * columns), array.dtype)
        wide[::2, ::2] = array
        return wide[::2, ::2]
    array = np.ascontiguousarray(array)
    if layout == "read only":
        array.flags.writeable = False
    return array


def assert_product(found, a, b, bias=None, before=None):
    """A sum of K products, in any order, is off by at most about K roundings of the sum of their sizes."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    expected, size = a @ b, np.abs(a) @ np.abs(b)
    for more in (bias, before):
        if more is not None:
            expected, size = expected + more, size + np.abs(more)
    bound = (a.shape[1] + 2) * np.finfo(found.dtype).eps * size
    assert (np.abs(found - expected) <= bound).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(m=SIZES, k=SIZES, n=SIZES, layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 2), seed=st.integers(0, 2**32 - 1))
def test_any_size_and_layout(backend, dtype, m, k, n, layouts, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    bias = rng.normal(size=n).astype(dtype)
    laid = lay_out(a, layouts[0]), lay_out(b, layouts[1])
    found = matmul(*laid, bias=bias)
    assert found.dtype == dtype and found.shape == (m, n)
    assert_product(found, a, b, bias)
    assert_product(matmul(*laid), a, b)
    np.testing.assert_array_equal(laid[0], a)
    np.testing.assert_array_equal(laid[1], b)


@pytest.mark.parametrize("shape", [(300, 700, 37), (1, 600, 129), (515, 1, 65), (64, 300, 1), (130, 513, 97)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_enough_for_blocks_and_threads(backend, shape, dtype):
    rng = np.random.default_rng(1)
    m, k, n = shape
    a, b, bias = (rng.normal(size=size).astype(dtype) for size in ((m, k), (k, n), n))
    for x in (a, np.asfortranarray(a)):
        for y in (b, np.asfortranarray(b)):
            assert_product(matmul(x, y), a, b)
            assert_product(matmul(x, y, bias=bias), a, b, bias)


def test_out_and_accumulate(backend):
    rng = np.random.default_rng(2)
    a, b, wide = (rng.normal(size=shape).astype(np.float32) for shape in ((33, 40), (40, 50), (33, 60)))
    bias, before = rng.normal(size=50).astype(np.float32), wide.copy()
    out = wide[:, 4:54]
    assert matmul(a, b, bias=bias, out=out, accumulate=True) is out
    assert_product(out, a, b, bias, before[:, 4:54])
    matmul(a, b, out=out)
    assert_product(out, a, b)
    np.testing.assert_array_equal(wide[:, :4], before[:, :4])
    np.testing.assert_array_equal(wide[:, 54:], before[:, 54:])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_reaches_its_own_row_and_column_only(backend, value):
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(71, 67)).astype(np.float32), rng.normal(size=(67, 53)).astype(np.float32)
    a[70, 3] = value
    with np.errstate(invalid="ignore"):  # NumPy warns of infinity minus infinity
        found = matmul(a, b)
    assert not np.isfinite(found[70]).any() and np.isfinite(found[:70]).all()
    a[70, 3], b[5, 52] = 1.0, value
    with np.errstate(invalid="ignore"):
        found = matmul(a, np.asfortranarray(b))
    assert not np.isfinite(found[:, 52]).any() and np.isfinite(found[:, :52]).all()


@pytest.mark.parametrize("shape", [(257, 300, 123), (6, 770, 1000), (3, 520, 4099)])
def test_one_and_two_threads_give_the_same_bits(shape):
    """Rows shared out, and, where there are few, columns; the depth in several blocks, with a bias."""
    pytest.importorskip("numba", reason="numba is not installed")
    rng = np.random.default_rng(4)
    m, k, n = shape
    a, b, bias = (rng.normal(size=size).astype(np.float32) for size in ((m, k), (k, n), n))
    with use_backend("numba"):
        two = matmul(a, b, bias=bias)
        assert_product(two, a, b, bias)
        with threads(1):
            one = matmul(a, b, bias=bias)
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("a", "b", "more", "words"),
    [
        (np.zeros((2, 3)), np.zeros((4, 5)), {}, r"\(2, 3\) and float64 \(4, 5\)"),
        (np.zeros((2, 3), np.float32), np.zeros((3, 5)), {}, "float32 .* and float64"),
        (np.zeros((2, 3)), np.zeros((3, 5)), {"bias": np.zeros(4)}, r"found bias float64 \(4,\)"),
        (np.zeros((2, 3)), np.zeros((3, 5)), {"out": np.zeros((5, 2))}, r"found out float64 \(5, 2\)"),
        (np.zeros((2, 3)), np.zeros((3, 5)), {"accumulate": True}, "accumulate without out"),
    ],
)
def test_operands_that_do_not_fit_are_one_clear_line(backend, a, b, more, words):
    with pytest.raises(ValueError, match=words):
        matmul(a, b, **more)


FEW = [(3, 5, 4), (1, 1, 1), (4, 9, 2), (0, 3, 2)]


def test_without_the_compiler_the_plain_loops_run():
    """Compiled tiles that are not this processor's: test_same_bits.py"""
    script = f"import tile_check; tile_check.check('plain', {FEW})"
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": f"{ROOT}:{ROOT}/tests"},
                   cwd=ROOT, check=True)  # fmt: skip


def test_many_panels_of_a_short_sum_stay_inside_the_workspace():
    """Panels of a copied block have gaps between them, which count most where K is small and b is wide."""
    pytest.importorskip("numba", reason="numba is not installed")
    from minimobilebert.kernels.gemm import matmul as module

    a, b = np.ones((256, 2), np.float32, order="F"), np.ones((2, 66560), np.float32)
    behind = 1 << 16
    with use_backend("numba"), threads(1):
        size = module._memory.of(np.dtype(np.float32), 1).size
        guarded = np.full(size + behind, 7.0, np.float32)
        usual, module._memory.of = module._memory.of, lambda dtype, parts: guarded[:size]
        try:
            found = matmul(a, b)
        finally:
            module._memory.of = usual
    assert (guarded[size:] == 7.0).all() and (found == 2.0).all()


def test_a_read_only_out_is_refused(backend):
    out = np.zeros((3, 4), np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out read-only"):
        matmul(np.ones((3, 2), np.float32), np.ones((2, 4), np.float32), out=out)
    assert not out.any()
