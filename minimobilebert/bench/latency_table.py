"""The report of `latency` as text: times, ratios, where the time goes, sizes, and a chart of bars."""

from ..pipeline.figures import COLOURS, lying_bars
from ..support.paper import MILLISECONDS, PAPER
from ..support.tables import aligned
from ..support.timing import quartiles
from .latency_models import COMPARED
from .latency_parts import PARTS
from .sides import OURS, OURS_BFLOAT16, OURS_INT8, library_of, precision_of

_WIDTH = 40  # characters of the longest bar, and of the bar of a model's parts
_LETTERS = dict(zip(PARTS, "eDANF.", strict=True))
_NAMES = {OURS: "minimobilebert"}
SIDES = tuple(dict.fromkeys([*COMPARED, *(side for others in COMPARED.values() for side in others)]))

_TIME_NOTES = """\
ms: median and quartiles over turns. times faster: than minimobilebert in float32 with the same model. encoder MB: as
stored, without heads.
paper: milliseconds on another device, a Pixel 4 with four threads (TensorFlow Lite, float32, 128 tokens)."""
_SAME_MODEL = "the same model on other sides"
_SAME_NOTES = """\
A cell: the time of the column's side / the time of minimobilebert in the precision of the row, with the same model.
Above 1 minimobilebert is faster. It is the median over turns, with quartiles in brackets."""
_OTHER_NOTES = """\
A cell: the time of {name} on the column's side / the time of the row's model with minimobilebert. Above 1 the row's
model is faster than {name}."""
_FEWEST_TURNS, _WIDEST = 7, 0.2  # of turns; of quartiles, relative to the median
_PART_NOTES = """\
where the time goes: one operation at a time ("alone"); the engine, which is what is measured above, fuses them.
{letters}"""
_SIZE_NOTES = """\
MB: of the encoder as stored, without heads; `quantize` counts the whole model.
The paper's 8 bits (Table 6, TensorFlow Lite) are 4 times smaller."""
_PEAK_NOTE = """peak: MB that
a new process takes to load the model and run one text; the engine packs a second copy of the blocks' weights."""


def _library(side):
    return _NAMES.get(library_of(side), library_of(side))


def _milliseconds(seconds):
    low, middle, high = (1e3 * value for value in quartiles(seconds))
    return f"{middle:.1f}", f"{low:.1f}-{high:.1f}"


def _times(report):
    rows = [["model", "precision", "by", "tokens", "threads", "ms", "quartiles", "times faster", "encoder MB", "paper"]]
    for one in report.measured:
        paper = MILLISECONDS.get(one.name) if one.side == OURS and one.tokens == 128 else None
        rows.append([
            one.name, precision_of(one.side), _library(one.side), str(one.tokens), str(one.threads),
            *_milliseconds(one.seconds), "" if one.ratio is None else f"{one.ratio:.2f}", f"{one.disk / 1e6:.1f}",
            f"{paper}" if paper else "",
        ])  # fmt: skip
    return [*aligned(rows, (0, 1, 2), ruled=True), "", *_TIME_NOTES.splitlines(), *_doubts(report)]


def _doubts(report):
    """What makes the times unreliable -> lines, none if nothing does"""
    fewest = min(len(one.seconds) for one in report.measured)
    lines = []
    if fewest < _FEWEST_TURNS:
        lines.append(f"note: {fewest} turn{'s' * (fewest > 1)}, too few to tell small differences from chance; measure"
                     f" with --turns {_FEWEST_TURNS} or more")  # fmt: skip
    wide = []
    for one in report.measured:
        low, middle, high = quartiles(one.seconds)
        if high - low > _WIDEST * middle:
            wide.append(f"{one.name} {_heading_of(one.side)}")
    if wide:
        lines.append(f"note: quartiles more than {_WIDEST:.0%} apart: {', '.join(dict.fromkeys(wide))}. Is the machine"
                     " busy? Measure again, or with more --turns")  # fmt: skip
    return lines


def _heading_of(side):
    """ "ours int8" -> "minimobilebert int8"; "torch" -> "torch float32" """
    return f"{_library(side)} {precision_of(side)}"


def _table_of_ratios(rows, columns):
    """One line for each of our models and precisions; columns: {what a row is compared with: heading}"""
    lines = {}
    for row in rows:
        if row["against"] in columns:
            key = row["name"], row["precision"], row["shape"].split()[-1], str(row["threads"])
            cell = f"{row['ratio']:.2f} ({row['ratio_low']:.2f}-{row['ratio_high']:.2f})"
            lines.setdefault(key, {})[row["against"]] = cell
    heads = ["model", "precision", "tokens", "threads", *columns.values()]
    cells = [[*key, *(found.get(column, "") for column in columns)] for key, found in lines.items()]
    return aligned([heads, *cells], (0, 1), ruled=True)


