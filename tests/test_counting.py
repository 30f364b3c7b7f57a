"""Counting arrays: every number that a loop reads or writes is written down once, in its order, at its place."""

from collections import Counter

import numpy as np
import pytest

from minimobilebert.kernels.teaching import ladder
from minimobilebert.kernels.teaching.counting import READ, WRITTEN, counted, in_python


def counts(function, rows=3, depth=5, columns=4):
    """-> {(array, READ or WRITTEN): how often}, the log, and whether the product is right"""
    rng, log = np.random.default_rng(1), []
    a, b, out = rng.normal(size=(rows, depth)), rng.normal(size=(depth, columns)), np.empty((rows, columns))
    function(*(counted(x, log, name) for name, x in (("a", a), ("b", b), ("out", out))))
    assert np.allclose(out, a @ b)
    return Counter((name, what) for name, _, what in log), log


def test_a_loop_is_counted_number_by_number():
    with in_python(ladder):
        found, log = counts(ladder.multiply_naive)
    assert found == {("a", READ): 60, ("b", READ): 60, ("out", WRITTEN): 12}
    assert log[:4] == [("a", 0, READ), ("b", 0, READ), ("a", 1, READ), ("b", 4, READ)]


def test_compiled_functions_are_python_inside_only():
    before = ladder.multiply_loop_order
    with in_python(ladder):
        assert type(ladder.multiply_loop_order) is type(counts)
    assert ladder.multiply_loop_order is before


def by_rows(a, b, out):
    out[...] = 0.0
    for i in range(len(a)):
        for k in range(len(b)):
            out[i] += a[i, k] * b[k]


def by_views(a, b, out):
    out[:] = 0.0
    for number, row, target in zip(a[::-1], range(len(a)), out[::-1], strict=True):
        assert row < len(a)
        for x, other in zip(number, b, strict=True):
            for j, y in enumerate(other):
                target[j] += x * y


@pytest.mark.parametrize("function", [by_rows, by_views])
def test_rows_and_views_count_as_their_numbers(function):
    found, log = counts(function)
    wanted = {("a", READ): 15, ("b", READ): 60, ("out", READ): 60, ("out", WRITTEN): 72}
    assert found == wanted
    assert [place for name, place, _ in log if name == "b"][:8] == list(range(8))
    assert {place for name, place, _ in log if name == "out"} == set(range(12))


def test_places_in_a_transposed_view_are_those_of_memory():
    log = []
    x = counted(np.arange(6.0).reshape(2, 3), log, "x")
    assert x.T[2, 0] == 2.0 and x[:, 1:].T[1, 1] == 5.0 and (x.T[1] + 0.0).tolist() == [1.0, 4.0]
    assert [place for _, place, _ in log] == [2, 5, 1, 4]


def test_a_copy_is_read_and_then_ordinary():
    log = []
    x = counted(np.arange(4.0), log, "x")
    copy = x[[3, 1]]
    assert type(copy) is np.ndarray and copy.tolist() == [3.0, 1.0] and [place for _, place, _ in log] == [3, 1]
    x[2:] = x[:2]
    assert x.tolist() == [0.0, 1.0, 0.0, 1.0]
    assert log[2:] == [("x", 0, READ), ("x", 1, READ), ("x", 2, WRITTEN), ("x", 3, WRITTEN)]


@pytest.mark.parametrize("product", [np.matmul, np.dot, lambda a, b: a @ b, lambda a, b: np.einsum("ik,kj", a, b)])
def test_a_product_in_one_call_is_refused(product):
    x = counted(np.ones((2, 2)), [], "x")
    with pytest.raises(TypeError, match="expected loops"):
        product(x, x)
    assert np.zeros_like(x).tolist() == [[0.0, 0.0]] * 2
