"""How often does a message name the mistake? A table over the answers of `wrong_answers.py`.

    rows = run(course, grader, wrong_answers(course, grader.tasks))     -> list of (WrongAnswer, verdict, text)

The verdict compares the text that a student reads with what a right diagnosis says:

    right        it names the mistake
    none         it names no cause: "no common mistake", or a fact such as "off by a constant along axis 2"
    misleading   it names another cause

An answer that raises an error of its own, and an edit that does not change any result, are in no row.
"""

import re

from ...support.tables import aligned
from ..shared.checking import FAILED, run_task
from ..shared.extraction import install_all
from ..shared.trial import Memory
from . import mutants as bank
from .reported_answers import KnownMistakes

RIGHT, NONE, MISLEADING = "right", "none", "misleading"
SAYS_NOTHING = re.compile(r"no common mistake|only zeros are right|(another|other) values? than expected|nearly right"
                          r"|have in common|right for small sizes|no answer within")  # fmt: skip
# Facts about the difference, such as "off by a constant along axis 2". They are true, so they mislead nobody.
SAYS_NO_CAUSE = re.compile(r"look at the sums|^wrong only|^off by|is left out, or applied twice|0 where another"
                           r"|along a direction|for dy along y")  # fmt: skip


FEWEST, FEWEST_RIGHT, MOST_MISLEADING = 300, 0.80, 0.03  # rows, and shares of them


def run(course, grader, wrong, seed=1):
    """-> list of (WrongAnswer, verdict, what the student reads)"""
    rows, oracle = [], Memory(KnownMistakes(course))
    with grader.worker(memory=False) as worker:
        taken = bank.install_solutions(course, grader, worker)
        for each in wrong:
            task = course.task(each.task)
            answer = bank.extracted(grader, task, each.source, each.name)
            install_all(worker, answer)
            result = run_task(task, grader.properties[task.id], worker, oracle, seed, enough=_names_a_cause)
            install_all(worker, taken[task.id])
            outcome = result.shown
            if outcome is not None and outcome.state == FAILED and " raised " not in outcome.headline:
                rows.append((each, verdict(each, outcome), f"{outcome.headline}: {outcome.looks_like}"))
    return rows


def _names_a_cause(outcome):
    return outcome.state == FAILED and outcome.certainty == 2  # no later one is shown instead


def verdict(wrong, outcome):
    """Does the message say what the answer's mistake is?"""
    if SAYS_NOTHING.search(outcome.looks_like):
        return NONE
    if re.search(wrong.says, outcome.looks_like):
        return RIGHT
    return NONE if SAYS_NO_CAUSE.search(outcome.looks_like) else MISLEADING


def counts(rows):
    """{verdict: number of rows}"""
    return {each: sum(found == each for _, found, _ in rows) for each in (RIGHT, NONE, MISLEADING)}


def too_bad(rows):
    """What keeps the table from being good enough -> list of texts. A few rows alone are not judged."""
    if len(rows) < FEWEST:
        return []
    found, wrong = counts(rows), []
    if found[RIGHT] < FEWEST_RIGHT * len(rows):
        wrong.append(f"{found[RIGHT]} of {len(rows)} diagnoses are right, expected at least {FEWEST_RIGHT:.0%}")
    if found[MISLEADING] > MOST_MISLEADING * len(rows):
        wrong.append(f"{found[MISLEADING]} of {len(rows)} are misleading, expected at most {MOST_MISLEADING:.0%}")
    return wrong


def in_a_line(rows):
    """494 of 564 right, 58 say no cause, 12 misleading"""
    found = counts(rows)
    return f"{found[RIGHT]} of {len(rows)} right, {found[NONE]} say no cause, {found[MISLEADING]} misleading"


def format_rows(rows):
    """A row for each rule, and the sum"""
    rules = list(dict.fromkeys(wrong.rule for wrong, _, _ in rows))
    table = [["mistake", "answers", RIGHT, NONE, MISLEADING]]
    for rule in [*rules, None]:
        chosen = [row for row in rows if rule is None or row[0].rule == rule]
        found = counts(chosen)
        name = rule.replace("_", " ") if rule else "all"
        table.append([name, str(len(chosen)), *(str(found[each]) for each in (RIGHT, NONE, MISLEADING))])
    return "\n".join(aligned(table, left=(0,)))
