"""The student edition: a copy of the project without the functions of the tasks.

    write_edition(course, lessons=["01", "02"], out="student")

We remove the bodies of the tasks' functions, and everything that would reveal them: the compiled versions in kernels/,
the formulas of gradients at the top of a file, the words that tasks hide, tests, benchmarks, git history, caches. There
are no fused operations (ops/fused/), so training runs the student's functions. The functions of other lessons are kept.
We record the expected results of the properties from the reference, and finally search all files for lines of a
solution.
"""

import ast
import json
import pathlib
import re
import shutil

from ...support.files import new_folder, write_json, write_text
from ..sandbox.host import Worker
from ..shared.checking import format_result, run_task
from ..shared.cutting import blank, body_of, find, hide_backward
from ..shared.manifest import file_of, name_of, sealed
from ..shared.properties import load_properties
from ..shared.recording import save_recording
from ..shared.trial import Recorder
from .edition_texts import AGENTS, README, TO_DERIVE, classroom, lessons_readme, makefile
from .rehearsing import RECORD, for_edition
from .reported_answers import KnownMistakes

# Never in an edition: gradient-check cases, comparisons with other libraries, fused operations, and the grader.
LEFT_OUT = [
    "gradcheck/cases.py", "gradcheck/table.py", "bench", "parity", "verification", "course/teacher",
    "ops/fused", "kernels/feed_forward.py", "kernels/feed_forward_rows.py",
]  # fmt: skip
# What the package has besides Python: the web page of `export --page`.
DATA = ["interop/page/files", "interop/page/onnxruntime-web-LICENSE.txt"]
LEFT_OUT_OF_LESSONS = {
    "solutions.py",
    "mutants.toml",
    "reported.toml",
    "AUTHORS.md",
    "TEACHING.md",
    "grading.toml",
    "course.toml",
    "rehearsal.json",
}
SHORTEST_LEAK = 20  # characters; shorter lines, and lines without arithmetic, do not reveal a solution
_TELLING = re.compile(r"[*@/]|\.sum\(|\.mean\(|exp\(|log\(|sqrt\(|where\(|einsum|matmul\(|dot\(|\.at\(|argsort|\+= ")


def write_edition(course, lessons, out, seed=1, record=True, solved=None, github_classroom=False):
    """Write a student edition -> its tasks. ValueError if it reveals a solution, or if `out` is not empty.

    solved: a function (solved.py) that writes the solutions into the files; then this edition is for teachers
    github_classroom: with the workflow that reports points to GitHub Classroom
    """
    if course.edition is not None:
        raise ValueError(f"{course.root}: found a student edition, expected the project it was made from")
    tasks = [task for task in course.tasks if task.lesson in lessons]
    if not tasks:
        raise ValueError("--lessons: found none with a task, expected at least one")
    with new_folder(out) as unfinished:
        write_package(course, tasks, unfinished)
        for name in ("pyproject.toml", "LICENSE", ".gitignore"):
            shutil.copy(course.root / name, unfinished / name)
        shutil.copytree(course.root / "data", unfinished / "data", ignore=shutil.ignore_patterns("__pycache__"))
        _write_lessons(course, tasks, unfinished / "lessons")
        write_text(unfinished / "Makefile", makefile((course.root / "Makefile").read_text(encoding="utf-8")))
        write_text(unfinished / "README.md", README.format(first=tasks[0].id, count=len(tasks)))
        write_text(unfinished / "AGENTS.md", AGENTS)
        if github_classroom:
            (unfinished / ".github" / "workflows").mkdir(parents=True)
            write_text(unfinished / ".github" / "workflows" / "classroom.yml", classroom(tasks))
        write_json(unfinished / "lessons" / "edition.json", {"lessons": lessons, "seed": seed})
        write_json(unfinished / "lessons" / "originals.json", {
            file: (unfinished / file).read_text(encoding="utf-8")
            for file in sorted({file for task in tasks for file in task.files})
        } | {
            "modules": "\n".join(path.relative_to(unfinished).as_posix() for path in sorted(unfinished.rglob("*.py")))
        })  # fmt: skip
        leaks = find_leaks(course, tasks, unfinished)
        if solved is not None:
            files = [file for task in tasks for file in task.files]
            files = {file: (unfinished / file).read_text(encoding="utf-8") for file in files}
            for file, text in solved(course, tasks, files).items():
                write_text(unfinished / file, text)
        if leaks:
            rest = f" (and {len(leaks) - 1} more)" if len(leaks) > 1 else ""
            raise ValueError(f"{leaks[0]}{rest}: add that place to the task's also_blank")
        if record:
            _record(course, tasks, unfinished, seed)
    return tasks


