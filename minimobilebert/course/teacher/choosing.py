"""Choose the files of a submission that are graded: for each task file, the one with the student's work.

A submission may contain other copies: the edition itself, a backup, `build/lib`, a virtual environment. The criteria
are, in this order: not in a folder that programs fill; more functions of the tasks are written; found by its whole
path, not by its bare name; the later date; the shorter path. The notes name the files that were not chosen.
"""

import ast
import dataclasses
import pathlib
import warnings

from ...support.archive_members import FILE
from ..shared.cutting import FUNCTIONS, body_of, find
from .contents import MOST_BYTES, NEVER

MOST_COPIES = 8  # the number of copies of a task file that we read


@dataclasses.dataclass
class Choice:
    files: dict  # {task file: (name in the submission, bytes)}
    refused: dict  # {task file: the reason why it cannot be graded}
    notes: list
    has_work: bool  # True if any function of the tasks is written


def candidates(items, files):
    """Items that may be a task's file -> {task file: [(item, True if found by its whole path)]}"""
    by_path, by_end, found = {}, {}, {}
    for file in files:
        parts = tuple(part.casefold() for part in pathlib.PurePosixPath(file).parts)
        by_path[parts] = file
        for n in range(1, len(parts)):  # for minimobilebert/ops/x.py: x.py and ops/x.py
            by_end.setdefault(parts[-n:], []).append(file)
    lengths = sorted({len(parts) for parts in (*by_path, *by_end)}, reverse=True)
    for item in items:
        parts = tuple(part.casefold() for part in item.parts)
        ends = [parts[-n:] for n in lengths if n <= len(parts)]
        exact = next((by_path[end] for end in ends if end in by_path), None)
        if exact is not None:
            found.setdefault(exact, []).append((item, True))
        elif "minimobilebert" not in parts:
            named = next((by_end[end] for end in ends if len(by_end.get(end, ())) == 1), None)
            if named is not None:
                found.setdefault(named[0], []).append((item, False))
    return found


def choose(found, asked):
    """found: the result of candidates(); asked: {task file: names of the tasks' functions} -> Choice"""
    choice = Choice({}, {}, [], False)
    for file, copies in found.items():
        _choose_one(file, copies, asked.get(file, ()), choice)
    return choice


def _choose_one(file, copies, names, choice):
    good, bad = [], []
    usable = [(item, exact) for item, exact in copies if item.shelf != NEVER]
    usable.sort(key=lambda copy: (copy[0].shelf, not copy[1], len(copy[0].parts), copy[0].parts))
    for number, (item, exact) in enumerate(usable[:MOST_COPIES]):
        if item.kind != FILE:
            bad.append(f"found {item.shown}, {item.kind}, expected a file")
            continue
        try:
            data = item.read(MOST_BYTES)
        except (ValueError, OSError) as error:
            text = " ".join(str(error).split())
            bad.append(text if item.shown in text else f"{item.shown}: {text}")
            continue
        written = _written(data, names)
        by_name = item.parts[-1] == pathlib.PurePosixPath(file).name  # case-sensitive
        day = tuple(-part for part in item.date) or (0,)
        key = item.shelf, -written, not exact, not by_name, day, len(item.parts), item.parts, -number
        good.append((key, item, data))
    good.sort(key=lambda copy: copy[0])
    if good:
        key, item, data = good[0]
        choice.files[file] = (item.shown, data)
        choice.has_work |= key[1] < 0
        others = [other.shown for _, other, content in good[1:] if content != data]
        if others:
            rest = f" and {len(others) - 1} more" if len(others) > 1 else ""
            choice.notes.append(f"graded {item.shown}; not {others[0]}{rest}, with other content")
        choice.notes += bad
    elif bad:
        choice.refused[file] = bad[0]
    elif copies:
        shown = copies[0][0].shown
        choice.refused[file] = f"found {shown}, in a folder of a program's, expected {file} among the work"
    if len(usable) > MOST_COPIES:
        choice.notes.append(f"found {len(usable):,} copies of {file}; looked at {MOST_COPIES}")


def asked_names(source):
    """The names of the functions in a file, methods as Class.method; () if it is not valid Python"""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ()
    names = [node.name for node in tree.body if isinstance(node, FUNCTIONS)]
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            names += [f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, FUNCTIONS)]
    return tuple(names)


def _written(data, names):
    """The number of written functions; 0.5 for a file that is not valid Python: it is work, not an untouched copy."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as "\d" in the student's strings
            tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return 0.5
    functions = [find(tree, name) for name in names]
    return sum(isinstance(each, FUNCTIONS) and not _is_blank(each) for each in functions)


def _is_blank(function):
    body = body_of(function)
    return not body or (isinstance(body[0], ast.Raise) and "NotImplementedError" in ast.dump(body[0]))
