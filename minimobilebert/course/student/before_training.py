"""Before `train-tiny` trains in a student edition: are the student's functions right?

1. Check the tasks whose functions the run uses; lessons/rehearsal.json has them (course/teacher/rehearsing.py).
2. Rehearse: a few updates of every stage (pipeline/rehearsal.py). Compare the losses with the project's, which are in
   the same file with all their bits. A right function may add in another order, so its losses differ in the last
   digits: over all tasks' solutions, all settings and both back ends by less than 2e-6. A wrong sign changes the first.
"""

import math
import time

from ...kernels.runtime.backend import current_backend
from ...pipeline.rehearsal import ALONE, STEPS, choices_of, has_losses, label_of, rehearse, smallest_product
from ...support.errors import TrainingDiverged
from ...support.structured_files import read_json
from ...support.terminal import progress_bar, say
from .check import Checker, written

SECONDS = 60.0  # for all checks; what is left then is not checked
SAME = 1e-4  # the largest relative difference of two losses that only rounding explains
MOST_SHOWN = 5  # wrong functions
_SHAPE = {
    "tasks": {"numpy": {str: [str]}, "numba": {str: [str]}},
    "losses": {str: {str: [{str: float}]}},
}


def before_training(course, settings, anyway=False):
    """Say what is wrong before a run with these TinySettings, or that nothing is. ValueError if it should not start.

    anyway: no ValueError
    """
    path = course.root / "lessons" / "rehearsal.json"
    if not path.exists():  # an edition without results is for a test
        return
    _check_precision(settings.precision)
    known, choices = read_record(path), choices_of(settings)
    wrong = check_functions(course, tasks_of(known, choices)) or compare_losses(known, choices)
    if wrong and not anyway:
        raise ValueError(f"train-tiny: {wrong}; --anyway trains all the same (make: ARGS=--anyway)")
    if wrong:
        say(f"{wrong}; training all the same")


def _check_precision(precision):
    """ValueError where products in bfloat16 have no compiled twin, because it is a part of a task's answer"""
    if precision == "float32" or current_backend() != "numba":
        return
    try:
        smallest_product(precision)
    except NotImplementedError as error:
        raise ValueError(
            f"train-tiny: found precision {precision} and no compiled product for it ({error}), expected float32, or"
            " MINIMOBILEBERT_BACKEND=numpy in front of the command, which multiplies with your functions, slowly"
        ) from None


def read_record(path):
    """rehearsal.json -> dict. ValueError where it does not have what a rehearsal compares"""
    known = read_json(path, _SHAPE)
    expected = {label_of(choices) for choices in ALONE}
    for back_end, by_choice in known["tasks"].items():
        if missing := sorted(expected - {*by_choice}):
            raise ValueError(f"{path}: found no tasks of {missing[0]!r} in {back_end}, expected those of every setting;"
                             " put the file back as it was")  # fmt: skip
    return known


def tasks_of(known, choices):
    """The ids of the tasks whose functions a run uses. known: rehearsal.json; choices: as of `choices_of` -> list

    The file knows the choices one at a time: of several, each adds and removes what it does by itself.
    """
    by_choice = known["tasks"][current_backend()]
    base = set(by_choice[""])
    each = [set(by_choice[label_of({name: value})]) for name, value in choices.items()]
    return sorted(base.intersection(*each).union(*(found - base for found in each)))


def check_functions(course, ids):
    """Check tasks, and say what is wrong with them -> the same in a few words, or None"""
    tasks = [course.task(id) for id in ids]
    begun = written(course, tasks)
    missing = [task for task in tasks if task not in begun]
    say(f"checking the {len(tasks)} functions of yours that this run uses ...")
    results = _checked(course, begun)
    wrong = [found for found in results if found[1] is None or not found[1].passed]
    failing = {task.id for task in missing} | {task.id for task, _, _ in wrong}
    of_others = [task.id for task, _, _ in wrong if any(task.id in course.needed_by(id) for id in failing - {task.id})]
    wrong = [found for found in wrong if found[0].id not in of_others]
    for found in wrong[:MOST_SHOWN]:
        say(describe(*found))
    rest = {
        "wrong, too": [task.id for task, _, _ in wrong[MOST_SHOWN:]],
        "fail with these, which they call": of_others,
        "not written yet": [f"{task.id} {task.written_as}" for task in missing],
        f"not checked, because the others took {SECONDS:.0f} seconds": [task.id for task in begun[len(results) :]],
    }
    for what, names in rest.items():
        if names:
            say(f"  {what}: {', '.join(names)}")
    for note in dict.fromkeys(line for *_, text in results for line in text.splitlines() if line.startswith("  note")):
        say(note)
    if not (wrong or missing):
        say(f"{len(results)} of {len(tasks)} pass")
        return None
    return f"found {len(wrong)} wrong and {len(missing)} not written of the {len(tasks)} functions that this run uses"