def write_package(course, tasks, folder, for_grading=False):
    """Write the package to `folder`, without the functions of `tasks` and their compiled versions."""
    package = course.root / "minimobilebert"
    cuts, derived, hidden = cuts_of(tasks), backwards_of(tasks), hidden_by(tasks)
    left_out = {package / name for name in LEFT_OUT}
    for path in sorted(package.rglob("*.py")):
        if path in left_out or any(parent in left_out for parent in path.parents):
            continue
        file = path.relative_to(course.root).as_posix()
        if cuts.get(file, {}) is None:
            continue
        # A function of a task must exist to be replaced, even if it is part of the gradient checker (lesson 01).
        checker = file.startswith("minimobilebert/gradcheck") and file not in cuts
        if for_grading and (checker or _is_grader(file)):
            continue
        text = path.read_text(encoding="utf-8")
        if file in cuts:
            text = blank(text, cuts[file])
        for words in hidden.get(file, ()) if not for_grading else ():
            text = text.replace(words, "...")
        if file in derived and not for_grading:
            text = hide_backward(text, TO_DERIVE.format(lesson=derived[file]))
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    for name in () if for_grading else DATA:
        source, target = package / name, folder / "minimobilebert" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)


def _is_grader(file):
    kept = tuple(f"minimobilebert/course/{inside}__init__.py" for inside in ("", "sandbox/"))
    kept += tuple(f"minimobilebert/course/sandbox/{name}.py" for name in ("worker", "wire", "confinement"))
    return file.startswith("minimobilebert/course/") and file not in kept


def backwards_of(tasks):
    """{file: lesson} of the files with a backward that `tasks` ask for, or its compiled version"""
    found = {}
    for task in tasks:
        if any(each.endswith("_backward") for each in task.functions):
            for target in (*task.functions, *task.also_blank):
                found.setdefault(file_of(target), task.lesson)
    return found


def hidden_by(tasks):
    """{file: words of its docstrings that an edition shows as "..."}"""
    found = {}
    for task in tasks:
        for file in task.files if task.hide else ():
            found.setdefault(file, []).extend(task.hide)
    return found


def cuts_of(tasks):
    """{file: {function: message}} of the functions to remove for `tasks`; None instead of the dict: the whole file"""
    cuts, asked = {}, {function for task in tasks for function in task.functions}
    for task in tasks:
        for target in task.also_blank:
            file, _, name = target.partition(":")
            if not name:
                cuts[file] = None
            elif target not in asked and cuts.get(file, {}) is not None:
                cuts.setdefault(file, {})[name] = (
                    f"a part of task {task.id}'s answer, left out of a student edition: you need not write it"
                )
    for task in tasks:
        for file in task.files:
            if cuts.get(file, {}) is None:
                raise ValueError(f"task {task.id}: found its file {file} in an also_blank, expected it to stay")
        text = f"task {task.id} ({task.title}): write it; lesson {task.lesson}, hints with `make hint T={task.id}`"
        for function in task.functions:
            cuts.setdefault(file_of(function), {})[name_of(function)] = text
    return cuts


