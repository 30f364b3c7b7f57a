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

import ast
import contextlib
import dataclasses
import functools
import importlib
import inspect
import pathlib
import re
import zlib

import numpy as np

from ...gradcheck.diagnosis import Known
from ...kernels.runtime.backend import use_backend
from ..sandbox.host import Stopped, StudentError
from ..sandbox.wire import Seeded
from . import comparison
from .comparison import Different
from .cutting import FUNCTIONS, find
from .fingerprints import agrees

MOST_MEMORY = 20  # times arguments and results; ten temporary arrays, or an object for each number, take less
SMALL, MOST_CALLS = 20_000, 40  # numbers of a call, and calls, that are compared with those of known wrong answers
MEMORY_OF_CALLS = 2**21  # bytes, for what does not grow with the arrays


class Trial:
    """One property of one task, tried with one seed."""

    def __init__(self, task, name, worker, oracle, seed, seconds=10.0):
        self.task, self.name, self.seed = task, name, seed
        self._worker, self._oracle, self._seconds, self._asked = worker, oracle, seconds, 0
        self.failed_case = ""  # the name of the case that failed
        self.known = Known({})  # what the last call was given: a diagnosis compares a wrong result with it
        self.changed = ""  # the first input that a call has changed in place
        self._probing = False
        self._calls = []  # (what was called, the result) of small calls, to recognise a known wrong answer
        self.drawn_next = []  # what each generator among the arguments of the last call gives next
        # Each property has its own stream, so that a change of one property does not change the numbers of the others.
        self.rng = np.random.default_rng([seed, zlib.crc32(f"{task.id} {name}".encode())])

    def call(self, *args, seconds=None, **kwargs):
        """Call the student's function -> its result. An error of its ends the property."""
        named = self.with_names(args)
        self.known = self.known_of(args, kwargs)
        given = comparison.leaves("", (args, kwargs))
        if any(isinstance(leaf, Seeded) for _, leaf in given):  # a generator cannot be sent back
            watched = (self.task.function, list(args), kwargs)
            result, changed, self.drawn_next = self._worker.run(call_and_watch, watched, seconds or self._seconds)
            self.watch(not changed, ", ".join(list(named)[i] for i in changed if i < len(named)))
            return self._note(("call", args, kwargs), result)
        keep = not any(callable(leaf) for _, leaf in given)  # nor a function of the grader's process
        result, after = self._worker.call(self.task.function, args, kwargs, seconds or self._seconds, keep=keep)
        self._watch(list(named), args, after)
        return self._note(("call", args, kwargs), result)

    def probe(self, *args):
        """`call` for a diagnosis: other arguments than the property's, which tell nothing about known mistakes"""
        self._probing = True
        try:
            return self.call(*args)
        finally:
            self._probing = False

    def call_keeping(self, *args, **kwargs):
        """-> result, the positional arguments after the call"""
        return self._worker.call(self.task.function, args, kwargs, self._seconds, keep=True)

    def call_within(self, *args, seconds):
        """`call` of a large input; Different if it takes several times the memory of its arguments and results

        A formula of a few temporary arrays takes a few times as much; an array of every number beside every other one,
        such as an identity matrix or a Jacobian, hundreds of times.
        """
        self.known = self.known_of(args)
        given = (self.task.function, list(args))
        result, changed, peak, size = self._worker.run(call_and_measure, given, seconds or self._seconds)
        self.watch(not changed, ", ".join(list(self.with_names(args))[i] for i in changed))
        if peak > MOST_MEMORY * size + MEMORY_OF_CALLS:
            text = (
                f"it takes {peak / max(size, 1):.0f} times the memory of its arguments and results: is there an array"
                " with every number beside every other, such as an identity matrix, or products that are summed"
                " afterwards?"
            )
            raise Different("memory", (), text, certainty=2)
        return result

    def with_names(self, args):
        """{name of the argument: value} for a call of the student's function"""
        names = _argument_names(getattr(self._worker, "root", None), self.task.function)[: len(args)]
        names = [*names, *(f"argument {i + 1}" for i in range(len(names), len(args)))]
        return dict(zip(names, args, strict=True))

    def known_of(self, args, kwargs=()):
        """What a diagnosis may use after a call with these arguments"""
        return known_of({**self.with_names(args), **dict(kwargs)})

    def run(self, driver, *args, seconds=None):
        """Run `driver(*args)` in the student's process. We send its source, so its imports must be in its body."""
        names = list(inspect.signature(driver).parameters)
        self.known = known_of(dict(zip(names, args, strict=False)))
        return self._note(("run", driver, args), self._worker.run(driver, args, seconds or self._seconds))

    def _note(self, called, result):
        """Remember a call -> its result"""
        given = [leaf for _, leaf in comparison.leaves("", called)]
        size = sum(leaf.size for leaf in given if isinstance(leaf, np.ndarray))
        calls_back = called[0] == "call" and any(callable(leaf) for leaf in given)
        if not self._probing and len(self._calls) < MOST_CALLS and size <= SMALL and not calls_back:
            self._calls.append((called, result))
            if self._oracle.records:
                self._mistakes(len(self._calls) - 1)
        return result

    def _mistakes(self, index):
        """[[text, prints]] of the known wrong answers for a call of this trial"""
        key = f"{self.task.id}/{self.name}/{self.seed}/mistakes {index}"
        with use_backend("numpy"):
            return self._oracle.mistakes(key, self.task, self._calls[index][0])

    def recognised(self):
        """The mistake of a known wrong answer that returns what the student's function returned, or None"""
        for index, (_, result) in enumerate(self._calls):
            for text, prints in self._mistakes(index):
                if agrees(prints, result):
                    return text
        return None

    def _watch(self, names, before, after):
        """Remember the first argument that a call has changed; `checking.py` says so."""
        try:
            self.unchanged(names[: len(before)], before, before if after is None else after)
        except Different as different:
            self.changed = self.changed or str(different.looks_like)

    def expected(self, compute, known=()):
        """compute(), or its recorded result in a student edition.

        known: drawn arrays that the result may contain unchanged (a cache contains the inputs); they are not recorded
        """
        self._asked += 1
        key = f"{self.task.id}/{self.name}/{self.seed}/{self._asked}"
        with use_backend("numpy"):
            return self._oracle.answer(key, compute, [array for array in known if isinstance(array, np.ndarray)])

    def equal(self, name, found, expected, tolerance=1e-10, dtype=None, mistakes=None):
        """Different unless the arrays have the same shape, are equal relative to the largest expected number, and have
        the dtype, if given.

        mistakes {words: what a usual mistake gives}: if they differ, and one of these is found, the message says so;
            None instead of an array is said of anything that has no other cause
        """
        try:
            comparison.equal(name, found, expected, tolerance, dtype, self.known)
        except Different as different:
            for words, wrong in (mistakes or {}).items():
                if different.certainty < 2 if wrong is None else comparison.are_equal(found, wrong, tolerance):
                    different.looks_like, different.certainty = words, 2
                    break
            raise

    def same(self, name, found, expected, tolerance=1e-10):
        """Different unless nested lists, tuples, dicts and named tuples have the same structure and equal contents."""
        comparison.same(name, found, expected, tolerance, self.known)

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

    def require(self, condition, text, tensor="result", certainty=1):
        """Different with this text unless `condition` is true."""
        if not condition:
            raise Different(tensor, (), text, certainty=certainty)

    def watch(self, unchanged, name):
        """A driver has seen whether `name` is unchanged: if not, the message of a failure says so first."""
        if not unchanged:
            self.changed = self.changed or f"{name} was changed in place: write to a new array, or to a copy"

    def own_arrays(self, *args, results=None):
        """Different if one of the first `results` results of a call shares its memory with an argument."""
        shared = self._worker.run(shared_memory, (self.task.function, list(args), results), self._seconds)
        names = list(self.with_names(args))
        for index, argument in shared[:1]:
            text = f"result {index + 1} is the memory of {names[argument]}: a change of one changes both; return a copy"
            raise Different("result", (), text, certainty=2)

    def linear(self, driver, args, names):
        """After `t.run(driver, *args)` of a backward: a diagnosis may say that a result is not linear in it.

        names: those of the driver's results; None for one that is not a gradient
        """

        def depends(tensor):
            try:
                once, twice = (self._leaves_of(driver, (factor * args[0], *args[1:]), names) for factor in (1.0, 2.0))
            except (StudentError, Stopped):
                return None
            return _not_doubled(once.get(tensor), twice.get(tensor))

        self.known = dataclasses.replace(self.known, depends=depends)

    def _leaves_of(self, driver, args, names):
        results = zip(names, self._worker.run(driver, args, self._seconds), strict=False)
        return {path: leaf for name, part in results if name for path, leaf in comparison.leaves(name, part)}


