"""`course-check`: check the whole course. The project's tests run it.

    1. the manifest, the tables made from it, properties, solutions and mutants can be read and are consistent;
       `train-tiny` uses the tasks and computes the losses of lessons/rehearsal.json
    2. in an untouched student edition, each task is reported as not written, and the score is 0
    3. with the solutions, all tasks pass with full score, also against the recorded numbers of the edition
    4. a task calls exactly the functions of the tasks in its `needs`; without the solution of a task, it and the tasks
       that need it fail
    5. each mutant fails
    6. the messages for wrong answers name the mistake: a table by kind of mistake, and shares that must be reached

fewest_mutants: the least number of mutants in the whole bank. Checks that must pass run with three seeds.
"""

import pathlib
import tempfile
import time

from ...support.tables import aligned
from ...support.terminal import say
from ..sandbox.host import Worker
from ..shared.checking import NOT_WRITTEN, PASSED, run_task
from ..shared.extraction import install_all
from ..shared.manifest import load
from ..shared.recording import load_recordings
from ..shared.trial import Live, Memory
from . import diagnoses
from . import mutants as bank
from .edition import write_edition
from .grading import Grader
from .policy import Policy
from .rehearsing import differences
from .tables import update
from .wrong_answers import wrong_answers


def run(course, fewest_mutants=0):
    """-> [(name of the check, None or the errors as text)]"""
    checks = []

    def check(what, wrong, start):
        wrong = list(wrong)
        checks.append((what, "; ".join(map(str, wrong[:20])) or None))
        say(f"{what}: {'ok' if not wrong else checks[-1][1]} ({time.monotonic() - start:.1f} s)")

    start = time.monotonic()
    stale = [f"{path.relative_to(course.root)} is not up to date: course --write" for path in update(course, False)]
    check("tables agree with the manifest", stale, start)
    start = time.monotonic()
    check("train-tiny's tasks and first losses are as recorded", differences(course), start)
    with Grader(course, Policy()) as grader:
        start = time.monotonic()
        check("nothing handed in: every task not written, score 0", _untouched(grader), start)
        start = time.monotonic()
        calls = {}
        check("solutions: full score", _solved(course, grader, calls), start)
        start = time.monotonic()
        check("needs name what a task calls, and only that", _needs(course, calls), start)
        start = time.monotonic()
        check("one solution missing: what needs it fails", _one_missing(grader, calls), start)
        start = time.monotonic()
        mutants = bank.load_mutants(course, grader.tasks)
        rows = bank.run(course, grader, mutants)
        wrong = [f"{mutant.task} {mutant.name!r} survives" for mutant in bank.survivors(rows)]
        if len(mutants) < fewest_mutants:
            wrong.append(f"{len(mutants)} mutants, expected at least {fewest_mutants}")
        check(f"{len(mutants)} mutants: all die", wrong, start)
        start = time.monotonic()
        rows = diagnoses.run(course, grader, wrong_answers(course, grader.tasks))
        say(diagnoses.format_rows(rows))
        check(f"diagnoses of wrong answers: {diagnoses.in_a_line(rows)}", diagnoses.too_bad(rows), start)
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            check("student edition: untouched fails, solved passes", _edition(course, grader, folder), start)
    return checks


def _untouched(grader):
    with grader.worker() as worker:
        for task in grader.tasks:
            result = run_task(task, grader.properties[task.id], worker, Live(), 1)
            if result.score != 0 or result.outcomes[0].state != NOT_WRITTEN:
                yield f"task {task.id}: {result.outcomes[0].state}, {result.score} points"


def _solved(course, grader, calls):
    """All tasks pass with three seeds; fills calls {task id: ids of the tasks whose functions ran}."""
    ids = {function: task.id for task in grader.tasks for function in task.functions}
    with grader.worker() as worker:
        bank.install_solutions(course, grader, worker)
        for task in grader.tasks:
            for seed in (1, 2, 3):
                yield from _all_pass(task, run_task(task, grader.properties[task.id], worker, Live(), seed))
    with grader.worker(memory=False) as worker:  # tracing needs sys.setprofile, which the limits forbid
        bank.install_solutions(course, grader, worker)
        worker.watch = list(ids)
        for task in grader.tasks:
            worker.seen.clear()
            run_task(task, grader.properties[task.id], worker, Live(), 1, seconds=60.0)
            calls[task.id] = {ids[function] for function in worker.seen}


def _needs(course, calls):
    """Each task calls functions of the tasks in its `needs`, of tasks that these need, and of no others."""
    for id, called in calls.items():
        declared = {other.id for other in course.tasks if id in course.needed_by(other.id)}
        for other in sorted(called - declared):
            yield f"task {id} calls the function of {other}, which its needs does not name"
        # Not those that a needed task needs: one of its functions may call them, and this task another one.
        for other in sorted({id, *course.task(id).needs} - called):
            what = f"needs {other}, whose function it never calls" if other != id else "never calls its own function"
            yield f"task {id} {what}"


def _all_pass(task, result):
    for outcome in result.outcomes:
        if outcome.state != PASSED:
            text = f"{outcome.headline} {outcome.looks_like}".strip()
            yield f"task {task.id}, seed {result.seed}: {outcome.name} {outcome.state}: {text}"
    if result.passed and result.score != task.points:
        yield f"task {task.id}: {result.score} of {task.points} points"


def _one_missing(grader, calls):
    """Without a task's solution, it and the tasks that call it fail at least one essential property."""
    oracle = Memory()
    with grader.worker(memory=False) as worker:
        taken = bank.install_solutions(grader.course, grader, worker)
        for task in grader.tasks:
            for function, extracted in taken[task.id].items():
                worker.install(function, _cut(extracted.source, f"task {task.id} ({task.title})"))
            for other in (other for other in grader.tasks if task.id in calls[other.id]):
                properties = [each for each in grader.properties[other.id] if each.essential]
                result = run_task(other, properties, worker, oracle, 1)
                if all(outcome.state == PASSED for outcome in result.outcomes):
                    yield f"without task {task.id}, {other.id} passes"
            install_all(worker, taken[task.id])


def _cut(source, text):
    import ast

    from ..shared.cutting import blank

    return blank(source, {ast.parse(source).body[0].name: text})


def _edition(course, grader, folder):
    """Write an edition, check it untouched, install the solutions, and check again."""
    from ..student.check import Checker, written

    out = pathlib.Path(folder) / "student"
    lessons = sorted({task.lesson for task in grader.tasks})
    write_edition(course, lessons, out)
    edition = load(out)
    if written(edition, edition.tasks):
        yield "the edition has functions that count as written"
    for _, result, text in Checker(edition).check(edition.tasks):
        if result is None or result.score != 0 or "not written yet" not in text:
            yield f"edition, untouched: {text}"
    oracle = load_recordings(edition)
    with Worker(out) as worker:
        bank.install_solutions(course, grader, worker)
        for task in edition.tasks:
            result = run_task(task, grader.properties[task.id], worker, oracle, edition.edition["seed"])
            yield from _all_pass(task, result)


def format_checks(checks):
    return "\n".join(
        aligned([[what, "ok" if wrong is None else f"FAIL: {wrong}"] for what, wrong in checks], left=(0, 1))
    )
