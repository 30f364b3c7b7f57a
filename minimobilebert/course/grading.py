"""`grade`: submissions in, a table, a JSON each in Gradescope's format, and a CSV for the class out.

    submission -> bodies of the tasks' functions (extraction.py) -> a process of its own on a package in which every
    task is cut (worker.py) -> properties, in THIS process, with hidden seeds -> points

A function that the student did not hand in stays cut. So does the reference of everything that is graded: what the
student's process can import has none. The policy is in `lessons/grading.toml` (policy.py).
"""

import os
import pathlib
import tempfile
import time

from ..files import write_json, write_text
from ..terminal import progress_bar
from .checking import FAILED, NOT_RUN, Outcome, TaskResult, run_task
from .edition import cuts_of, write_package
from .extraction import Refused, extract, parse
from .grades import Grade, as_csv, gradescope
from .manifest import chosen_lessons
from .policy import late_factor
from .properties import load_properties
from .submission import find_submissions
from .trial import Live
from .workers import Worker


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
    write_text(out / "grades.csv", as_csv(grades))
    return grades
