"""Two back ends, one meaning: `numba` (default) and `numpy`.

Every kernel file writes the same function twice: once in plain NumPy, which reads like the equation,
and once as loops that Numba compiles. `by_backend` joins the two under one name; which one runs is
decided at each call by `MINIMOBILEBERT_BACKEND` or by `use_backend(...)`.
"""

import functools
import os

BACKENDS = ("numba", "numpy")
_current = os.environ.get("MINIMOBILEBERT_BACKEND", "numba")
if _current not in BACKENDS:
    raise ValueError(f"MINIMOBILEBERT_BACKEND: found {_current!r}, expected one of {', '.join(BACKENDS)}")


def current_backend():
    """The name of the back end that runs now: "numba" or "numpy"."""
    return _current


class use_backend:
    """Choose the back end, for good or for one block of code.

        use_backend("numpy")              # from here on
        with use_backend("numpy"): ...    # only inside

    Raises ValueError for an unknown name.
    """

    def __init__(self, name):
        global _current
        if name not in BACKENDS:
            raise ValueError(f"back end: found {name!r}, expected one of {', '.join(BACKENDS)}")
        self._previous, _current = _current, name

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        global _current
        _current = self._previous


def by_backend(*, numpy, numba):
    """One public function out of two twins; it has the signature and the docstring of the NumPy twin."""

    @functools.wraps(numpy)
    def dispatch(*args, **kwargs):
        return (numba if _current == "numba" else numpy)(*args, **kwargs)

    dispatch.numpy_twin, dispatch.numba_twin = numpy, numba
    dispatch.__name__ = dispatch.__qualname__ = numpy.__name__.removesuffix("_numpy")
    return dispatch
