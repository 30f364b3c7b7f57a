"""A kernel of a student's that the checks run as plain Python: can Numba compile it?"""

import pytest

from minimobilebert.course.shared.manifest import load
from minimobilebert.course.student import check, compiling
from minimobilebert.course.student.compiling import is_kernel, why_not
from minimobilebert.kernels.runtime.jit import HAVE_NUMBA

pytestmark = pytest.mark.skipif(not HAVE_NUMBA, reason="Numba is switched off")

FILE = """import numba
import numpy as np

jit = numba.njit


def helper(x):
    return x


@jit
def kernel(a, out):
    for i in range(a.shape[0]):
        out[i, 0] = LINE


def plain(a, out):
    out[...] = a
"""


@pytest.mark.parametrize(("line", "words"), [
    ("a[i, 0]", ""), ("helper(a[i, 0])", "Untyped global name 'helper'"), ("np.einsum('ij->', a)", "numpy.einsum"),
    ("a.reshape(-1)[i]", ""),
])  # fmt: skip
def test_the_reason_is_one_line(tmp_path, line, words):
    (tmp_path / "rungs.py").write_text(FILE.replace("LINE", line), encoding="utf-8")
    reason = why_not(tmp_path, "rungs.py:kernel")
    assert words in reason and "\n" not in reason
    assert bool(reason) == bool(words)


def test_what_is_a_kernel(tmp_path):
    (tmp_path / "rungs.py").write_text(FILE, encoding="utf-8")
    assert is_kernel(tmp_path, "rungs.py:kernel")
    assert not is_kernel(tmp_path, "rungs.py:plain") and not is_kernel(tmp_path, "rungs.py:absent")


def test_check_says_so_after_it_has_passed(monkeypatch):
    course = load()
    monkeypatch.setattr(check, "why_not", lambda root, function: "no dict with two kinds of keys")
    [(_, result, text)] = check.Checker(course).check([course.task("08.1")])
    assert result.passed and "note        right, but Numba cannot compile it" in text and "two kinds of keys" in text
    monkeypatch.setattr(check, "why_not", compiling.why_not)
    [(_, result, text)] = check.Checker(course).check([course.task("08.1")])
    assert result.passed and "note" not in text
