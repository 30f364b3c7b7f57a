"""Run the properties of a task in a worker process, and format the result.

    result = run_task(task, properties, worker, oracle, seed)      -> TaskResult

After a failed property the others still run, so that a student sees which ones pass. A function that is not written,
cannot be imported or does not return stops its task.
"""

import dataclasses
import re

from ..sandbox.host import Stopped, StudentError
from .comparison import Different
from .trial import NotRecorded, Trial

# Beside a wrong main property these say little: a special case may depend on less, or consist of few numbers.
OF_GENERAL_NUMBERS = {"depends", "permuted", "what if"}
PASSED, FAILED, NOT_WRITTEN, NOT_RUN = "passed", "failed", "not written", "not run"


@dataclasses.dataclass
class Outcome:
    """The outcome of one property."""

    name: str
    title: str
    weight: int
    essential: bool
    state: str
    headline: str = ""  # "dk is wrong"
    lines: tuple = ()  # (label, text)
    looks_like: str = ""
    function: str = ""  # the name of the function that the property calls
    certainty: int = 1  # how much `looks_like` says: see gradcheck/patterns.py


@dataclasses.dataclass
class TaskResult:
    task: object
    seed: int
    outcomes: list

    @property
    def passed(self):
        return all(outcome.state == PASSED for outcome in self.outcomes)

    @property
    def state(self):
        if self.passed:
            return PASSED
        return NOT_WRITTEN if any(outcome.state == NOT_WRITTEN for outcome in self.outcomes) else FAILED

    @property
    def shown(self):
        """The outcome that a student reads: the first whose cause is known, else the first that did not pass, or None

        A later property may see the same mistake in a simpler place, such as an average that the cache keeps.
        """
        failed = [outcome for outcome in self.outcomes if outcome.state in (FAILED, NOT_WRITTEN)]
        return next((outcome for outcome in failed if outcome.certainty == 2), failed[0] if failed else None)

    @property
    def score(self):
        """The points, times the weight share of passed properties of those functions whose essential ones all pass."""
        bad = {outcome.function for outcome in self.outcomes if outcome.essential and outcome.state != PASSED}
        good = [outcome for outcome in self.outcomes if outcome.function not in bad]
        earned = sum(outcome.weight for outcome in good if outcome.state == PASSED)
        return round(self.task.points * earned / sum(outcome.weight for outcome in self.outcomes), 2)


def run_task(task, properties, worker, oracle, seed, seconds=10.0, enough=lambda outcome: False):
    """Run the properties of `task` in order, until one is `enough` -> TaskResult"""
    outcomes, stopped, changed, missing = [], None, [], set()
    for each in properties:
        one = task if each.function is None else task.with_function(each.function)
        outcome = Outcome(each.name, each.title, each.weight, each.essential, NOT_RUN, function=one.name)
        outcomes.append(outcome)
        if stopped is None and one.name not in missing:
            reason = _run(each, trial := Trial(one, each.name, worker, oracle, seed, seconds), outcome)
            if reason == NOT_WRITTEN:  # the task's other functions may be
                missing.add(one.name)
            stopped = "enough" if (reason and reason != NOT_WRITTEN) or enough(outcome) else None
            changed += [(outcome, trial.changed)] if trial.changed and outcome.state == PASSED else []
    if changed:
        _note_change(outcomes, *changed[0])
    return TaskResult(task, seed, outcomes)


def _note_change(outcomes, where, text):
    """A call has changed an input in place, and its values were right: the property on unchanged inputs fails."""
    if any(outcome.state == FAILED and "in place" in outcome.looks_like for outcome in outcomes):
        return
    untouched = [outcome for outcome in outcomes if "untouched" in outcome.name or "unchanged" in outcome.title]
    others = [outcome for outcome in outcomes if not outcome.essential and outcome.state == PASSED]
    outcome = next(iter([*untouched, *others]), where)
    outcome.state, outcome.headline, outcome.looks_like, outcome.certainty = FAILED, "an input was changed", text, 2
    outcome.lines = (("seen in", where.title),)


