"""What a property is given: `t`, which draws, calls the student's function, knows what is right, and compares.

    t.rng                        a generator of this property's own: other seeds give other numbers
    t.call(x, w, b)              the student's function of this task -> what it returned
    t.call_keeping(x, w, b)      the same, and the arguments as they are after the call
    t.run(driver, ...)           a function of the property's file, run where the student's code is
    t.expected(compute)          what the reference gives: computed here, or read from the recording
    t.equal("y", mine, right)    compare arrays;  t.same("pieces", mine, right)  anything else
    t.require(condition, text)   a plain sentence
    with t.case("plain BERT"):   what fails inside says which case it was

The student's code is in another process (worker.py); in a student edition the reference is not there at all, and
`t.expected` answers from numbers that were recorded when the edition was made. So whatever needs the reference stands
inside `compute`, and everything else only uses what `t` gave.
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
        self.failed_case = ""  # the case that did not come to its end
        # The name is part of the stream: a property that draws more does not move the numbers of the next one.
        self.rng = np.random.default_rng([seed, zlib.crc32(f"{task.id} {name}".encode())])

    def call(self, *args, seconds=None, **kwargs):
        """The student's function. It may raise what worker.py lists; that ends the property."""
        return self._worker.call(self.task.function, args, kwargs, seconds or self._seconds)[0]

    def call_keeping(self, *args, **kwargs):
        """-> result, the positional arguments as they are after the call"""
        return self._worker.call(self.task.function, args, kwargs, self._seconds, keep=True)

    def run(self, driver, *args, seconds=None):
        """Run `driver(*args)` beside the student's code. It is sent as text, so it imports what it needs inside."""
        return self._worker.run(driver, args, seconds or self._seconds)

    def expected(self, compute, known=()):
        """compute(), or what it gave when the edition was made.

        known: arrays drawn here that the result contains as they are (a cache holds its inputs); they are not recorded
        """
        self._asked += 1
        key = f"{self.task.id}/{self.name}/{self.seed}/{self._asked}"
        with use_backend("numpy"):
            return self._oracle.answer(key, compute, [array for array in known if isinstance(array, np.ndarray)])

    def equal(self, name, yours, expected, tolerance=1e-10, dtype=None):
        """Arrays of one shape, and equal relative to the largest expected number; `dtype` where it matters."""
        comparison.equal(name, yours, expected, tolerance, dtype)

    def same(self, name, yours, expected, tolerance=1e-10):
        """Nested lists, tuples, dicts, named tuples: the same structure, and equal numbers, texts and arrays in it."""
        comparison.same(name, yours, expected, tolerance)

    def unchanged(self, names, before, after):
        """The arguments of a call are bit for bit what they were."""
        for name, was, now in zip(names, before, after, strict=True):
            comparison.unchanged(name, was, now)

    @contextlib.contextmanager
    def case(self, words):
        """One of several cases of a property: what fails inside, also with an error of the student's, names it."""
        self.failed_case = words
        yield
        self.failed_case = ""

    def require(self, condition, text, tensor="result"):
        """Different(text) unless `condition`."""
        if not condition:
            raise Different(tensor, (), text)


def reference(function):
    """The project's own function of that name ("minimobilebert/ops/linear.py:linear_forward"); only inside `compute`"""
    file, _, name = function.partition(":")
    value = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    for part in name.split("."):
        value = getattr(value, part)
    return value


class Live:
    """Answers with the reference, which is here."""

    def answer(self, key, compute, known):
        return compute()


class Memory(Live):
    """The same, each question only once: the same property of the same task and seed asks the same again."""

    def __init__(self):
        self.answers = {}

    def answer(self, key, compute, known):
        if key not in self.answers:
            self.answers[key] = compute()
        return self.answers[key]


class Recorder(Live):
    """The same, and keeps every answer -> `answers`: {key: (structure, arrays)}"""

    def __init__(self):
        self.answers = {}

    def answer(self, key, compute, known):
        from ..sandbox.wire import flatten

        value = compute()
        self.answers[key] = flatten(value, known)
        return value


class NotRecorded(ValueError):
    """A student edition has no answer to this."""


class Replay:
    """Answers with what was recorded."""

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
