"""Units that kernels call by address: the right function, the right arguments, and no call that could corrupt memory."""

import numba
import numpy as np
import pytest

from minimobilebert.kernels.runtime.by_address import by_address
from minimobilebert.kernels.runtime.jit import HAVE_NUMBA

pytestmark = pytest.mark.skipif(not HAVE_NUMBA, reason="Numba is switched off")


@by_address("int int2 number numbers numbers bools")
def _line(row, pair, factor, x, out, wanted):
    """out[row * n + j] = factor * x[j] + pair[0] - pair[1] where wanted"""
    for j in range(x.size):
        if wanted[j]:
            out[row * x.size + j] = factor * x[j] + pair[0] - pair[1]


@numba.njit(parallel=True)
def _lines(line_at, rows, factor, x, out, wanted):
    for row in numba.prange(rows):  # an unsigned number, which the call turns into a signed one
        _line(line_at, row, (row, 2), factor, x, out, wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_unit_gets_its_arguments_in_every_thread(dtype):
    x, wanted = np.arange(5, dtype=dtype), np.array([True, False, True, True, True])
    out = np.full(7 * 5, -1, dtype)
    _lines(_line.address(np.dtype(dtype)), 7, dtype(3), x, out, wanted)
    expected = np.where(wanted, 3 * x + np.arange(7)[:, None] - 2, -1)
    np.testing.assert_array_equal(out.reshape(7, 5), expected)


def test_each_type_has_its_own_address_and_keeps_it():
    single, double = (_line.address(np.dtype(kind)) for kind in (np.float32, np.float64))
    assert single and double and single != double
    assert _line.address(np.dtype(np.float32)) == single


@pytest.mark.parametrize("x", [np.zeros((2, 3), np.float32), np.zeros(6, np.float32)[::2]], ids=["two axes", "gaps"])
def test_an_array_of_another_form_is_refused_when_the_kernel_is_compiled(x):
    out, wanted = np.zeros(9, np.float32), np.ones(3, bool)
    with pytest.raises(TypeError, match="argument 3"):
        _lines(_line.address(np.dtype(np.float32)), 1, np.float32(1), x, out, wanted)


def test_arrays_of_two_types_in_one_call_are_refused():
    with pytest.raises(TypeError, match="argument 4"):
        _lines(
            _line.address(np.dtype(np.float32)),
            1,
            np.float32(1),
            np.zeros(3, np.float32),
            np.zeros(3),
            np.ones(3, bool),
        )
