"""`grade`: grade submissions; writes a JSON file per student in Gradescope's format, a CSV file and a table.

    submission -> bodies of the tasks' functions (extraction.py) -> another process with a copy of the package without
    the tasks' functions (worker.py) -> properties, in THIS process, with hidden seeds -> points

A function that the student did not submit stays unwritten. The student's process cannot import the reference of any
graded function. The policy is in `lessons/grading.toml` (policy.py).
"""

import contextlib
import pathlib
import signal
import tempfile
import threading
import time

from ...support.terminal import progress_bar, say
from ..sandbox import isolation
from ..sandbox.host import Worker
from ..shared.checking import FAILED, NOT_RUN, Outcome, TaskResult, run_task
from ..shared.extraction import Refused, extract_all, install_all, parse, replaceable_in
from ..shared.manifest import chosen_lessons
from ..shared.properties import load_properties
from ..shared.trial import Live
from .edition import cuts_of, write_package
from .entries import find_entries, unique_names
from .grades import Grade, gradescope
from .hand_in_times import times_of
from .policy import late_factor
from .reported_answers import KnownMistakes
from .results import Results, location_of, settings_of
from .submission import read_submission

STOPPED = "not run: the grading was stopped before this task"


class Grader:
    """The package without the tasks, and the properties; used as `with Grader(course, policy) as grader:`"""

    def __init__(self, course, policy):
        lessons = chosen_lessons(course, policy.lessons)
        self.course, self.policy, self.known = course, policy, KnownMistakes(course)
        self.tasks = [task for task in course.tasks if task.lesson in lessons]
        if not self.tasks:
            raise ValueError("lessons: found none with a task, expected at least one")
        self.properties = load_properties(course, [task.id for task in self.tasks])
        files = [file for task in self.tasks for file in task.files]
        self.files = {file: (course.root / file).read_text(encoding="utf-8") for file in files}
        self.replaceable = replaceable_in(cuts_of(self.tasks), self.tasks)

    def __enter__(self):
        self.isolation = isolation.choose(self.policy.isolation)
        self._folder = tempfile.TemporaryDirectory(prefix="minimobilebert-grade-")
        try:
            self.root = pathlib.Path(self._folder.name).resolve()
            write_package(self.course, self.tasks, self.root, for_grading=True)
            for path in (self.root, *self.root.rglob("*")):  # the worker may run as another user
                path.chmod(0o755 if path.is_dir() else 0o644)
            if (
                self.isolation == "user"
            ):  # which will see this folder as /, and looks for modules under its present path
                inside = self.root / self.root.relative_to("/")
                inside.parent.mkdir(parents=True)
                inside.symlink_to("/")
            isolation.try_out(self.isolation, self.root)
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(self, *exception):
        self._folder.cleanup()

    def worker(self, memory=True):
        """A process with the package without the tasks, and with the limits of the policy."""
        limit = self.policy.memory_mb * 2**20 if memory else None
        seconds = 2 * self.policy.seconds_per_submission + 60
        return Worker(
            self.root, sorted(self.files), limit, isolation=self.isolation if memory else "none", seconds=seconds
        )

    def extract(self, submission):
        """-> {task id: {function: Extracted}, or the reason for a refusal as text}"""
        taken, trees = {}, {}

        def read(file):
            if submission.problem:
                raise Refused(submission.problem)
            if file in submission.refused:
                raise Refused(submission.refused[file])
            if file not in submission.files:
                raise Refused(f"not handed in: found no {file}")
            shown, data = submission.files[file]
            if file not in trees:
                trees[file] = _parsed(data, shown)
            if isinstance(trees[file], Refused):
                raise trees[file]
            return parse(data, shown), shown  # again, because `extract` modifies the tree

        for task in self.tasks:
            try:
                taken[task.id] = extract_all(self.course, task, read, self.files, self.replaceable)
            except Refused as refused:
                taken[task.id] = str(refused)
        unreadable = [str(tree) for tree in trees.values() if isinstance(tree, Refused)]
        if unreadable and len(unreadable) == len(trees):
            submission.problem = submission.problem or unreadable[0]
        submission.notes += [reason for reason in unreadable if reason not in (submission.problem, *submission.notes)]
        return taken

    def read(self, path, name=None):
        """-> Submission"""
        asked = {file: [name for task in self.tasks for name in task.names_in(file)] for file in self.files}
        return read_submission(path, self.files, asked, name)

    def grade_or_say_why(self, submission, handed_in=None, progress=None):
        """-> Grade; if the grader itself fails, a Grade without points and with the error, so that grading continues"""
        start = time.monotonic()
        try:
            return self.grade(submission, handed_in, progress)
        except isolation.IsolationError:
            raise  # the next submissions would not be isolated either
        except Exception as error:
            reason = f"the grader failed, which is not the student's fault: {type(error).__name__}: {error}"
            reason = " ".join(reason.split())[:500]
            results = [self.without(task, reason) for task in self.tasks]
            seconds = time.monotonic() - start
            return Grade(submission, results, *late_factor(self.policy, handed_in), seconds, self.isolation, reason)

    def grade(self, submission, handed_in=None, progress=None):
        """-> Grade. progress: called after each task with a Grade in which the remaining tasks are not run"""
        start = time.monotonic()
        taken = self.extract(submission)
        factor, late = late_factor(self.policy, handed_in)
        results = []

        def so_far(results):
            return Grade(submission, results, factor, late, time.monotonic() - start, self.isolation)

        with self.worker() as worker:
            for task in self.tasks:
                if not isinstance(taken[task.id], str):
                    install_all(worker, taken[task.id])
            for task in self.tasks:
                if isinstance(taken[task.id], str):
                    results.append(self.without(task, taken[task.id]))
                elif time.monotonic() - start > self.policy.seconds_per_submission:
                    results.append(self.without(task, "not run: the time for this submission is over"))
                else:
                    results.append(self._task(task, worker))
                if progress is not None:
                    to_come = [self.without(other, STOPPED) for other in self.tasks[len(results) :]]
                    progress(so_far(results + to_come))
        return so_far(results)

    def _task(self, task, worker):
        """Run a task with all hidden seeds -> the worst TaskResult"""
        worst = None
        if worker.process is None:
            worker.start()
        for function in task.functions:
            if function in worker.broken:
                return self.without(task, worker.broken[function])
        for seed in self.policy.seeds:
            result = run_task(
                task, self.properties[task.id], worker, Live(self.known), seed, self.policy.seconds_per_call
            )
            if worst is None or result.score < worst.score:
                worst = result
            if not worst.passed and worst.score == 0.0:
                break
        return worst

    def without(self, task, reason):
        """-> TaskResult without points, with the reason"""
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
    """Grade all submissions; write NAME.json and a row of grades.csv for each to the folder `out` -> list of results

    handed_in: a date for all, {name: date}, or None (hand_in_times.py)

    After an interruption the same call resumes. No file in `out` is overwritten.
    """
    grader = Grader(course, policy)
    entries = find_entries(paths, grader.files, out)
    results = Results(out, settings_of(course, policy))
    names = unique_names(entries, results.names)
    times = times_of(handed_in, names)
    if policy.due and handed_in is not None and None in times.values():
        without = [names[path] for path in entries if times[path] is None]
        say(f"note: found no time for {', '.join(without)}; without one nothing counts as late")
    done = 0
    try:
        with terminated_as_interrupted(), grader, progress_bar("grade", len(entries)) as bar:
            for path in entries:
                submission = grader.read(path, names[path])
                result = results.of(submission, times[path])
                if result is None:
                    grade = grader.grade_or_say_why(submission, times[path])
                    result = gradescope(grade, policy, results.settings)
                    results.add(submission, times[path], result)
                done += 1
                bar.update(f"{submission.name} {result['score']:g}")
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {done} of {len(entries)} submissions are graded and kept in {out};"
                                " the same command resumes") from None  # fmt: skip
    results.write_table(entries)
    return [results.found[location_of(path)] for path in entries]


@contextlib.contextmanager
def terminated_as_interrupted():
    """In this context, `kill` (SIGTERM) is handled like Ctrl-C, so that child processes end too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