def _run(each, trial, outcome):
    """Fill in the outcome -> a reason to stop, or None"""
    reason = _try(each, trial, outcome)
    if outcome.state == FAILED and trial.failed_case:
        outcome.lines = (("case", trial.failed_case), *outcome.lines)
    return reason


def _try(each, trial, outcome):
    function = trial.task.name
    try:
        each.check(trial)
        outcome.state = PASSED
    except Different as different:
        outcome.state, outcome.looks_like = FAILED, different.looks_like
        outcome.certainty = 2 if trial.changed else different.certainty
        if not each.essential and not trial.changed and different.kind in OF_GENERAL_NUMBERS:
            outcome.certainty = 1
        if not trial.changed and (text := trial.recognised()):
            outcome.looks_like, outcome.certainty = text, 2
        if trial.changed and trial.changed != different.looks_like:
            outcome.looks_like = f"{trial.changed}; a later line may have read the changed numbers"
        outcome.headline = f"{different.tensor} is wrong" if different.tensor != "result" else "wrong result"
        outcome.lines = different.lines
        if different.passes:
            outcome.lines += (("right", ", ".join(different.passes)),)
    except StudentError as error:
        if error.kind == "NotImplementedError" and "left out" not in error.text:
            outcome.state = NOT_WRITTEN
            other = re.match(r"task (\d\d\.\d)\b", error.text)
            if other is not None and other[1] > trial.task.id:
                outcome.state, outcome.headline = FAILED, f"{function} calls the function of task {other[1]}"
                outcome.looks_like = "that is a later task: do without it, with NumPy's own operations such as @"
                outcome.lines = (("where", error.where),) if error.where else ()
                return FAILED
            is_this_task = other is None or other[1] == trial.task.id
            outcome.headline = "not written yet" if is_this_task else f"needs task {other[1]}, which is not written yet"
            return NOT_WRITTEN
        outcome.state, outcome.headline = FAILED, f"{function} raised {error.kind}"
        outcome.looks_like = error.text or "no message"
        outcome.lines = (("where", error.where),) if error.where else ()
        return FAILED if error.kind == "ImportError" else None
    except Stopped as error:
        outcome.state, outcome.headline, outcome.looks_like = FAILED, f"{function} was stopped", str(error)
        return FAILED
    except NotRecorded:
        raise
    except Exception as error:  # an unusual result must not stop the grading of the others
        outcome.state, outcome.headline = FAILED, "the result cannot be compared"
        outcome.looks_like = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return None


def format_result(result, folder, other_seeds=True):
    """The result of one task as text for the student. other_seeds: False in an edition, which has the numbers of one"""
    task, outcomes = result.task, result.outcomes
    head = f"task {task.id}  {task.written_as}"
    if result.passed:
        points = f"{task.points} point{'' if task.points == 1 else 's'}"
        return f"{head}: passed, {len(outcomes)} properties, {points}\n  {task.after}"
    location = f"lesson  {folder}/README.md"
    if result.state == NOT_WRITTEN and all(outcome.state in (NOT_WRITTEN, NOT_RUN) for outcome in outcomes):
        headline = next(outcome.headline for outcome in outcomes if outcome.state == NOT_WRITTEN)
        write = "\n".join(f"  write   {function}" for function in task.functions)
        return f"{head}: {headline}\n{write}\n  {location}\n  hint    make hint T={task.id}"
    lines = []
    outcome = result.shown
    lines.append(f"task {task.id}  {outcome.function or task.name}: {outcome.headline}")
    lines.append(f"  property    {outcome.title}")
    lines += [f"  {label:<10}  {text}" for label, text in outcome.lines]
    if outcome.looks_like:
        lines.append(f"  looks like  {outcome.looks_like}")
    for state, word in ((PASSED, "passes"), (FAILED, "fails"), (NOT_RUN, "not run")):
        names = [outcome.name for outcome in outcomes if outcome.state == state]
        if names:
            lines.append(f"  {word:<10}  {', '.join(names)}")
    seed = f" SEED={result.seed}" if other_seeds else ""
    lines.append(f"  replay      make check T={task.id}{seed}        {location}")
    return "\n".join(lines)
