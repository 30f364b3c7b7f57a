"""Wrong answers that readers of the course gave, and what a student who gives one of them reads.

    known = KnownMistakes(course)
    known(task, ("call", args, kwargs))       -> [["the scale is applied twice", prints], ...]; shared/fingerprints.py

They are in lessons/reported.toml. An entry without a sentence is one whose cause the comparison of arrays finds by
itself (gradcheck/patterns.py). With a sentence, a student whose result is equal to this answer's reads it, whatever the
code looks like.
"""

import ast
import importlib
import warnings

import numpy as np

from ...support.shapes import Text
from ...support.structured_files import read_toml
from ..sandbox.wire import Seeded
from ..shared.cutting import find
from ..shared.fingerprints import different, fingerprint
from ..shared.trial import reference
from .mutants import solutions_of

_ANSWER = {
    "task": Text(), "function?": Text(), "name": Text(), "edits": [[str]], "says": Text(), "sentence?": Text(),
}  # fmt: skip
_SHAPE = {"answer": [_ANSWER]}


def sources_of(course, task):
    """[(name, source of the whole file, says, sentence or None)] of the wrong answers that were given to a task

    ValueError for an entry whose texts are not in the solution.
    """
    path, found = course.root / "lessons" / "reported.toml", []
    for entry in read_toml(path, _SHAPE)["answer"]:
        if entry["task"] == task.id:
            what = f"{path}: {task.id} {entry['name']!r}"
            text, first = solutions_of(course, course.lesson(task.lesson)), course.task(task.id).name
            source = _edited(what, text, entry.get("function", first), entry["edits"])
            found.append((entry["name"], source, entry["says"], entry.get("sentence")))
    return found


def _edited(what, text, name, edits):
    """A file with texts of one function replaced; edits: [[old, new], ...]"""
    function, lines = find(ast.parse(text), name), text.splitlines(keepends=True)
    inside = "".join(lines[function.lineno - 1 : function.end_lineno])
    for edit in edits:
        count = inside.count(edit[0])
        if len(edit) != 2 or count != 1:
            raise ValueError(f"{what}: edits: found {edit[0]!r} {count} times in the solution, expected it once")
        inside = inside.replace(*edit)
    return "".join([*lines[: function.lineno - 1], inside, *lines[function.end_lineno :]])


class KnownMistakes:
    """The wrong answers with a sentence, run on what a student's function is given."""

    def __init__(self, course):
        self.course, self.functions = course, {}

    def __call__(self, task, called):
        if task.function not in self.functions:  # of several functions of a task, each by itself
            made = [(sentence, source) for _, source, _, sentence in sources_of(self.course, task) if sentence]
            name = task.function.partition(":")[2]
            self.functions[task.function] = [(sentence, _function(source, name)) for sentence, source in made]
        functions, found = self.functions[task.function], []
        if functions:
            right = _prints(task, None, called)
            for sentence, function in functions:
                wrong = _prints(task, function, called)
                if right and wrong and (prints := different(wrong, right)):
                    found.append([sentence, prints])
        return found


def _function(source, name):
    scope = {}
    exec(compile(source, f"<wrong {name}>", "exec"), scope)
    return scope[name]


def _prints(task, function, called):
    """The fingerprint of a call with this function in place of the task's (None: with the project's own)"""
    kind, first, second = called
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            if kind == "call":
                args = [np.random.default_rng(value.seed) if isinstance(value, Seeded) else value for value in first]
                return fingerprint((function or reference(task.function))(*args, **second))
            return fingerprint(_with(task, function, first, second))
        except Exception:  # it raises an error of its own, which a student reads
            return []


def _with(task, function, driver, args):
    """driver(*args) with `function` under the name of the task's in its module"""
    file, _, name = task.function.partition(":")
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    old = getattr(module, name)
    try:
        setattr(module, name, function or old)
        return driver(*args)
    finally:
        setattr(module, name, old)
