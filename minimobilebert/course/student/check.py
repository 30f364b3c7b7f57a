"""`check`, `hint`, `progress`: the commands for students.

In a student edition `.course/progress.json` stores the shown hints and, per task, the checked version and its result.
"""

import ast
import hashlib
import time

from ...support.files import write_json
from ...support.regular_files import read_bytes, read_text
from ...support.shapes import Integer, Number
from ...support.structured_files import read_json
from ...support.tables import aligned
from ..sandbox.host import Worker
from ..shared.checking import FAILED, PASSED, format_result, run_task
from ..shared.cutting import FUNCTIONS, find
from ..shared.extraction import Refused, extract_all, install_all, names_bound_by, parse
from ..shared.manifest import file_of, name_of
from ..shared.not_taken import own_module
from ..shared.properties import load_properties
from ..shared.recording import load_recordings
from ..shared.trial import Live
from .compiling import is_kernel, why_not
from .line_counts import known_lines

SECONDS_BETWEEN_LOOKS = 0.5
MOST_BYTES = 2**20  # of a student's file
_STATE = {
    "hints?": {str: Integer(0, 99)},
    "tasks?": {str: {"state": str, "score": Number(0, 10_000), "code": str, "passing?": Integer(0, 10_000)}},
}


class Checker:
    """Checks the tasks of a project or student edition. Each `check` starts a new process with the student's code."""

    def __init__(self, course, seed=None):
        self.course = course
        self.properties = load_properties(course)
        self.originals = {}
        if course.edition is None:
            self.oracle, self.seed = Live(), 1 if seed is None else seed
        else:
            self.oracle = load_recordings(course)
            self.seed = course.edition["seed"]
            if seed not in (None, self.seed):
                raise ValueError(f"--seed: found {seed}, expected {self.seed}: this edition has no other numbers")
            self.originals = _originals(course)

    def check(self, tasks):
        """Yields (task, TaskResult, text) for each task; None instead of a result if grading would reject the file."""
        with Worker(self.course.root, show_prints=True) as worker:
            for task in tasks:
                try:
                    extracted, notes = self._read(task)
                except Refused as error:
                    yield task, None, f"task {task.id}  {task.written_as}: {error}"
                    continue
                worker.modules = list(task.files)
                install_all(worker, extracted)  # as grading does: a decorator, which it leaves out, must not help
                result = run_task(task, self.properties[task.id], worker, self.oracle, self.seed)
                if any(outcome.headline == "not written yet" for outcome in result.outcomes):
                    notes = [self._size(task), *notes]
                notes = [*notes, *self._not_compiled(task, result), *self._called(task, result, worker)]
                self._remember(task, result)
                folder = self.course.folder(task).relative_to(self.course.root).as_posix()
                yield task, result, "\n".join([self._text(result, folder), *notes])

    def _text(self, result, folder):
        return format_result(result, folder, other_seeds=self.course.edition is None)

    def _read(self, task):
        """-> what grading would take of the student's files; notes on changes that it ignores. Refused for broken rules

        In the project itself nothing is taken: its functions are checked as they are.
        """

        def read(file):
            return parse(read_bytes(self.course.root / file, MOST_BYTES), file), file

        trees = {file: read(file)[0] for file in task.files}
        if task.file not in self.originals:
            return {}, []
        left_out = {file: _left_out(self.originals[file]) for file in task.files}
        extracted = extract_all(self.course, task, read, self.originals, left_out)
        modules = self.originals["modules"].split("\n")
        for function, taken in extracted.items():
            file, text = file_of(function), f"{taken.helpers}\n{taken.source}"
            if found := own_module(text, file, self.course.root, modules):
                raise Refused(f"{file}: found an import of {found}, a file of your own, which is not taken along: write"
                              " its functions in this file")  # fmt: skip
        changed = [(name, file) for file in task.files for name in self._changed(file, trees[file], left_out[file])]
        notes = [
            f"  note        {name} in {file} was changed; grading uses it as it was given" for name, file in changed
        ]
        return extracted, notes

    def _changed(self, file, tree, left_out):
        """The names that no task of this file asks for, and that are not as they were given"""
        asked = {name for task in self.course.tasks for name in task.names_in(file)} | left_out
        given, found = _given(ast.parse(self.originals[file])), _given(tree)
        functions = _functions(ast.parse(self.originals[file]))  # one that is missing has changed, too
        return sorted(name for name, what in given.items()
                      if name not in asked and (name in found or name in functions) and found.get(name) != what
                      and "left out" not in str(what))  # fmt: skip

    def _called(self, task, result, worker):
        """-> a line if the task failed and a task that it needs does not pass: the mistake may be there

        Those that passed since they were changed are not run again.
        """
        if result.state != FAILED:
            return []
        names, known = {each.id: each for each in self.course.tasks}, self._passing()
        for other in [names[id] for id in _calls(names, task) if id in self.properties]:
            if known[other.id] == len(self.properties[other.id]):
                continue
            found = run_task(other, self.properties[other.id], worker, self.oracle, self.seed,
                             enough=lambda outcome: outcome.state == FAILED)  # fmt: skip
            for outcome in found.outcomes:
                if outcome.state == FAILED:
                    text = f"task {other.id}, which this one needs, does not pass: {outcome.function}"
                    return [f"  first       {text}"]
            if found.passed:
                self._remember(other, found)
        return []

    def _not_compiled(self, task, result):
        """-> a line if a kernel passes that Numba cannot compile: the checks run it as plain Python"""
        if not result.passed or not is_kernel(self.course.root, task.function):
            return []
        reason = why_not(self.course.root, task.function)
        what = f"  note        right, but Numba cannot compile it, and every run would stop: {reason}"
        return [f"{what}; helpers need @jit too"] if reason else []

    def _size(self, task):
        """How much there is to write, and what it brings -> a line of text"""
        lines, before = known_lines(self.course).get(task.id), self._passing()
        about = f"about {lines} line{'' if lines == 1 else 's'}; " if lines else ""
        after = sum(before.values()) - before[task.id] + len(self.properties[task.id])
        return f"  size    {about}before this task {sum(before.values())} properties pass, after it {after}"

    def _passing(self):
        """{task id: the properties that pass}, as the last checks of unchanged functions found"""
        known, found = load_state(self.course)["tasks"], {}
        for task in self.course.tasks:
            entry, count = known.get(task.id, {}), len(self.properties[task.id])
            same = bool(entry) and entry["code"] == fingerprint(self.course, task)
            found[task.id] = entry.get("passing", count if entry["state"] == PASSED else 0) if same else 0
        return found

    def _remember(self, task, result):
        if self.course.edition is not None:
            state = load_state(self.course)
            passing = sum(outcome.state == PASSED for outcome in result.outcomes)
            state["tasks"][task.id] = {"state": result.state, "score": result.score,
                                       "code": fingerprint(self.course, task), "passing": passing}  # fmt: skip
            save_state(self.course, state)


