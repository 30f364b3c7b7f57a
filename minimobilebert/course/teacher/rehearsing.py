"""What a student edition knows of `train-tiny`: the tasks whose functions it runs, and the project's first losses.

`course --write` finds both in the project and keeps them in lessons/rehearsal.json; an edition gets the part for its
tasks. For each choice of settings (pipeline/rehearsal.py) by itself:

    ran        {function: the accelerated operations above its calls}, found by tracing a small run in NumPy
    compiled   {function in kernels/: the accelerated operations whose compiled twins contain it}
    losses     {stage: losses of the first steps}, the bits of the numba back end

In an edition, a compiled twin runs for an operation that is no task; for one that is, the student's function, which
need not call what the project's calls. So we do not count what is called below a task's operation, nor, with numba,
below any operation; there we count what the twin contains.
"""

import inspect
import sys

from ...kernels.runtime.backend import use_backend
from ...pipeline.rehearsal import ALONE, has_losses, label_of, rehearse, small_text, unfused_run
from ...support.files import write_json
from ...support.structured_files import read_json
from ...support.terminal import progress_bar
from ..sandbox.worker import resolve

RECORD = "rehearsal.json"
_ABOVE = {str: [[str]]}
_SHAPE = {"functions": [str], "ran": {str: _ABOVE}, "compiled": {str: [str]}, "losses": {str: {str: [{str: float}]}}}


def _name(function):
    return f"{function.__module__.replace('.', '/')}.py:{function.__qualname__}"


def accelerated():
    """{name: operation} of the operations with a compiled twin, in the modules that are loaded"""
    modules = [module for name, module in sys.modules.items() if name.startswith("minimobilebert.")]
    found = [value for module in modules for value in vars(module).values() if hasattr(value, "numpy_twin")]
    return {_name(value.numpy_twin): value for value in found}


def traced(functions, work):
    """Run work() in NumPy -> {function that ran: [the accelerated operations above a call], without supersets}"""
    operations = {value.numpy_twin.__code__: name for name, value in accelerated().items()}
    wanted = operations | {resolve(function)[0].__code__: function for function in functions}
    calls = {}

    def note(frame, event, _):
        if event != "call" or frame.f_code not in wanted:
            return
        above, caller = set(), frame.f_back
        while caller is not None:
            above.add(operations.get(caller.f_code))
            caller = caller.f_back
        calls.setdefault(wanted[frame.f_code], set()).add(frozenset(above - {None}))

    with use_backend("numpy"):
        sys.setprofile(note)
        try:
            work()
        finally:
            sys.setprofile(None)
    return {name: _smallest(found) for name, found in calls.items()}


def _smallest(found):
    """Sets -> sorted lists of those that have no subset among them"""
    return sorted(sorted(a) for a in found if not any(b < a for b in found))


def trace(functions, choices_to_try):
    """-> {label of choices: {function that a run with them uses: as of `traced`}}"""
    texts, by_choice = [], {}
    reading = traced(functions, lambda: texts.append(small_text()))
    with progress_bar("trace", len(choices_to_try), unit="choice") as bar:
        for choices in choices_to_try:
            found = traced(functions, lambda choices=choices: unfused_run(texts[0], choices))
            both = {name: {*map(frozenset, [*reading.get(name, ()), *found.get(name, ())])} for name in reading | found}
            by_choice[label_of(choices)] = {name: _smallest(above) for name, above in both.items()}
            bar.update(label_of(choices))
    return by_choice


def _reachable(function, found):
    """Add the functions of kernels/ that a compiled function names, and those that they name, to `found` {name}"""
    for name in function.__code__.co_names:
        named = function.__globals__.get(name)
        for value in getattr(named, "of_kinds", {"": named}).values():  # see kernels/runtime/by_kind.py
            value = getattr(value, "py_func", value)
            if inspect.isfunction(value) and ".kernels." in value.__module__ and _name(value) not in found:
                found.add(_name(value))
                _reachable(value, found)


def compiled(functions):
    """{function in kernels/: [accelerated operations whose compiled twins contain it]}"""
    found = {}
    for name, operation in sorted(accelerated().items()):
        inside = set()
        _reachable(operation.compiled_twin, inside)
        for function in sorted(inside & set(functions)):
            found.setdefault(function, []).append(name)
    return found


def record(course):
    """-> the contents of lessons/rehearsal.json"""
    functions = _functions(course)
    ran = trace(functions, ALONE)
    with use_backend("numba"):
        losses = {label_of(choices): rehearse(**choices) for choices in ALONE if has_losses(choices)}
    # What a choice does not change is written once.
    others = {label: _changed(ran[""], found) for label, found in ran.items() if label}
    return {"functions": functions, "ran": {"": ran[""], **others}, "compiled": compiled(functions), "losses": losses}


def _changed(base, found):
    """{function: above} of what differs from `base`; [] for a function that does not run"""
    return {name: found.get(name, []) for name in sorted({*base, *found}) if base.get(name) != found.get(name)}


def _functions(course):
    """The functions of all tasks"""
    return sorted(function for task in course.tasks for function in task.functions)


def _file(course):
    return course.root / "lessons" / RECORD


def update_rehearsal(course, write):
    """Compare the functions in lessons/rehearsal.json with the tasks, and write it if `write` -> [path] if it differs

    After a change of the arithmetic, delete the file: `course-check` finds that its losses are others.
    """
    path = _file(course)
    try:
        current = read_json(path, _SHAPE)["functions"] == _functions(course)
    except (OSError, ValueError):
        current = False
    if current:
        return []
    if write:
        write_json(path, record(course))
    return [path]


def differences(course):
    """How lessons/rehearsal.json differs from what the project does with default settings -> texts"""
    known = read_json(_file(course), _SHAPE)
    advice = f"lessons/{RECORD}: delete it, then course --write"
    with use_backend("numba"):
        if rehearse() != known["losses"][""]:
            yield f"other losses than in {advice}"
    functions = _functions(course)
    if trace(functions, [{}])[""] != known["ran"][""] or compiled(functions) != known["compiled"]:
        yield f"other functions than in {advice}"


def for_edition(course, tasks):
    """The record of an edition with `tasks` -> {"tasks": {back end: {choice: [task ids]}}, "losses": ...}"""
    known, ids = read_json(_file(course), _SHAPE), {each: task.id for task in tasks for each in task.functions}
    used = {"numpy": {}, "numba": {}}
    for label, changed in known["ran"].items():
        ran = known["ran"][""] | changed
        plain = {name for name, above in ran.items() if any(not ids.keys() & set(each) for each in above)}
        direct = {name for name, above in ran.items() if [] in above}
        inside = {name for name, twins in known["compiled"].items() if (direct & set(twins)) - ids.keys()}
        used["numpy"][label] = sorted({ids[name] for name in plain if name in ids})
        used["numba"][label] = sorted({ids[name] for name in direct | inside if name in ids})
    return {"tasks": used, "losses": known["losses"]}


__all__ = ["differences", "for_edition", "record", "update_rehearsal"]
