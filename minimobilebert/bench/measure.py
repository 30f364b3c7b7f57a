"""One comparison: this project and other libraries do the same work in alternation -> one row per library.

    ratio = median over turns of (seconds of the library / seconds of this project); above 1 this project is faster
    ratio_low, ratio_high: its quartiles

Before the measurement we check that all sides compute the same numbers.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..support.timing import calls_for, first_calls, quartiles, times_in_turns

LEAST = 2e-3  # seconds; shorter calls are repeated until a turn takes this long
REST = 0.15  # seconds; idle OpenBLAS threads spin for up to a tenth of a second before they sleep
# Seconds of untimed calls. After a rest, both threads of a kernel may wake up on the same core, where a product of
# 40 us takes 600 us, and the system moves one only after about ten milliseconds.
SETTLE = 0.06
SHORT_TURNS = 15
LIMITS = {True: 5.0, False: 40.0}  # seconds for all turns of a short or long case; a busy machine gets fewer turns
OURS = "ours"
KEYS = ("name", "shape", "threads", "against", "ours", "theirs", "unit", "ratio", "ratio_low", "ratio_high")


class Case(NamedTuple):
    """One piece of work, and the sides that do it."""

    name: str
    shape: str
    unit: str  # "ms" (less is better), "GFLOP/s" or "tokens/s"
    work: float  # floating-point operations or tokens per call
    against: tuple  # the other sides
    build: Callable  # side, threads -> a function that does the work and returns its result
    turns: int = SHORT_TURNS
    short: bool = True  # repeat calls up to LEAST seconds, and settle before each turn with one thread too
    least_threads: int = 1
    most_threads: int = 1_000_000
    moved: float = 0.0  # the least number of bytes read and written; 0: not reported
    tolerance: float = 1e-3  # the largest allowed difference of two results, relative to the largest number


class Row(NamedTuple):
    """The result of one comparison; --json prints `data`."""

    data: dict
    case: Case
    seconds: float  # median of one call of this project
    first_ours: float  # seconds of the first call of this project, including compilation
    first_theirs: float  # seconds of the first call of the other side, including loading


def in_unit(case, seconds):
    """Seconds of one call -> the value in the case's unit"""
    if case.unit == "ms":
        return 1e3 * seconds
    return case.work / seconds / (1e9 if case.unit == "GFLOP/s" else 1.0)


def compared(case, threads, seconds, first):
    """The times of all sides -> one Row for each other side

    seconds: {side: array [turns]}; first: {side: seconds of the first call}
    """
    rows, own = [], seconds[OURS]
    for against, other in seconds.items():
        if against == OURS:
            continue
        low, ratio, high = quartiles(other / own)
        figures = in_unit(case, float(np.median(own))), in_unit(case, float(np.median(other)))
        values = (case.name, case.shape, threads, against, *figures, case.unit, ratio, low, high)
        data = dict(zip(KEYS, values, strict=True))
        rows.append(Row(data, case, float(np.median(own)), first[OURS], first[against]))
    return rows


def _arrays(result):
    """A result as a list of arrays: one array or tensor, or several."""
    parts = result if isinstance(result, (tuple, list)) else [result]
    return [np.asarray(part.detach() if hasattr(part, "detach") else part) for part in parts]


def check_same(case, results):
    """ValueError unless all sides have computed the same numbers. A result of None (BERT_BASE) is not compared."""
    own = _arrays(results[OURS])
    for side, result in results.items():
        if result is None:
            continue
        for expected, other in zip(own, _arrays(result), strict=True):
            if expected.shape != other.shape:
                raise ValueError(f"{case.name} {case.shape}: found shapes {expected.shape} and {other.shape} ({side})")
            scale = max(float(np.abs(expected).max(initial=0.0)), 1e-30)
            difference = float(np.abs(expected - other).max(initial=0.0)) / scale
            if not difference <= case.tolerance:
                raise ValueError(f"{case.name} {case.shape}: found a relative difference of {difference:.1e} to {side},"
                                 f" expected at most {case.tolerance:.0e}: not the same work")  # fmt: skip


def measure(case, threads, sides, turns=None, step=None):
    """Run one case with `threads` threads -> list of Row

    sides: the other sides that may take part; turns: their number, or None for that of the case
    step: called after each turn with its share of the case
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
