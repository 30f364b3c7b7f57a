"""One comparison: the same work done by our code and by others, in turns, and a row of figures for each other side.

    ratio = median over turns of (their seconds / our seconds): above 1 ours is faster; ratio_low, ratio_high quartiles

Both sides compute the same numbers: their results are compared before anything is timed.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..support.timing import calls_for, first_calls, quartiles, times_in_turns

LEAST = 2e-3  # seconds; shorter calls are repeated until a turn takes this long
REST = 0.15  # seconds; idle OpenBLAS threads keep a core busy for up to a tenth of a second before they sleep
# Seconds of untimed calls. After a rest both threads of a kernel may wake up on one core, where a product of 40 us
# takes 600, and the system leaves them there for some ten milliseconds.
SETTLE = 0.06
SHORT_TURNS = 15
LIMITS = {True: 5.0, False: 40.0}  # seconds for all turns of a short or a long case: a busy machine gets fewer turns
OURS = "ours"
KEYS = ("name", "shape", "threads", "against", "ours", "theirs", "unit", "ratio", "ratio_low", "ratio_high")


class Case(NamedTuple):
    """One piece of work and who does it."""

    name: str
    shape: str
    unit: str  # "ms" (less is better), "GFLOP/s" or "tokens/s"
    work: float  # what is done in one call: floating-point operations, or tokens
    against: tuple  # the other sides
    build: Callable  # side, threads -> a function that does the work and returns its result
    turns: int = SHORT_TURNS
    short: bool = True  # repeat calls up to LEAST seconds, and settle before each turn with one thread too
    least_threads: int = 1
    most_threads: int = 1_000_000
    moved: float = 0.0  # bytes read and written at least, 0 where nobody asks
    tolerance: float = 1e-3  # largest difference of two results, relative to the largest number


class Row(NamedTuple):
    """What one comparison found; `data` is what --json prints."""

    data: dict
    case: Case
    seconds: float  # median of one call of ours
    first_ours: float  # seconds of the first call, with compilation or loading
    first_theirs: float


def in_unit(case, seconds):
    """Seconds of one call -> the figure in the case's unit"""
    if case.unit == "ms":
        return 1e3 * seconds
    return case.work / seconds / (1e9 if case.unit == "GFLOP/s" else 1.0)


def compared(case, threads, seconds, first):
    """Times of all sides -> a Row for each that is not ours

    seconds: {side: array [turns]}; first: {side: seconds of the first call}
    """
    rows, ours = [], seconds[OURS]
    for against, theirs in seconds.items():
        if against == OURS:
            continue
        low, ratio, high = quartiles(theirs / ours)
        figures = in_unit(case, float(np.median(ours))), in_unit(case, float(np.median(theirs)))
        values = (case.name, case.shape, threads, against, *figures, case.unit, ratio, low, high)
        data = dict(zip(KEYS, values, strict=True))
        rows.append(Row(data, case, float(np.median(ours)), first[OURS], first[against]))
    return rows


def _arrays(result):
    """A result as a list of arrays: one array or tensor, or several."""
    parts = result if isinstance(result, (tuple, list)) else [result]
    return [np.asarray(part.detach() if hasattr(part, "detach") else part) for part in parts]


def check_same(case, results):
    """ValueError unless all sides have computed the same numbers. None: this side does other work (BERT_BASE)."""
    ours = _arrays(results[OURS])
    for side, result in results.items():
        if result is None:
            continue
        for mine, other in zip(ours, _arrays(result), strict=True):
            if mine.shape != other.shape:
                raise ValueError(f"{case.name} {case.shape}: found shapes {mine.shape} and {other.shape} ({side})")
            scale = max(float(np.abs(mine).max(initial=0.0)), 1e-30)
            difference = float(np.abs(mine - other).max(initial=0.0)) / scale
            if not difference <= case.tolerance:
                raise ValueError(f"{case.name} {case.shape}: found a relative difference of {difference:.1e} to {side},"
                                 f" expected at most {case.tolerance:.0e}: not the same work")  # fmt: skip


def measure(case, threads, sides, turns=None, step=None):
    """Run one case with `threads` threads -> list of Row

    sides: which of the others may take part; turns: how many, or None for as many as the case has
    step: called after every turn with the share of the case that it was
    """
    against = [side for side in case.against if side in sides]
    if not (against and case.least_threads <= threads <= case.most_threads):
        return []
    functions = {side: case.build(side, threads) for side in (OURS, *against)}
    limit = None if turns else LIMITS[case.short]
    turns = turns or case.turns
    first, results = first_calls(functions)
    check_same(case, results)
    del results
    rest, settle = (REST, SETTLE) if threads > 1 else (0.0, 0.0 if case.short else None)
    calls = calls_for(functions, LEAST, settle=settle, rest=rest) if case.short else None
    seconds = times_in_turns(
        functions, turns, warm=0, calls=calls, settle=settle, rest=rest, limit=limit,
        step=step and (lambda: step(1.0 / turns)),
    )  # fmt: skip
    return compared(case, threads, seconds, first)
