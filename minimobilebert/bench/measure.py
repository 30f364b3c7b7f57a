"""One comparison: this project and other libraries do the same work in alternation -> one row per comparison.

    ratio = median over turns of (seconds of the other side / seconds of this project); above 1 this project is faster
    ratio_low, ratio_high: its quartiles
    precision: of this project's matrix products
    fastest_of: the other side is the fastest of these, by the median time of this run; usually there is only one

Before the measurement we check that all sides compute the same numbers.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..support.timing import calls_for, first_calls, quartiles, times_in_turns
from .sides import BFLOAT16, FLOAT32, INT8, OURS, library_of, precision_of

LEAST = 2e-3  # seconds; shorter calls are repeated until a turn takes this long
REST = 0.15  # seconds; idle OpenBLAS threads spin for up to a tenth of a second before they sleep
# Seconds of untimed calls. After a rest, both threads of a kernel may wake up on the same core, where a product of
# 40 us takes 600 us, and the system moves one only after about ten milliseconds.
SETTLE = 0.06
SHORT_TURNS = 15
LIMITS = {True: 5.0, False: 60.0}  # seconds for all turns of a short or long case; a busy machine gets fewer turns
KEYS = ("name", "shape", "threads", "against", "ours", "theirs", "unit", "ratio", "ratio_low", "ratio_high",
        "precision", "fastest_of")  # fmt: skip
# The largest allowed difference between a side and ours in float32, relative to the largest number. Rounding to
# bfloat16 changes a number by up to 2^-9 of it. A product has two rounded operands, and PyTorch rounds the result too:
# three times 2^-9 is 6e-3. In a model, the roundings of different layers are independent and mostly cancel. Rounding to
# 8 bits changes a number by up to a 254th of the largest one of its row, or, as libraries do it, of its tensor: with a
# trained model, all-MiniLM-L6-v2, on random words the last hidden state of PyTorch's 8 bits is 0.15 away.
TOLERANCES = {FLOAT32: 1e-3, BFLOAT16: 1e-2, INT8: 3e-1}


class Case(NamedTuple):
    """One piece of work, and the sides that do it; sides.py has their names."""

    name: str
    shape: str
    unit: str  # "ms" (less is better), "GFLOP/s" or "tokens/s"
    work: float  # floating-point operations or tokens per call
    against: tuple  # the sides that are compared with ours in float32, one row each
    build: Callable  # side, threads -> a function that does the work and returns its result
    turns: int = SHORT_TURNS
    short: bool = True  # repeat calls up to LEAST seconds, and settle before each turn with one thread too
    least_threads: int = 1
    most_threads: int = 1_000_000
    moved: float = 0.0  # the least number of bytes read and written; 0: not reported
    also: tuple = ()  # further rows: (one of our sides, other sides, of which the fastest counts)
    reference: str = OURS  # the side whose numbers the others are compared with

    def comparisons(self):
        """-> [(one of our sides, other sides, of which the fastest counts)]"""
        return [*((OURS, (side,)) for side in self.against), *self.also]

    def sides(self):
        """All sides, ours first -> list"""
        return list(
            dict.fromkeys([self.reference, *(side for own, others in self.comparisons() for side in (own, *others))])
        )


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


class Timing(NamedTuple):
    """What was measured of one side of a case."""

    seconds: np.ndarray  # [turns], of one call
    first: float  # seconds of the first call


def compared(case, threads, seconds, first):
    """The times of the sides that were measured -> one Row for each comparison among them

    seconds: {side: array [turns]}; first: {side: seconds of the first call}
    """
    rows, medians = [], {side: float(np.median(values)) for side, values in seconds.items()}
    for own, others in case.comparisons():
        measured = [side for side in others if side in seconds]
        if own not in seconds or not measured:
            continue
        against = min(measured, key=medians.get)
        low, ratio, high = quartiles(seconds[against] / seconds[own])
        figures = in_unit(case, medians[own]), in_unit(case, medians[against])
        values = (case.name, case.shape, threads, against, *figures, case.unit, ratio, low, high, precision_of(own),
                  measured)  # fmt: skip
        data = dict(zip(KEYS, values, strict=True))
        rows.append(Row(data, case, medians[own], first[own], first[against]))
    return rows


def _arrays(result):
    """A result as a list of arrays: one array or tensor, or several."""
    parts = result if isinstance(result, (tuple, list)) else [result]
    # NumPy has no bfloat16: tensors are converted, which changes no number.
    return [np.asarray(part.detach().double() if hasattr(part, "detach") else part) for part in parts]


def check_same(case, results):
    """ValueError unless all sides have computed the same numbers as ours in float32, within TOLERANCES of their
    precision. A result of None (BERT_BASE) is not compared."""
    own = _arrays(results[case.reference])
    for side, result in results.items():
        if result is None:
            continue
        precision = precision_of(side)
        limit = TOLERANCES[precision]
        for expected, other in zip(own, _arrays(result), strict=True):
            if expected.shape != other.shape:
                raise ValueError(f"{case.name} {case.shape}: found shapes {expected.shape} and {other.shape} ({side})")
            scale = max(float(np.abs(expected).max(initial=0.0)), 1e-30)
            difference = float(np.abs(expected - other).max(initial=0.0)) / scale
            if not difference <= limit:
                raise ValueError(f"{case.name} {case.shape}: found a relative difference of {difference:.1e} to {side},"
                                 f" expected at most {limit:.0e} ({precision}): not the same work")  # fmt: skip


def taking_part(case, sides):
    """The sides of a case that are measured, where `sides` are the other libraries that may take part -> list"""
    return [side for side in case.sides() if library_of(side) == OURS or side in sides]


def time_together(cases, threads, sides, turns=None, step=None):
    """Run all sides of all cases in alternation -> {case's name: {side: Timing}}

    cases: all short or all long; turns: their number, or None for that of the first case, and fewer on a slow machine
    step: called after each turn with its share of the work
    """
    functions = {(case.name, side): case.build(side, threads) for case in cases for side in taking_part(case, sides)}
    short = cases[0].short
    limit = None if turns else LIMITS[short] * len(cases)
    turns = turns or cases[0].turns
    first, results = first_calls(functions)
    for case in cases:
        check_same(case, {side: result for (name, side), result in results.items() if name == case.name})
    del results
    rest, settle = (REST, SETTLE) if threads > 1 else (0.0, 0.0 if short else None)
    calls = calls_for(functions, LEAST, settle=settle, rest=rest) if short else None
    seconds = times_in_turns(
        functions, turns, warm=0, calls=calls, settle=settle, rest=rest, limit=limit,
        step=step and (lambda: step(1.0 / turns)),
    )  # fmt: skip
    found = {case.name: {} for case in cases}
    for (name, side), values in seconds.items():
        found[name][side] = Timing(values, first[name, side])
    return found


def measure(case, threads, sides, turns=None, step=None):
    """Run one case with `threads` threads -> list of Row

    sides: the other sides that may take part; turns, step: as in `time_together`
    """
    if len(taking_part(case, sides)) < 2 or not case.least_threads <= threads <= case.most_threads:
        return []
    timings = time_together([case], threads, sides, turns, step)[case.name]
    seconds, first = ({side: timing[i] for side, timing in timings.items()} for i in range(2))
    return compared(case, threads, seconds, first)