def _write_lessons(course, tasks, folder):
    chosen = {task.lesson for task in tasks}
    source = course.root / "lessons"
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        if path.is_dir() or path.name in LEFT_OUT_OF_LESSONS or "__pycache__" in inside.parts:
            continue
        target = folder / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    text = (source / "README.md").read_text(encoding="utf-8")
    write_text(folder / "README.md", lessons_readme(text, tasks[0].lesson))
    ids = {task.id for task in tasks}
    write_text(folder / "course.toml", "\n".join(_lesson_text(lesson, chosen, ids) for lesson in course.lessons))


def _lesson_text(lesson, chosen, ids):
    """One lesson of the manifest as TOML, without also_blank, and with sealed hints and `after`."""
    lines = ["[[lesson]]"]
    for key in ("number", "folder", "title", "minutes", "needs"):
        lines.append(f"{key} = {_toml(getattr(lesson, key))}")
    for task in lesson.tasks if lesson.number in chosen else ():
        lines += ["", "[[lesson.task]]"]
        needs = tuple(other for other in task.needs if other in ids)
        lines += [f"not_by = {_toml(task.not_by)}"] if task.not_by else []
        for key in ("id", "title", "kind", "function", "points", "minutes"):
            lines.append(f"{key} = {_toml(getattr(task, key))}")
        lines += [f"also_write = {_toml(task.also_write)}"] if task.also_write else []
        lines += [f"needs = {_toml(needs)}", f"hints = {_toml(tuple(map(sealed, task.hints)))}"]
        lines.append(f"after = {_toml(sealed(task.after))}")
    return "\n".join(lines) + "\n"


def _toml(value):
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _record(course, tasks, folder, seed):
    """Run the properties on the project itself, and write the reference's answers, one file per lesson. Then write what
    `train-tiny` uses and computes."""
    properties = load_properties(course, [task.id for task in tasks])
    known = KnownMistakes(course)
    recorders = {task.lesson: Recorder(known) for task in tasks}
    with Worker(course.root) as worker:
        for task in tasks:
            result = run_task(task, properties[task.id], worker, recorders[task.lesson], seed)
            if not result.passed:
                raise ValueError("the project itself fails: " + format_result(result, course.folder(task).name))
    for number, recorder in recorders.items():
        save_recording(folder / "lessons" / course.lesson(number).folder / "recorded.npz", recorder.answers)
    write_json(folder / "lessons" / RECORD, for_edition(course, tasks))


# --- search for solutions that are still visible


def _normal(line):
    return re.sub(r"\s+", " ", line.partition("  #")[0]).strip()


def solution_lines(course, tasks):
    """{line: task id} of lines with arithmetic in the reference and in the solutions."""
    found = {}
    for task in tasks:
        solutions = course.folder(task) / "solutions.py"
        for path, name in [(path, name_of(each)) for each in task.functions
                           for path in (course.root / file_of(each), solutions)]:  # fmt: skip
            if not path.is_file():
                continue
            text = path.read_text(encoding="utf-8")
            function = find(ast.parse(text), name)
            for statement in body_of(function) if function is not None else ():
                for line in text.splitlines()[statement.lineno - 1 : statement.end_lineno]:
                    line = _normal(line)
                    if len(line) >= SHORTEST_LEAK and _TELLING.search(line) and not line.startswith('"""'):
                        found.setdefault(line, task.id)
    return found


def find_leaks(course, tasks, folder):
    """The lines of an edition that contain a line of a solution -> list of "file:line: ..." texts"""
    telling, found = solution_lines(course, tasks), []
    for path in sorted(pathlib.Path(folder).rglob("*")):
        if path.suffix not in (".py", ".md", ".toml", ".json", ".txt", "") or not path.is_file():
            continue
        inside = path.relative_to(folder)
        if inside.parts[0] == "data" or inside.as_posix() == "lessons/course.toml":  # the last hint may be that near
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            line = _normal(line)
            for solution, id in telling.items() if len(line) >= SHORTEST_LEAK else ():
                if solution in line:
                    found.append(f"{inside.as_posix()}:{number}: shows task {id}'s {solution!r}")
    return found


__all__ = ["cuts_of", "find_leaks", "solution_lines", "write_edition", "write_package"]