def _calls(tasks, task):
    """The ids of the tasks whose functions this one calls, directly or through others; what is called first, first"""
    found = []
    for id in task.needs if task is not None else ():
        found += [each for each in (*_calls(tasks, tasks.get(id)), id) if each not in found]
    return found


def _functions(tree):
    return {node.name for node in tree.body if isinstance(node, FUNCTIONS)}


def _left_out(source):
    """The functions that the edition removed from this file (`also_blank`)"""
    tree = ast.parse(source)
    dumps = {name: ast.dump(find(tree, name)) for name in _functions(tree)}
    return {name for name, dump in dumps.items() if "NotImplementedError" in dump and "left out" in dump}


def _given(tree):
    """{name: what it is} of a file: functions, methods (Class.method), values and imports at module level"""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{each.name}": ast.dump(each) for each in node.body if isinstance(each, FUNCTIONS)}
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            source = getattr(node, "module", ""), getattr(node, "level", 0)
            found |= {alias.asname or alias.name: (*source, alias.name) for alias in node.names}
        else:
            found |= dict.fromkeys(names_bound_by(node), ast.dump(node))
    return found


def _originals(course):
    """{file: its original text in the edition}. ValueError if a text is missing or is not valid Python."""
    path = course.root / "lessons" / "originals.json"
    originals = read_json(
        path, {"modules": str, **{file: str for task in course.tasks for file in task.files}, str: str}
    )
    for task, function in [(each, function) for each in course.tasks for function in each.functions]:
        file, name = file_of(function), name_of(function)
        try:
            function = find(ast.parse(originals[file]), name)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ValueError(f"{path}: {file}: found {error}, expected Python") from None
        if function is None:
            raise ValueError(f"{path}: {file}: found no {name}, expected the function of task {task.id}")
    return originals


def fingerprint(course, task):
    """A hash of the current functions of a task; "" if a file cannot be read"""
    try:
        return _fingerprint_of({file: read_text(course.root / file, MOST_BYTES) for file in task.files}, task)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return ""


def _state_file(course):
    return course.root / ".course" / "progress.json"