def _ratios(report):
    """A table beside other sides of the same model, and one beside each model that others are compared with"""
    others = dict.fromkeys(row["against"] for row in report.rows)
    groups = [(_SAME_MODEL, {name: _heading_of(name) for name in others if name in SIDES}, _SAME_NOTES)]
    for name in report.parameters:
        columns = {f"{name} {side}": _heading_of(side) for side in SIDES if f"{name} {side}" in others}
        groups.append((f"beside {name}", columns, _OTHER_NOTES.format(name=name)))
    tables = [
        "\n".join([title, *_table_of_ratios(report.rows, columns), "", *notes.splitlines()])
        for title, columns, notes in groups if columns
    ]  # fmt: skip
    return "\n\n".join(tables).splitlines()


def bar_of_parts(seconds):
    """{part: seconds} -> a bar of _WIDTH letters, as many of each part's as its share, rounded so that all fit"""
    total, bar, passed = sum(seconds.values()), "", 0.0
    for part, letter in _LETTERS.items():
        passed += seconds[part]
        bar += letter * (round(_WIDTH * passed / total) - len(bar))
    return bar


def _parts(report):
    rows = [["model", "precision", "tokens", "threads", "alone ms", *PARTS, ""]]
    for one in report.parts:
        seconds = {part: one[part] for part in PARTS}
        total = sum(seconds.values())
        rows.append([
            one["name"], precision_of(one["side"]), str(one["tokens"]), str(one["threads"]), f"{1e3 * total:.1f}",
            *(f"{value / total:.0%}" for value in seconds.values()), bar_of_parts(seconds),
        ])  # fmt: skip
    letters = ", ".join(f"{letter} {part}" for part, letter in _LETTERS.items())
    return [*aligned(rows, (0, 1, -1), ruled=True), "", *_PART_NOTES.format(letters=letters).splitlines()]


def _sizes(report):
    disk = {(one.name, one.side): one.disk for one in report.measured}
    rows = [["model", "parameters", "paper", "encoder MB", "in 8 bits", "times smaller", *(f"peak {precision_of(side)}"
             for side in (OURS, OURS_BFLOAT16, OURS_INT8) if report.memory)]]  # fmt: skip
    for name, parameters in report.parameters.items():
        whole, small = disk.get((name, OURS)), disk.get((name, OURS_INT8))
        peaks = (report.memory.get((name, side)) for side in (OURS, OURS_BFLOAT16, OURS_INT8) if report.memory)
        paper, _ = PAPER.get(name, (None, None))
        rows.append([
            name, f"{parameters:,}", f"{paper / 1e6:.1f}M" if paper else "",
            *("" if value is None else f"{value / 1e6:.1f}" for value in (whole, small)),
            f"{whole / small:.2f}" if whole and small else "",
            *("" if value is None else f"{value / 1e6:.0f}" for value in peaks),
        ])  # fmt: skip
    notes = _SIZE_NOTES + (f" {_PEAK_NOTE}" if report.memory else "")
    return [*aligned(rows, (0,), ruled=True), "", *notes.splitlines()]


def _bars(report):
    """Measured sides with the first length and number of threads -> [(label, milliseconds, side)]"""
    first = report.measured[0]
    return [
        (f"{one.name}, {_library(one.side)}, {precision_of(one.side)}", 1e3 * quartiles(one.seconds)[1], one.side)
        for one in report.measured
        if (one.tokens, one.threads) == (first.tokens, first.threads)
    ]


def _heading(report):
    first = report.measured[0]
    return f"milliseconds for one text of {first.tokens} tokens, {first.threads} thread{'s' * (first.threads > 1)}"


def chart(report):
    """The times as bars of text -> lines"""
    bars = _bars(report)
    longest, width = max(value for _, value, _ in bars), max(len(label) for label, _, _ in bars)
    lines = [_heading(report)]
    for label, value, _ in bars:
        lines.append(f"{label:<{width}}  {value:8.1f}  {'#' * max(1, round(_WIDTH * value / longest))}")
    return lines


def svg_of(report):
    """The same chart -> svg"""
    colours = {False: COLOURS["student_from_scratch"], True: COLOURS["student"]}
    bars = [(label, value, colours[library_of(side) == OURS]) for label, value, side in _bars(report)]
    return lying_bars(bars, _heading(report))


def format_report(report):
    """All tables and the chart -> text"""
    sections = _times(report), _ratios(report), _parts(report), _sizes(report), chart(report)
    return "\n\n".join("\n".join(section) for section in sections if section)
