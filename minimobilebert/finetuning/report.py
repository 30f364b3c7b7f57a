"""The report of fine-tuning or of an evaluation, a self-contained HTML page.

Curves of the run, and of each dev split: scores, classes, confusion matrix, calibration, the worst mistakes with their
texts; for numbers a scatter plot, for SQuAD scores by the first word of a question (details.py).
"""

import html
import pathlib

import numpy as np

from ..pipeline.figures import COLOURS, curves, reliability, scatter
from ..pipeline.page import figures, html_table, write_page
from ..pipeline.report import series
from ..pipeline.result_files import read_metrics

REPORT = "report.html"
_LINES = ("#c4531b", "#1b6ca8", "#3b8f4a", "#8a4fa3")
_MATRIX = 20  # the largest number of classes whose confusion matrix is shown; of more, the most frequent confusions
_STYLE = "<style>.texts td { text-align: left; }</style>\n"
_LONGEST = 400  # characters of a text that are shown


def _number(value):
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}"


def _shown(text):
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _curves(folder, summary):
    """Yields (caption, svg): the loss of training, and the scores of each evaluation."""
    losses = series(read_metrics(folder), "loss", "training", COLOURS["student"])
    yield "Training: the loss of a batch, and its running mean.", curves(losses, "update", "loss")
    rows = [row for row in summary["evaluations"] if row["selection"] is not None]
    lines = {}
    for split in summary["best"]["scores"]:
        for name in _headlines(summary["best"]["scores"][split]):
            label = name if len(summary["best"]["scores"]) == 1 else f"{split} {name}"
            points = [row["epoch"] for row in rows], [row["scores"][split][name] for row in rows]
            lines[label] = (*points, _LINES[len(lines) % len(_LINES)])
    best = summary["best"]["epoch"]
    yield (
        f"Dev scores after each epoch. The dotted line marks epoch {best}, whose parameters were kept.",
        curves(lines, "epoch", "score", width=1, marks=[best], few=True),
    )


def _headlines(scores):
    """Exact match and F1 of SQuAD's many scores, all of the others"""
    return ("exact", "f1") if "exact" in scores else tuple(scores)


def _calibration(found):
    """Caption and svg. The error is the mean distance of confidence and accuracy, over all rows."""
    rows = sum(one["rows"] for one in found)
    error = sum(one["rows"] * abs(one["confidence"] - one["accuracy"]) for one in found) / rows
    caption = (
        "Calibration: rows by the confidence of the model. A point on the line means that the model is right as often"
        f" as it believes; below the line it is too sure. Expected calibration error: {error:.3f}."
    )
    return caption, reliability(found)


def _confusion(names, counts):
    """The confusion matrix as a table with shaded cells, or the most frequent confusions of many classes -> HTML"""
    counts = np.array(counts)
    if len(names) > _MATRIX:
        wrong = counts * (1 - np.eye(len(names), dtype=counts.dtype))
        most = np.argsort(-wrong, axis=None, kind="stable")[:_MATRIX]
        rows = [(*np.unravel_index(index, wrong.shape), int(wrong.flat[index])) for index in most]
        rows = [[names[label], names[prediction], f"{count:,}"] for label, prediction, count in rows if count]
        return f"<p>The most frequent confusions:</p>{html_table([['label', 'prediction', 'rows'], *rows])}"
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    lines = []
    for name, row, share in zip(names, counts, shares, strict=True):
        cells = "".join(f'<td style="background: rgba(27, 108, 168, {0.8 * s:.2f})">{count:,}</td>'
                        for count, s in zip(row, share, strict=True))  # fmt: skip
        lines.append(f"<tr><th>{html.escape(name)}</th>{cells}</tr>")
    return (
        "<p>Rows by label (down) and prediction (across); the shade is the share of the label.</p>"
        f"<table><tr><th></th>{head}</tr>{''.join(lines)}</table>"
    )


