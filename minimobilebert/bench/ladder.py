"""The ladder of matrix products, from the definition to all cores, one measurement per rung.

The rungs are in kernels/teaching/ladder.py; the last two are kernels/gemm/matmul.py with one thread and with all. Each
rung is compared with NumPy on the same number of threads, and shown as a bar with the percentage of the measured peak.
"""

import functools

import numpy as np

from ..kernels.teaching.ladder import RUNGS, climb
from ..ops.matmul import matmul
from ..pipeline.figures import COLOURS, lying_bars
from ..support.files import write_text
from .measure import Case

NAME, SIZES = "ladder", (1024, 512, 128)  # rows, in, out
PACKED, THREADS = "packed panels, register tile", "threads"
_WIDTH = 50  # characters of the longest bar


def ladder(name=NAME, sizes=SIZES):
    """One case per rung."""
    rows, inputs, outputs = sizes
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((rows, inputs), np.float32), rng.standard_normal((inputs, outputs), np.float32)
    for rung in (*RUNGS, PACKED, THREADS):
        yield Case(
            name, f"{rows} x {inputs} x {outputs}, {rung}", "GFLOP/s", 2.0 * rows * inputs * outputs, ("numpy",),
            functools.partial(_build, rung, a, b), turns=7, least_threads=2 if rung == THREADS else 1,
            most_threads=Case._field_defaults["most_threads"] if rung == THREADS else 1,
        )  # fmt: skip


def _build(rung, a, b, side, threads):
    if side == "numpy":
        out = np.empty((len(a), b.shape[1]), np.float32)
        return lambda: np.matmul(a, b, out=out)
    if rung in RUNGS:
        return lambda: climb(rung, a, b)
    return lambda: matmul(a, b)


def _bars(rows, peaks):
    """Rows of the ladder -> [(label, GFLOP/s, percent of the peak of as many cores)]"""
    found = []
    for row in rows:
        if row.data["name"] == NAME:
            label, threads = row.data["shape"].partition(", ")[2], row.data["threads"]
            label = f"{threads} threads" if label == THREADS else label
            found.append((label, row.data["ours"], 100.0 * row.data["ours"] * 1e9 / peaks[threads]))
    return found


def chart(rows, peaks):
    """The ladder as bars of text; peaks: {threads: operations a second}"""
    bars = _bars(rows, peaks)
    if not bars:
        return ""
    longest, width = max(value for _, value, _ in bars), max(len(label) for label, _, _ in bars)
    lines = ["the matrix product's ladder: GFLOP/s, and percent of the measured peak of as many cores"]
    for label, value, percent in bars:
        bar = "#" * max(1, round(_WIDTH * value / longest))
        lines.append(f"{label:<{width}}  {value:7.1f}  {percent:4.0f} %  {bar}")
    return "\n".join(lines)


def write_chart(file, rows, peaks):
    """Write the chart as an SVG file."""
    bars = [(label, value, COLOURS["student"]) for label, value, _ in _bars(rows, peaks)]
    marks = [(peak / 1e9, f"peak, {threads} thread{'s' if threads > 1 else ''}") for threads, peak in peaks.items()]
    write_text(file, lying_bars(bars, "GFLOP/s", marks))
