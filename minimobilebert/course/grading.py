"""`grade`: submissions in, a table, a JSON each in Gradescope's format, and a CSV for the class out.

    submission -> bodies of the tasks' functions (extraction.py) -> a process of its own on a package in which every
    task is cut (worker.py) -> properties, in THIS process, with hidden seeds -> points

A function that the student did not hand in stays cut. So does the reference of everything that is graded: what the
student's process can import has none. `lessons/grading.toml` has the policy; see load_policy.
"""

import csv
import dataclasses
import datetime
import io
import os
import pathlib
import tempfile
import time
import tomllib

from ..files import write_json, write_text
from ..terminal import progress_bar
from .checking import FAILED, NOT_RUN, PASSED, Outcome, TaskResult, run_task
from .edition import cuts_of, write_package
from .extraction import Refused, extract, parse
from .manifest import chosen_lessons
from .properties import load_properties
from .submission import find_submissions
from .trial import Live
from .workers import Worker


@dataclasses.dataclass(frozen=True)
class Policy:
    """lessons/grading.toml: a field is a line there; all are optional."""

    lessons: str = ""  # as for `student`: "1-6"; empty for all
    seeds: list = dataclasses.field(default_factory=lambda: [1])  # change them each term, and tell nobody
    seconds_per_call: float = 10.0
    seconds_per_submission: float = 600.0
    memory_mb: int = 1024
    due: str = ""  # "2027-03-01T23:59:00+01:00"; empty: no date
    grace_hours: float = 0.0
    percent_lost_per_day_late: float = 0.0  # of the score, for every day or part of one
    days_late_at_most: int = 7  # later than that: 0
    show_hidden: bool = True  # what failed, and where; False: only the property's title


def load_policy(path):
    """ValueError with one line for the first mistake in the file; the defaults where there is none"""
    path = pathlib.Path(path)
    if not path.exists():
        return Policy()
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}, expected TOML") from None
    kinds = {field.name: type(getattr(Policy(), field.name)) for field in dataclasses.fields(Policy)}
    for key, value in data.items():
        if key not in kinds:
            raise ValueError(f"{path}: unknown field {key!r}, expected one of {', '.join(kinds)}")
        kind = kinds[key]
        if kind is float and type(value) is int:
            data[key] = float(value)
        elif type(value) is not kind:
            raise ValueError(f"{path}: {key}: found {value!r}, expected {kind.__name__}")
        if kind in (int, float) and data[key] < 0:
            raise ValueError(f"{path}: {key}: found {value}, expected no negative number")
    policy = Policy(**data)
    if not policy.seeds or not all(type(seed) is int and seed >= 0 for seed in policy.seeds):
        raise ValueError(f"{path}: seeds: found {policy.seeds}, expected at least one whole number")
    if policy.due:
        _date(path, policy.due)
    return policy


def _date(where, text):
    try:
        date = datetime.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        date = None
    if date is None or date.tzinfo is None:
        raise ValueError(f"{where}: found the date {text!r}, expected one such as 2027-03-01T23:59:00+01:00")
    return date


def late_factor(policy, handed_in):
    """The share of the score that is kept -> factor, sentence ("" where it is in time)"""
    if not policy.due or handed_in is None:
        return 1.0, ""
    late = _date("submission", handed_in) - _date("due", policy.due) - datetime.timedelta(hours=policy.grace_hours)
    if late <= datetime.timedelta(0):
        return 1.0, ""
    days = -(-late // datetime.timedelta(days=1))
    lost = 100.0 if days > policy.days_late_at_most else min(100.0, policy.percent_lost_per_day_late * days)
    return 1.0 - lost / 100.0, f"{days} days late: {lost:g} % lost"


@dataclasses.dataclass
class Grade:
    submission: object
    results: list  # of TaskResult
    factor: float = 1.0
    late: str = ""
    seconds: float = 0.0

    @property
    def score(self):
        return round(sum(result.score for result in self.results) * self.factor, 2)

    @property
    def points(self):
        return sum(result.task.points for result in self.results)


class Grader:
    """The cut package and the properties, made once for all submissions: `with Grader(course, policy) as grader:`"""

    def __init__(self, course, policy):
        lessons = chosen_lessons(course, policy.lessons)
        self.course, self.policy = course, policy
        self.tasks = [task for task in course.tasks if task.lesson in lessons]
        if not self.tasks:
            raise ValueError("lessons: found none with a task, expected at least one")
        self.properties = load_properties(course, [task.id for task in self.tasks])
        self.files = {task.file: (course.root / task.file).read_text(encoding="utf-8") for task in self.tasks}
        self.left_out = cuts_of(self.tasks)

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="minimobilebert-grade-")
        self.root = pathlib.Path(self._folder.name)
        os.chmod(self.root, 0o755)  # the worker may run as another user
        write_package(self.course, self.tasks, self.root, for_grading=True)
        return self

    def __exit__(self, *exception):
        self._folder.cleanup()

    def worker(self, memory=True):
        """A process on the cut package, with the limits of the policy."""
        limit = self.policy.memory_mb * 2**20 if memory else None
        return Worker(self.root, modules=sorted(self.files), memory=limit)

    def extract(self, submission):
        """-> {task id: Extracted or the reason why not}"""
        taken, trees = {}, {}
        for task in self.tasks:
            try:
                if submission.problem:
                    raise Refused(submission.problem)
                if task.file not in submission.files:
                    raise Refused(f"not handed in: found no {task.file}")
                shown, data = submission.files[task.file]
                if task.file not in trees:
                    trees[task.file] = _parsed(data, shown)
                if isinstance(trees[task.file], Refused):
                    raise trees[task.file]
                asked = {other.name for other in self.tasks if other.file == task.file}
                replaceable = set(self.left_out[task.file]) - asked
                # Parsed anew, because `extract` moves nodes; the first parse only told whether that works.
                taken[task.id] = extract(parse(data, shown), shown, task.name, self.files[task.file], replaceable)
            except Refused as refused:
                taken[task.id] = str(refused)
        return taken

    def grade(self, submission, handed_in=None):
        """-> Grade"""
        start = time.monotonic()
        taken = self.extract(submission)
        results = []
        with self.worker() as worker:
            for task in self.tasks:
                if not isinstance(taken[task.id], str):
                    worker.install(task.function, taken[task.id].source, taken[task.id].helpers)
            for task in self.tasks:
                if isinstance(taken[task.id], str):
                    results.append(self._without(task, taken[task.id]))
                elif time.monotonic() - start > self.policy.seconds_per_submission:
                    results.append(self._without(task, "not run: the time for this submission is over"))
                else:
                    results.append(self._task(task, worker))
        factor, late = late_factor(self.policy, handed_in)
        return Grade(submission, results, factor, late, time.monotonic() - start)

    def _task(self, task, worker):
        """With every hidden seed; the worst counts."""
        worst = None
        if worker.process is None:
            worker.start()
        if task.function in worker.broken:
            return self._without(task, worker.broken[task.function])
        for seed in self.policy.seeds:
            result = run_task(task, self.properties[task.id], worker, Live(), seed, self.policy.seconds_per_call)
            if worst is None or result.score < worst.score:
                worst = result
            if not worst.passed and worst.score == 0.0:
                break
        return worst

    def _without(self, task, reason):
        outcomes = [Outcome(each.name, each.title, each.weight, each.essential, NOT_RUN)
                    for each in self.properties[task.id]]  # fmt: skip
        outcomes[0].state, outcomes[0].headline = FAILED, reason
        return TaskResult(task, self.policy.seeds[0], outcomes)


