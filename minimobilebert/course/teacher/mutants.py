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
from ..shared.extraction import Refused, extract, others_of
from ..shared.trial import Memory

FEWEST = 5  # for each task
_SHAPE = {
    "task": Text(),
    "name": Text(),
    "explains": Text(),
    "find?": Text(),
    "replace?": str,
    "code?": Text(),
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
    if "code" in entry:
        source = entry["code"]
    else:
        source = _replaced(what, entry, solutions, next(task for task in lesson.tasks if task.id == entry["task"]))
    return Mutant(entry["task"], entry["name"], entry["explains"], source, tuple(entry.get("passes", ())),
                  entry.get("refused", ""))  # fmt: skip


def _replaced(what, entry, solutions, task):
    """solutions.py with one replacement, in the task's function if the text occurs there, else in the whole file"""
    from ..shared.cutting import find

    function = find(ast.parse(solutions), task.name)
    if function is None:
        raise ValueError(f"{what}: found no {task.name} in solutions.py, expected the solution of task {task.id}")
    lines = solutions.splitlines(keepends=True)
    first, last = function.lineno - 1, function.end_lineno
    inside, everywhere = "".join(lines[first:last]), solutions
    text, scope = (inside, "the solution") if entry["find"] in inside else (everywhere, "solutions.py")
    if (count := text.count(entry["find"])) != 1:
        raise ValueError(f"{what}: find: found {entry['find']!r} {count} times in {scope}, expected once")
    changed = text.replace(entry["find"], entry["replace"])
    return "".join([*lines[:first], changed, *lines[last:]]) if scope == "the solution" else changed


def extracted(grader, task, source, shown):
    """Extract the task's function from a solution or mutant, as from a submission. ValueError if it is refused."""
    replaceable = set(grader.left_out[task.file]) - {other.name for other in grader.tasks if other.file == task.file}
    try:
        others = others_of(grader.course, task)
        return extract(ast.parse(source), shown, task.name, grader.files[task.file], replaceable, others)
    except (Refused, SyntaxError) as error:
        raise ValueError(f"{shown}: task {task.id}: {error}") from None


def install_solutions(course, grader, worker):
    """Install the solutions of all tasks in a worker -> {task id: Extracted}"""
    taken = {}
    for lesson in course.lessons:
        for task in lesson.tasks:
            if task in grader.tasks:
                shown = f"lessons/{lesson.folder}/solutions.py"
                taken[task.id] = extracted(grader, task, solutions_of(course, lesson), shown)
                worker.install(task.function, taken[task.id].source, taken[task.id].helpers)
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
            worker.install(task.function, wrong.source, wrong.helpers)
            result = run_task(task, grader.properties[task.id], worker, oracle, seed)
            right = taken[task.id]
            worker.install(task.function, right.source, right.helpers)
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