# --- drivers: they run in the student's process


def call_and_watch(function, args, kwargs):
    """-> the result, the numbers of the arguments that were changed in place, what each generator gives next"""
    import functools
    import importlib
    import inspect

    import numpy as np

    file, _, name = function.partition(":")
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    written = inspect.unwrap(functools.reduce(getattr, name.split("."), module))
    before = [value.copy() if isinstance(value, np.ndarray) else None for value in args]
    result = written(*args, **kwargs)
    changed = [i for i, was in enumerate(before) if was is not None and was.tobytes() != args[i].tobytes()]
    generators = [value for value in (*args, *kwargs.values()) if isinstance(value, np.random.Generator)]
    return result, changed, [int(generator.bit_generator.random_raw()) for generator in generators]


def call_and_measure(function, args):
    """-> the result, the numbers of the changed arguments, peak memory of the call, size of arguments and results"""
    import functools
    import importlib
    import inspect
    import tracemalloc

    import numpy as np

    file, _, name = function.partition(":")
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    written = inspect.unwrap(functools.reduce(getattr, name.split("."), module))
    before = [value.copy() if isinstance(value, np.ndarray) else None for value in args]

    def sizes(value):
        """{address: bytes}: an argument in the cache counts once"""
        if isinstance(value, np.ndarray):
            return {value.ctypes.data: value.nbytes}
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
        return {address: size for part in parts for address, size in sizes(part).items()}

    tracemalloc.start()
    result = written(*args)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    changed = [i for i, was in enumerate(before) if was is not None and was.tobytes() != args[i].tobytes()]
    return result, changed, peak, sum(sizes([args, result]).values())