def _checked(course, tasks):
    """-> [(task, result, text)], as of Checker, for as many tasks as SECONDS are enough for"""
    results, start = [], time.monotonic()
    with progress_bar("checks", len(tasks), unit="task") as bar:
        for found in Checker(course).check(tasks):
            results.append(found)
            bar.update(found[0].id)
            if time.monotonic() - start > SECONDS:
                break
    return results


def describe(task, result, text):
    """A task that fails, in the words of its check, as of Checker -> up to four lines"""
    cause = result.shown.looks_like if result is not None else ""  # None: refused, and the first line says why
    lines = [text.splitlines()[0], f"  file        {', '.join(task.files)}"]
    lines += [f"  looks like  {cause}"] if cause else []
    return "\n".join(f"  {line}" for line in [*lines, f"  replay      make check T={task.id}"])


def compare_losses(known, choices):
    """Compare the losses of the first steps with the project's, and say so -> what differs, in words, or None"""
    label = label_of(choices)
    if not has_losses(choices):
        say("the first losses are not compared: products in bfloat16 differ with the order of their sums")
        return None
    if label not in known["losses"]:
        say(f"the first losses are not compared: those of {label} together are not known, only of each by itself")
        return None
    say(f"comparing the losses of {STEPS} small steps of each stage with the reference's ...")
    expected = known["losses"][label]
    try:
        found = rehearse(**choices)
    except TrainingDiverged as error:
        return f"your model does not compute what the reference computes: {error}"
    except Exception as error:  # whatever a student's functions raise; with --anyway the run itself shows it
        return f"the first steps ended with {type(error).__name__}: {error}"
    if _form(found) != _form(expected):
        return "the first steps have other stages or losses than lessons/rehearsal.json, expected the same"
    difference, worst = first_difference(found, expected)
    if difference:
        return f"your model does not compute what the reference computes: {difference}"
    digits = "bit for bit" if worst == 0.0 else f"to {digits_of(worst)} digits (another order of sums, no error)"
    say(f"your model computes what the reference computes: {sum(map(len, expected.values()))} steps of"
        f" {len(expected)} stages are equal {digits}")  # fmt: skip
    return None


def _form(losses):
    return {stage: [sorted(step) for step in steps] for stage, steps in losses.items()}


def digits_of(difference):
    """How many digits are equal in numbers with this relative difference"""
    return math.floor(-math.log10(difference))


def first_difference(found, expected):
    """The first loss that differs by more than SAME, in words, or None; the largest relative difference before it"""
    worst = 0.0
    for stage, steps in expected.items():
        for step, losses in enumerate(steps, 1):
            for name, value in losses.items():
                other = found[stage][step - 1][name]
                difference = abs(other - value) / (abs(value) or 1.0)
                if not difference <= SAME:
                    before = f"; before that, {digits_of(worst)} digits are equal" if worst else ""
                    return f"stage {stage}, step {step}: {name} {_shown(other, value, difference)}{before}", worst
                worst = max(worst, difference)
    return None, worst


def _shown(found, expected, difference):
    digits = min(max(digits_of(difference) + 3, 4), 12) if 0.0 < difference < math.inf else 4
    more = "more" if found > expected else "less"
    share = f", {100 * difference:.2g} % {more}" if math.isfinite(difference) else ""
    return f"is {found:.{digits}g}, expected {expected:.{digits}g}{share}"
