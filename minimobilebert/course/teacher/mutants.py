"""The mutant bank: plausible wrong solutions, and the properties that they fail.

`lessons/NN_name/solutions.py` has a solution for each task; each entry of `mutants.toml` changes a line of it. A
correct solution passes all properties; a mutant fails at least one. This tests the properties.
"""

import ast
import dataclasses

from ...support.regular_files import read_text
from ...support.shapes import ANY, Text, check, shown
from ...support.structured_files import read_toml
from ..shared.checking import PASSED, run_task
from ..shared.cutting import find
from ..shared.extraction import Refused, extract_all, install_all
from ..shared.manifest import name_of
from ..shared.trial import Memory

FEWEST = 5  # for each task
_SHAPE = {
    "task": Text(),
    "name": Text(),
    "explains": Text(),
    "find?": Text(),
    "replace?": str,
    "code?": Text(),
    "function?": Text(),
    "passes?": [str],
    "refused?": Text(),
}


@dataclasses.dataclass(frozen=True)
class Mutant:
    task: str
    name: str
    explains: str
    source: str  # a whole file
    passes: tuple = ()  # the weak checks that it passes, such as "ones"
    refused: str = ""  # words of the rule that refuses it before it runs
    function: str = ""  # the name of the function that is wrong


def solutions_of(course, lesson):
    """The text of a lesson's solutions.py"""
    path = course.root / "lessons" / lesson.folder / "solutions.py"
    if not path.is_file():
        raise ValueError(f"{path}: found no file, expected a solution for each task of lesson {lesson.number}")
    return read_text(path)


def load_mutants(course, tasks):
    """-> list of Mutant. ValueError with file and mutant for the first wrong entry."""
    found = []
    for lesson in course.lessons:
        chosen = {task.id: task for task in lesson.tasks if task in tasks}
        if not chosen:
            continue
        path = course.root / "lessons" / lesson.folder / "mutants.toml"
        if not path.exists():
            raise ValueError(f"{path}: found no file, expected {FEWEST} mutants for each task")
        entries = read_toml(path, {"mutant?": [{str: ANY}]}).get("mutant", [])
        solutions = solutions_of(course, lesson)
        ids = {task.id for task in lesson.tasks}
        for entry in entries:
            mutant = _mutant(path, entry, solutions, lesson, ids)
            if mutant.task in chosen:
                found.append(mutant)
        for id in chosen:
            count = sum(mutant.task == id for mutant in found)
            if count < FEWEST:
                raise ValueError(f"{path}: task {id}: found {count} mutants, expected at least {FEWEST}")
    return found


def _mutant(path, entry, solutions, lesson, ids):
    what = f"{path}: mutant {shown(entry.get('name', '?'))}"
    check(entry, _SHAPE, what)
    if entry["task"] not in ids:
        raise ValueError(f"{what}: task: found {entry['task']!r}, expected a task of lesson {lesson.number}")
    if ("code" in entry) == ("find" in entry) or ("find" in entry) != ("replace" in entry):
        raise ValueError(f"{what}: found {', '.join(sorted(entry))}, expected either code, or find and replace")
    task = next(task for task in lesson.tasks if task.id == entry["task"])
    name = _function_of(what, entry, solutions, task)
    source = entry["code"] if "code" in entry else _replaced(what, entry, solutions, task, name)
    return Mutant(entry["task"], entry["name"], entry["explains"], source, tuple(entry.get("passes", ())),
                  entry.get("refused", ""), name)  # fmt: skip


def _function_of(what, entry, solutions, task):
    """The name of the task's function that a mutant changes: the one it names, else the first that it can be"""
    names = [name_of(function) for function in task.functions]
    if "function" in entry:
        if entry["function"] not in names:
            raise ValueError(f"{what}: function: found {entry['function']!r}, expected {' or '.join(names)}")
        return entry["function"]
    text = entry.get("code", solutions)
    try:
        tree, lines = ast.parse(text), text.splitlines(keepends=True)
    except SyntaxError:
        return task.name  # `extracted` says what is wrong
    for name in names:
        function = find(tree, name)
        if function is not None and entry.get("find", "") in "".join(lines[function.lineno - 1 : function.end_lineno]):
            return name
    return task.name