def shared_memory(function, args, results):
    """-> [(number of a result, number of the argument whose memory it is)]; results: how many are looked at"""
    import functools
    import importlib
    import inspect

    import numpy as np

    file, _, name = function.partition(":")
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    written = inspect.unwrap(functools.reduce(getattr, name.split("."), module))

    def arrays(value):
        if isinstance(value, np.ndarray):
            return [value]
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
        return [array for part in parts for array in arrays(part)]

    found = written(*args)
    found = list(found)[:results] if isinstance(found, (tuple, list)) else [found]
    return [(i, j) for i, part in enumerate(found) for j, value in enumerate(args)
            if any(np.shares_memory(a, b) for a in arrays(part) for b in arrays(value))]  # fmt: skip


def _not_doubled(once, twice):
    """What is wrong with a gradient that does not double with the upstream gradient, in words; None if it doubles"""
    if not isinstance(once, np.ndarray) or not isinstance(twice, np.ndarray) or once.shape != twice.shape:
        return None
    scale = 1e-9 * np.abs(once).max(initial=0.0)
    for factor, text in (
        (2.0, None),
        (1.0, "it is the same for every upstream gradient: the local derivative alone, not multiplied by it"),
        (4.0, "it grows with the square of the upstream gradient: used twice?"),
    ):
        if np.abs(twice - factor * once).max(initial=0.0) <= scale:
            return text
    return "it does not double when the upstream gradient doubles: is one term without it, or has it twice?"