def _worst(found):
    """The table of mistakes -> HTML"""
    if not found:
        return "<p>No mistake.</p>"
    sure = next((name for name in ("confidence", "score") if name in found[0]), None)
    names = [name for name in (sure, "label", "prediction", "text", "text_b") if name in found[0]]
    titles = {"text": "text", "text_b": "second text", "score": "score of the answer"}

    def cell(value):
        return f"{value:.3f}" if isinstance(value, float) else _shown(value) or "(none)"

    rows = [[titles.get(name, name) for name in names], *([cell(one[name]) for name in names] for one in found)]
    return f'<div class="texts">{html_table(rows)}</div>'


def _split_section(name, found):
    """What one dev split shows -> HTML"""
    scores = [["score", "value"], *([key, _number(value)] for key, value in found["scores"].items())]
    parts = [f"<h2>{html.escape(name)}: {found['rows']:,} rows</h2>{html_table(scores)}"]
    if "classes" in found:
        heads = ["class", "rows", "precision", "recall", "F1"]
        rows = [[one["name"], f"{one['rows']:,}", *(f"{one[key]:.3f}" for key in ("precision", "recall", "f1"))]
                for one in found["classes"]]  # fmt: skip
        parts.append(f"<h3>Classes</h3>{html_table([heads, *rows])}")
        parts.append(f"<h3>Confusion</h3>{_confusion([one['name'] for one in found['classes']], found['confusion'])}")
        parts.append(f"<h3>Calibration</h3>{figures([_calibration(found['calibration'])])}")
        parts.append("<h3>Mistakes that the model was surest of</h3>")
    elif "points" in found:
        labels, predictions = zip(*found["points"], strict=True)
        shown = "" if len(labels) == found["rows"] else f" {len(labels):,} of {found['rows']:,} rows are shown."
        drawn = scatter(labels, predictions, "label", "prediction", COLOURS["student"])
        parts.append(f"<h3>Predictions</h3>{figures([(f'Each row: its label and its prediction.{shown}', drawn)])}")
        parts.append("<h3>The largest differences</h3>")
    else:
        heads = ["question", "rows", "exact", "F1"]
        rows = [[one["name"], f"{one['rows']:,}", f"{one['exact']:.1f}", f"{one['f1']:.1f}"]
                for one in found["questions"]]  # fmt: skip
        parts.append(f"<h3>By the first word of the question</h3>{html_table([heads, *rows])}")
        parts.append("<h3>Wrong answers that the model was surest of</h3>")
    return "".join(parts) + _worst(found["worst"])


def write_run_report(folder, summary, details):
    """Write `folder/report.html` for a finished run; summary: of summary.json, details: {split: dict} (details.py)"""
    folder, settings = pathlib.Path(folder), summary["settings"]
    model = html.escape(pathlib.Path(settings["start_model"]).name)
    shown = [[name, "-" if value is None else value] for name, value in settings.items() if not isinstance(value, dict)]
    seconds = [["part", "seconds"], *([name, f"{value:.1f}"] for name, value in summary["seconds"].items())]
    body = f"""{_STYLE}<h1>{html.escape(summary["task"])}: {model}, fine-tuned</h1>
<p>{summary["rows"]:,} rows for training, {summary["steps"]:,} updates. The scores below are of the kept parameters,
those with the best dev score.</p>
<h2>Training</h2>{figures(_curves(folder, summary))}
{"".join(_split_section(name, found) for name, found in details.items())}
<h2>Time</h2>{html_table(seconds)}
<h2>Settings</h2>{html_table([["setting", "value"], *shown])}
"""
    write_page(folder / REPORT, f"minimobilebert: {summary['task']}", body)


def write_evaluation_report(path, model, details):
    """Write the page `path` about a model, without training; details: {split: dict} (details.py)"""
    name = html.escape(pathlib.Path(model).name)
    body = f"{_STYLE}<h1>Evaluation of {name}</h1>\n{''.join(_split_section(*item) for item in details.items())}\n"
    write_page(path, f"minimobilebert: evaluation of {pathlib.Path(model).name}", body)
