"""The rows as text: one aligned line each, and the geometric mean and the smallest ratio per name."""

import math

from ..support.tables import aligned
from .sides import FLOAT32, library_of, ours_in

_HEADS = ("name", "shape", "threads", "precision", "against", "ours", "theirs", "unit", "ratio", "quartiles", "GB/s",
          "% of peak", "first ours", "first theirs")  # fmt: skip
_LEFT = {"name", "shape", "precision", "against", "unit"}
_BEST = "at its best"
_NOTES = f"""\
precision: of our matrix products. against: the other side, in float32 unless it says bfloat16 or int8.
{_BEST}: the faster of its two precisions in this run, by the median time.
ratio: median over turns of their time / our time; above 1 ours is faster. quartiles: of the same ratios.
GB/s: operands and results once, in our time. % of peak: ours in float32, of the measured {{peaks}}.
first: seconds of the first call, with compiling or loading; never part of the other columns."""


def _table(rows, ruled=False):
    return aligned(rows, [i for i, head in enumerate(rows[0]) if head in _LEFT], ruled)


def _figure(value, unit):
    return f"{value:,.0f}" if unit == "tokens/s" else f"{value:.3g}" if value < 1 else f"{value:.1f}"


def _cells(row, peaks):
    data, case = row.data, row.case
    percent = ""
    if data["unit"] == "GFLOP/s" and data["threads"] in peaks and data["precision"] == FLOAT32:
        percent = f"{100.0 * data['ours'] * 1e9 / peaks[data['threads']]:.0f}"
    return [
        data["name"], data["shape"], str(data["threads"]), data["precision"],
        f"{data['against']}, {_BEST}" if len(data["fastest_of"]) > 1 else data["against"],
        _figure(data["ours"], data["unit"]), _figure(data["theirs"], data["unit"]), data["unit"],
        f"{data['ratio']:.2f}",
        f"{data['ratio_low']:.2f}-{data['ratio_high']:.2f}",
        f"{case.moved / row.seconds / 1e9:.1f}" if case.moved else "", percent,
        f"{row.first_ours:.2f}", f"{row.first_theirs:.2f}",
    ]  # fmt: skip


def summaries(rows):
    """-> [(name, precision, against, threads, geometric mean of the ratios, smallest ratio, its shape, number of rows)]

    against: a side, or, where the rows are about the fastest of several, their library
    """
    groups = {}
    for data in (row.data for row in rows):
        several = len(data["fastest_of"]) > 1
        against = f"{library_of(data['against'])}, {_BEST}" if several else data["against"]
        groups.setdefault((data["name"], data["precision"], against, data["threads"]), []).append(data)
    found = []
    for key, group in groups.items():
        worst = min(group, key=lambda data: data["ratio"])
        mean = math.exp(sum(math.log(data["ratio"]) for data in group) / len(group))
        found.append((*key, mean, worst["ratio"], worst["shape"], len(group)))
    return found


def _memory(rows):
    seen = {}
    for row in rows:
        if row.data.get("ours_memory") and row.data.get("theirs_memory"):
            seen[row.data["name"], ours_in(row.data["precision"]), row.data["against"]] = row.data
    for (name, own_side, against), data in seen.items():
        own, other = data["ours_memory"] / 1e6, data["theirs_memory"] / 1e6
        yield (f"peak memory of {name}, each in a process of its own, above its imports: {own_side} {own:,.0f} MB,"
               f" {against} {other:,.0f} MB, ratio {other / own:.2f}")  # fmt: skip


def format_rows(rows, peaks):
    """The table, its notes and summaries; peaks: {threads: floating-point operations per second}"""
    if not rows:
        return "no rows: nothing to compare with"
    lines = _table([list(_HEADS), *(_cells(row, peaks) for row in rows)], ruled=True)
    peak = ", ".join(f"{value / 1e9:.0f} GFLOP/s with {threads} thread{'s' * (threads > 1)}"
                     for threads, value in peaks.items())  # fmt: skip
    lines += ["", _NOTES.format(peaks=peak or "peak")]
    several = [summary for summary in summaries(rows) if summary[-1] > 1 and summary[0] != "ladder"]
    if several:
        table = [["name", "precision", "against", "threads", "geometric mean", "smallest", "shape"]]
        table += [[name, precision, against, str(threads), f"{mean:.2f}", f"{least:.2f}", shape]
                  for name, precision, against, threads, mean, least, shape, _ in several]  # fmt: skip
        lines += ["", *_table(table)]
    memory = list(_memory(rows))
    return "\n".join([*lines, *([""] if memory else []), *memory])