def _replaced(what, entry, solutions, task, name):
    """solutions.py with one replacement, in the named function if the text occurs there, else in the whole file"""
    function = find(ast.parse(solutions), name)
    if function is None:
        raise ValueError(f"{what}: found no {name} in solutions.py, expected the solution of task {task.id}")
    lines = solutions.splitlines(keepends=True)
    first, last = function.lineno - 1, function.end_lineno
    inside, everywhere = "".join(lines[first:last]), solutions
    text, scope = (inside, "the solution") if entry["find"] in inside else (everywhere, "solutions.py")
    if (count := text.count(entry["find"])) != 1:
        raise ValueError(f"{what}: find: found {entry['find']!r} {count} times in {scope}, expected once")
    changed = text.replace(entry["find"], entry["replace"])
    return "".join([*lines[:first], changed, *lines[last:]]) if scope == "the solution" else changed


def extracted(grader, task, source, shown):
    """Extract a task's functions from a solution or mutant, as from a submission. ValueError if one is refused.

    A mutant written out as code has only the functions that it changes.
    """
    try:
        written = [each for each in task.functions if find(ast.parse(source), name_of(each)) is not None]
        one = dataclasses.replace(task, function=written[0], also_write=tuple(written[1:])) if written else task
        return extract_all(grader.course, one, lambda file: (ast.parse(source), shown), grader.files,
                           grader.replaceable)  # fmt: skip
    except (Refused, SyntaxError) as error:
        raise ValueError(f"{shown}: task {task.id}: {error}") from None


def install_solutions(course, grader, worker):
    """Install the solutions of all tasks in a worker -> {task id: {function: Extracted}}"""
    taken = {}
    for lesson in course.lessons:
        for task in lesson.tasks:
            if task in grader.tasks:
                shown = f"lessons/{lesson.folder}/solutions.py"
                taken[task.id] = extracted(grader, task, solutions_of(course, lesson), shown)
                install_all(worker, taken[task.id])
    return taken


def run(course, grader, mutants, seed=1, progress=lambda: None):
    """-> list of (Mutant, {property: state}); all other tasks have their solutions"""
    rows = []
    oracle = Memory()
    with grader.worker(memory=False) as worker:
        taken = install_solutions(course, grader, worker)
        for mutant in mutants:
            task = course.task(mutant.task)
            if mutant.refused:
                rows.append((mutant, {"refused": _refusal(grader, task, mutant)}))
                continue
            wrong = extracted(grader, task, mutant.source, f"mutant {mutant.name!r}")
            install_all(worker, wrong)
            result = run_task(task, grader.properties[task.id], worker, oracle, seed)
            install_all(worker, taken[task.id])
            rows.append((mutant, {outcome.name: outcome.state for outcome in result.outcomes}))
            progress()
    return rows


def _refusal(grader, task, mutant):
    """ "refused", or PASSED if the rules let the mutant through or refuse it for another reason"""
    try:
        extracted(grader, task, mutant.source, f"mutant {mutant.name!r}")
    except ValueError as error:
        return "refused" if mutant.refused in str(error) else PASSED
    return PASSED


def survivors(rows):
    """The mutants that passed all properties."""
    return [mutant for mutant, states in rows if all(state == PASSED for state in states.values())]


def format_rows(rows):
    """A table of mutants and properties: `x` fails, `.` passes, `-` not run"""
    marks, lines, task = {PASSED: ".", "not run": "-"}, [], None
    width = max((len(mutant.name) for mutant, _ in rows), default=0)
    for mutant, states in rows:
        if mutant.task != task:
            task = mutant.task
            lines += [*([""] if lines else []), f"task {task}  {'':<{width - 7}}{'  '.join(states)}"]
        cells = "  ".join(f"{marks.get(state, 'x'):^{len(name)}}" for name, state in states.items())
        fate = "" if any(marks.get(state, "x") == "x" for state in states.values()) else "  SURVIVES"
        lines.append(f"  {mutant.name:<{width}}  {cells}{fate}")
    left = len(survivors(rows))
    return "\n".join([*lines, "", f"{len(rows)} mutants, {left} survive"])
