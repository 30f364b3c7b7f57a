"""The rows as text: one aligned line each, and the geometric mean and the smallest ratio per name."""

import math

from ..support.tables import aligned

_HEADS = ("name", "shape", "threads", "against", "ours", "theirs", "unit", "ratio", "quartiles", "GB/s", "% of peak",
          "first ours", "first theirs")  # fmt: skip
_LEFT = {"name", "shape", "against", "unit"}
_NOTES = """\
ratio: median over turns of their time / our time; above 1 ours is faster. quartiles: of the same ratios.
GB/s: operands and results once, in our time. % of peak: ours, of the measured {peaks}.
first: seconds of the first call, with compiling or loading; never part of the other columns."""


def _table(rows, ruled=False):
    return aligned(rows, [i for i, head in enumerate(rows[0]) if head in _LEFT], ruled)


def _figure(value, unit):
    return f"{value:,.0f}" if unit == "tokens/s" else f"{value:.3g}" if value < 1 else f"{value:.1f}"


def _cells(row, peaks):
    data, case = row.data, row.case
    percent = ""
    if data["unit"] == "GFLOP/s" and data["threads"] in peaks:
        percent = f"{100.0 * data['ours'] * 1e9 / peaks[data['threads']]:.0f}"
    return [
        data["name"], data["shape"], str(data["threads"]), data["against"], _figure(data["ours"], data["unit"]),
        _figure(data["theirs"], data["unit"]), data["unit"], f"{data['ratio']:.2f}",
        f"{data['ratio_low']:.2f}-{data['ratio_high']:.2f}",
        f"{case.moved / row.seconds / 1e9:.1f}" if case.moved else "", percent,
        f"{row.first_ours:.2f}", f"{row.first_theirs:.2f}",
    ]  # fmt: skip


def summaries(rows):
    """-> [(name, against, threads, geometric mean of the ratios, smallest ratio, its shape, number of rows)]"""
    groups = {}
    for row in rows:
        groups.setdefault((row.data["name"], row.data["against"], row.data["threads"]), []).append(row.data)
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
            seen[row.data["name"], row.data["against"]] = row.data
    for (name, against), data in seen.items():
        own, other = data["ours_memory"] / 1e6, data["theirs_memory"] / 1e6
        yield (f"peak memory of {name}, each in a process of its own, above its imports: ours {own:,.0f} MB,"
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
        table = [["name", "against", "threads", "geometric mean", "smallest", "shape"]]
        table += [[n, a, str(t), f"{mean:.2f}", f"{least:.2f}", shape] for n, a, t, mean, least, shape, _ in several]
        lines += ["", *_table(table)]
    memory = list(_memory(rows))
    return "\n".join([*lines, *([""] if memory else []), *memory])