def known_of(given):
    """{name: argument} -> Known: its arrays and numbers, and which of them is the upstream gradient"""
    named, first = {}, next(iter(given), "")
    for key, value in given.items():
        for name, leaf in comparison.leaves(key, value) if key != "config" else ():
            if re.search(r"\[\d+\]$", name) and not isinstance(leaf, np.ndarray):
                continue  # a number without a name, which a student has not seen: "steps[3]"
            if isinstance(leaf, np.ndarray) or (isinstance(leaf, (int, float)) and not isinstance(leaf, bool)):
                named[name] = leaf
    return Known({}, named=named, upstream=first if re.match(r"d[a-z]", first) and first != "difference" else "")


@functools.lru_cache(maxsize=256)
def _argument_names(root, function):
    """The names of a function's arguments, from its source; [] if it cannot be read"""
    file, _, name = function.partition(":")
    try:
        node = find(ast.parse((pathlib.Path(root) / file).read_text(encoding="utf-8")), name)
    except (OSError, SyntaxError, ValueError, TypeError):
        return []
    arguments = [argument.arg for argument in node.args.args] if isinstance(node, FUNCTIONS) else []
    return arguments[1:] if arguments[:1] == ["self"] else arguments


def reference(function):
    """The project's function "minimobilebert/ops/linear.py:linear_forward"; only for use inside `compute`"""
    file, _, name = function.partition(":")
    value = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    for part in name.split("."):
        value = getattr(value, part)
    return value


class Live:
    """Answers by running the reference.

    known: a function (task, what was called) -> [[text, prints]] of known wrong answers (teacher/reported_answers.py)
    """

    records = False

    def __init__(self, known=None):
        self.known = known

    def answer(self, key, compute, known):
        return compute()

    def mistakes(self, key, task, called):
        """[[text, fingerprints]] of the known wrong answers of a task for one call"""
        return self.known(task, called) if self.known is not None else []


class Memory(Live):
    """Like Live, but runs the reference once per question and then returns the stored answer."""

    def __init__(self, known=None):
        super().__init__(known)
        self.answers = {}

    def answer(self, key, compute, known):
        if key not in self.answers:
            self.answers[key] = compute()
        return self.answers[key]

    def mistakes(self, key, task, called):
        return self.answer(key, lambda: super(Memory, self).mistakes(key, task, called), [])


class Recorder(Live):
    """Like Live, and stores all answers: `answers` {key: (structure, arrays)}"""

    records = True

    def __init__(self, known=None):
        super().__init__(known)
        self.answers = {}

    def mistakes(self, key, task, called):
        found = super().mistakes(key, task, called)
        if found:
            self.answers[key] = found, []
        return found

    def answer(self, key, compute, known):
        from ..sandbox.wire import flatten

        value = compute()
        self.answers[key] = flatten(value, known)
        return value


class NotRecorded(ValueError):
    """The student edition has no recorded answer for this seed or key."""


class Replay:
    """Answers from a recording."""

    records = False

    def __init__(self, answers, seeds):
        self.answers, self.seeds = answers, seeds

    def mistakes(self, key, task, called):
        """The recorded ones; of a call that the right answer does not make there are none"""
        return self.answers[key][0] if key in self.answers else []

    def answer(self, key, compute, known):
        from ..sandbox.wire import unflatten

        if key not in self.answers:
            seed = key.split("/")[2]
            if int(seed) not in self.seeds:
                expected = " or ".join(map(str, self.seeds))
                raise NotRecorded(f"seed: found {seed}, expected {expected}: this edition has no other numbers")
            raise NotRecorded(f"recorded numbers: found none for {key}; make the student edition again")
        return unflatten(*self.answers[key], known)