def load_state(course):
    """{"hints": {task: number of shown hints}, "tasks": {task: {state, score, code}}}"""
    path = _state_file(course)
    try:
        state = read_json(path, _STATE) if path.exists() else {}
    except ValueError as error:
        raise ValueError(f"{error}; delete the file to start again") from None
    return {"hints": {}, "tasks": {}, **state}


def save_state(course, state):
    path = _state_file(course)
    path.parent.mkdir(exist_ok=True)
    write_json(path, state)


def next_hint(course, task):
    """The next hint of a task and the previous ones -> text. All of them, and uncounted, once the task has passed."""
    state = load_state(course)
    passed = state["tasks"].get(task.id, {}).get("state") == PASSED
    shown = len(task.hints) if passed else min(state["hints"].get(task.id, 0) + 1, len(task.hints))
    if course.edition is not None and not passed:
        state["hints"][task.id] = shown
        save_state(course, state)
    lines = [f"task {task.id}  {task.title}  ({', '.join(task.functions)})"]
    lines += [f"  {i + 1} of {len(task.hints)}  {task.hints[i]}" for i in range(shown)]
    return "\n".join([*lines, *(["  that was the last one"] if shown == len(task.hints) else [])])


def progress(course):
    """-> a row for each task: {"task", "title", "function", "points", "minutes", "state", "score", "hints"}"""
    state, rows = load_state(course), []
    for task in course.tasks:
        known = state["tasks"].get(task.id, {})
        now = "not checked"
        if known:
            same = known.get("code") == fingerprint(course, task)
            now = known.get("state", "not checked") if same else "changed since"
        score = known.get("score", 0.0) if now in (PASSED, "failed") else 0.0
        rows.append({"task": task.id, "title": task.title, "function": task.function, "points": task.points,
                     "minutes": task.minutes, "state": now, "score": score,
                     "hints": state["hints"].get(task.id, 0)})  # fmt: skip
    return rows


def format_progress(rows):
    """The rows as a table with its sum."""
    table = [["task", "title", "points", "minutes", "hints", "state"]]
    for row in rows:
        score = f"{row['score']:g}/{row['points']:<3}"
        table.append([row["task"], row["title"], score, str(row["minutes"]), str(row["hints"]), row["state"]])
    lines = aligned(table, left=(0, 1, -1))
    done = sum(row["state"] == PASSED for row in rows)
    score, points = sum(row["score"] for row in rows), sum(row["points"] for row in rows)
    return "\n".join([*lines, f"{done} of {len(rows)} tasks, {score:g} of {points} points"])


def written(course, tasks):
    """The tasks whose function differs from the original of the edition (in the project itself: all of `tasks`)."""
    if course.edition is None:
        return list(tasks)
    originals = _originals(course)
    return [task for task in tasks
            if fingerprint(course, task) != _fingerprint_of(originals, task)]  # fmt: skip


def _fingerprint_of(sources, task):
    """sources: {file: text} -> the hash of the task's functions in them; "" if one is missing"""
    found = [find(ast.parse(sources[file]), name) for file in task.files for name in task.names_in(file)]
    if None in found:
        return ""
    return hashlib.sha256("".join(map(ast.dump, found)).encode()).hexdigest()[:16]


def watch(course, tasks, seed, show, turns=None):
    """Check the first of `tasks`, again whenever its file changes; when it passes, move on to the next task.

    After `tasks` come the later tasks of the course that have not passed. It ends when all pass, when interrupted, or
    after `turns` checks.
    """
    queue = _queue(course, tasks)
    while queue and (turns is None or turns > 0):
        task, turns = queue[0], None if turns is None else turns - 1
        paths = [course.root / file for file in task.files]
        seen = list(map(_changed_at, paths))
        [(_, result, text)] = Checker(course, seed).check([task])
        show(text)
        if result is not None and result.passed:
            queue.pop(0)
            show(f"next: task {queue[0].id}  {queue[0].title}\n" if queue else "all tasks pass")
            continue
        show(f"watching {' and '.join(path.name for path in paths)}; Ctrl-C ends it")
        while turns != 0 and list(map(_changed_at, paths)) == seen:
            time.sleep(SECONDS_BETWEEN_LOOKS)


def _queue(course, tasks):
    """The tasks, and those after them that have not passed"""
    passed = {row["task"] for row in progress(course) if row["state"] == PASSED}
    if len(tasks) == len(course.tasks):  # none was named: continue where the last session ended
        return [task for task in tasks if task.id not in passed]
    named, last = {task.id for task in tasks}, max(task.id for task in tasks)
    return [*tasks, *(task for task in course.tasks if task.id > last and task.id not in {*named, *passed})]


def _changed_at(path):
    return path.stat().st_mtime_ns if path.exists() else 0
