"""Two back ends, one meaning: `numba` (default) and `numpy`.

An operation is written in NumPy, where its equation is (ops/). Where that is too slow, a compiled twin in this folder
does the same, and the operation names it:

    @accelerated_by(kernel.softmax_forward, cache=SoftmaxCache)
    def softmax_forward(x): ...

Which of the two runs is decided at each call by `MINIMOBILEBERT_BACKEND` or by `use_backend(...)`.
"""

import functools
import os
import threading

BACKENDS = ("numba", "numpy")
_LOCK = threading.Lock()


class Choice:
    """One of several values: the same for the whole process until somebody chooses another one."""

    def __init__(self, name, values, value):
        """name: what messages call it; ValueError where `value` is none of `values`"""
        self.name, self.values, self.value = name, values, value
        self.blocks, self.chosen = [], 0  # of `with`, in the order in which they were chosen; how many ever were
        self.check(value)

    def check(self, value):
        """ValueError where `value` is not one of them."""
        if value not in self.values:
            raise ValueError(f"{self.name}: found {value!r}, expected one of {', '.join(map(str, self.values))}")


class use:
    """Choose from here on, or, with `with`, for one block of code.

    Blocks of several threads may overlap. Where the newest one ends, the value is again the one before it; where an
    older one ends, the newer ones go on, and what was before the older one is now before the next.
    """

    def __init__(self, choice, value):
        choice.check(value)
        self._choice, self._value, self._open = choice, value, []
        self._next = self._choose()

    def _choose(self):
        """-> a block: its number, the value before it"""
        choice = self._choice
        with _LOCK:
            choice.chosen += 1
            block = [choice.chosen, choice.value]
            choice.value = self._value
        return block

    def __enter__(self):
        block, self._next = self._next or self._choose(), None  # a block may be entered again
        self._open.append(block)
        with _LOCK:
            self._choice.blocks.append(block)
            self._choice.blocks.sort()  # two threads may enter in another order than they have chosen in
        return self

    def __exit__(self, *exception):
        block = self._open.pop()
        with _LOCK:
            blocks = self._choice.blocks
            index = blocks.index(block)
            del blocks[index]
            if index < len(blocks):
                blocks[index][1] = block[1]
            else:
                self._choice.value = block[1]


_BACKEND = Choice("MINIMOBILEBERT_BACKEND", BACKENDS, os.environ.get("MINIMOBILEBERT_BACKEND", "numba"))
_BACKEND.name = "back end"


def current_backend():
    """The name of the back end that runs now: "numba" or "numpy"."""
    return _BACKEND.value


def use_backend(name):
    """Choose the back end, for good or for one block of code.

        use_backend("numpy")              # from here on
        with use_backend("numpy"): ...    # only inside

    Raises ValueError for an unknown name.
    """
    return use(_BACKEND, name)


def accelerated_by(compiled, cache=None):
    """The decorator of an operation that has a compiled twin.

    compiled: a function with the same signature. What it returns is what the operation returns; but kernels know no
    types of caches, so where `cache` is such a type the twin returns y and the cache's fields as a tuple.
    """

    def decorate(operation):
        """operation -> the function that runs one of the two; it keeps both as `numpy_twin` and `compiled_twin`"""

        @functools.wraps(operation)
        def run(*args, **kwargs):
            """The operation in the back end that is chosen."""
            if _BACKEND.value == "numpy":
                return operation(*args, **kwargs)
            if cache is None:
                return compiled(*args, **kwargs)
            y, fields = compiled(*args, **kwargs)
            return y, cache(*fields)

        run.numpy_twin, run.compiled_twin = operation, compiled
        return run

    return decorate
