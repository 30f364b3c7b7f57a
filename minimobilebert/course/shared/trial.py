"""The argument `t` of a property: it draws inputs, calls the student's function, and compares with the expected result.

    t.rng                        the random generator of this property; it depends on the seed
    t.call(x, w, b)              call the student's function of this task -> its result
    t.call_keeping(x, w, b)      the same, and the arguments after the call
    t.run(driver, ...)           run a function of the properties file in the student's process
    t.expected(compute)          the reference's result: computed, or read from the recording
    t.equal("y", found, right)   compare arrays;  t.same("pieces", found, right)  compare other values
    t.require(condition, text)   fail with `text` unless the condition holds
    with t.case("plain BERT"):   name the case in the message of a failure

The student's code runs in another process (worker.py). A student edition does not contain the reference: `t.expected`
returns results that were recorded when the edition was made. Code that needs the reference must therefore be inside
`compute`.
"""

import contextlib
import importlib
import zlib

import numpy as np

from ...kernels.runtime.backend import use_backend
from . import comparison
from .comparison import Different


class Trial:
    """One property of one task, tried with one seed."""

    def __init__(self, task, name, worker, oracle, seed, seconds=10.0):
        self.task, self.name, self.seed = task, name, seed
        self._worker, self._oracle, self._seconds, self._asked = worker, oracle, seconds, 0
        self.failed_case = ""  # the name of the case that failed
        # Each property has its own stream, so that a change of one property does not change the numbers of the others.
        self.rng = np.random.default_rng([seed, zlib.crc32(f"{task.id} {name}".encode())])

    def call(self, *args, seconds=None, **kwargs):
        """Call the student's function -> its result. An error of its ends the property."""
        return self._worker.call(self.task.function, args, kwargs, seconds or self._seconds)[0]

    def call_keeping(self, *args, **kwargs):
        """-> result, the positional arguments after the call"""
        return self._worker.call(self.task.function, args, kwargs, self._seconds, keep=True)

    def run(self, driver, *args, seconds=None):
        """Run `driver(*args)` in the student's process. We send its source, so its imports must be in its body."""
        return self._worker.run(driver, args, seconds or self._seconds)

    def expected(self, compute, known=()):
        """compute(), or its recorded result in a student edition.

        known: drawn arrays that the result may contain unchanged (a cache contains the inputs); they are not recorded
        """
        self._asked += 1
        key = f"{self.task.id}/{self.name}/{self.seed}/{self._asked}"
        with use_backend("numpy"):
            return self._oracle.answer(key, compute, [array for array in known if isinstance(array, np.ndarray)])

    def equal(self, name, found, expected, tolerance=1e-10, dtype=None):
        """Different unless the arrays have the same shape, are equal relative to the largest expected number, and have
        the dtype, if given."""
        comparison.equal(name, found, expected, tolerance, dtype)

    def same(self, name, found, expected, tolerance=1e-10):
        """Different unless nested lists, tuples, dicts and named tuples have the same structure and equal contents."""
        comparison.same(name, found, expected, tolerance)

    def unchanged(self, names, before, after):
        """Different if an argument of a call was modified."""
        for name, was, now in zip(names, before, after, strict=True):
            comparison.unchanged(name, was, now)

    @contextlib.contextmanager
    def case(self, words):
        """A context for one of several cases of a property; the message of a failure in it names the case."""
        self.failed_case = words
        yield
        self.failed_case = ""

    def require(self, condition, text, tensor="result"):
        """Different with this text unless `condition` is true."""
        if not condition:
            raise Different(tensor, (), text)


def reference(function):
    """The project's function "minimobilebert/ops/linear.py:linear_forward"; only for use inside `compute`"""
    file, _, name = function.partition(":")
    value = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    for part in name.split("."):
        value = getattr(value, part)
    return value


class Live:
    """Answers by running the reference."""

    def answer(self, key, compute, known):
        return compute()


class Memory(Live):
    """Like Live, but runs the reference once per question and then returns the stored answer."""

    def __init__(self):
        self.answers = {}

    def answer(self, key, compute, known):
        if key not in self.answers:
            self.answers[key] = compute()
        return self.answers[key]


class Recorder(Live):
    """Like Live, and stores all answers: `answers` {key: (structure, arrays)}"""

    def __init__(self):
        self.answers = {}

    def answer(self, key, compute, known):
        from ..sandbox.wire import flatten

        value = compute()
        self.answers[key] = flatten(value, known)
        return value


class NotRecorded(ValueError):
    """The student edition has no recorded answer for this seed or key."""


class Replay:
    """Answers from a recording."""

    def __init__(self, answers, seeds):
        self.answers, self.seeds = answers, seeds

    def answer(self, key, compute, known):
        from ..sandbox.wire import unflatten

        if key not in self.answers:
            seed = key.split("/")[2]
            if int(seed) not in self.seeds:
                expected = " or ".join(map(str, self.seeds))
                raise NotRecorded(f"seed: found {seed}, expected {expected}: this edition has no other numbers")
            raise NotRecorded(f"recorded numbers: found none for {key}; make the student edition again")
        return unflatten(*self.answers[key], known)