def _parsed(data, shown):
    try:
        return parse(data, shown)
    except Refused as refused:
        return refused


def gradescope(grade, policy):
    """One student's results in the form of Gradescope's results.json."""
    submission, tests = grade.submission, []
    for result in grade.results:
        lines = []
        for outcome in result.outcomes:
            lines.append(f"{outcome.state:<11} {outcome.title}")
            if outcome.state not in (PASSED, NOT_RUN) and policy.show_hidden:
                lines += [f"            {outcome.headline}"]
                lines += [f"            {label:<10}  {text}" for label, text in outcome.lines]
                lines += [f"            looks like  {outcome.looks_like}"] if outcome.looks_like else []
        tests.append({
            "number": result.task.id, "name": f"{result.task.title} ({result.task.name})", "score": result.score,
            "max_score": result.task.points, "status": "passed" if result.passed else "failed",
            "output": "\n".join(lines), "output_format": "text", "visibility": "visible",
        })  # fmt: skip
    files = "\n".join(f"{shown}  (as {file})" for file, (shown, _) in sorted(submission.files.items()))
    output = [f"graded: {submission.path.name}, sha256 {submission.sha256}", files, submission.problem, grade.late]
    return {
        "score": grade.score, "output": "\n".join(filter(None, output)), "output_format": "text",
        "execution_time": round(grade.seconds, 1), "visibility": "visible", "stdout_visibility": "hidden",
        "tests": tests, "extra_data": {"sha256": submission.sha256, "late_factor": grade.factor},
    }  # fmt: skip


def run(course, paths, out, policy, handed_in=None):
    """Grade everything; write NAME.json each, grades.csv -> list of Grade. Nothing is written over."""
    out = pathlib.Path(out)
    grades = []
    with Grader(course, policy) as grader:
        submissions = find_submissions(paths, grader.files)
        with progress_bar("grade", len(submissions)) as bar:
            for submission in submissions:
                grades.append(grader.grade(submission, handed_in))
                bar.update(f"{submission.name} {grades[-1].score:g}")
    out.mkdir(parents=True, exist_ok=True)
    for grade in grades:
        write_json(out / f"{grade.submission.name}.json", gradescope(grade, policy))
    write_text(out / "grades.csv", _csv(grades))
    return grades


def _csv(grades):
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    ids = [result.task.id for result in grades[0].results]
    table.writerow(["name", "score", "points", "late", *ids, "sha256", "problem"])
    for grade in grades:
        scores = [f"{result.score:g}" for result in grade.results]
        submission = grade.submission
        row = [submission.name, f"{grade.score:g}", grade.points, grade.late, *scores, submission.sha256,
               submission.problem]  # fmt: skip
        # A name that a spreadsheet would take for a formula stays a text.
        table.writerow([f"'{cell}" if str(cell)[:1] in "=+-@" else cell for cell in row])
    return text.getvalue()


def format_grades(grades):
    """All grades as a table, with what was graded."""
    width = max(len(grade.submission.name) for grade in grades)
    lines = []
    for grade in grades:
        passed = sum(result.passed for result in grade.results)
        lines.append(f"{grade.submission.name:<{width}}  {grade.score:>6g} of {grade.points:<4} {passed:>3} of"
                     f" {len(grade.results)} tasks  {grade.late}")  # fmt: skip
        lines.append(f"{'':<{width}}  graded {grade.submission.path}, sha256 {grade.submission.sha256[:16] or 'none'}")
        if grade.submission.problem:
            lines.append(f"{'':<{width}}  {grade.submission.problem}")
    return "\n".join(lines)
