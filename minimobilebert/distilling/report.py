"""The report of a distillation, a self-contained HTML page: sizes, retention, curves, layers, attention maps."""

import html
import pathlib

from ..pipeline.figures import COLOURS, attention_grid, bars, curves, scatter
from ..pipeline.page import figures, html_table, write_page
from ..pipeline.report import series
from ..pipeline.result_files import read_metrics
from . import stages
from .names import FIRST, LABELS, TEACHER
from .sizes import rows_of_sizes

_TERMS = {  # in metrics.jsonl -> in the legend
    "feature_map_transfer": "feature maps",
    "attention_transfer": "attention maps (KL)",
    "relation_transfer": "relations (KL)",
    "embedding_transfer": "embedding output",
    "sentence_directions": "sentence vectors (1 - cosine)",
    "sentence_similarities": "similarities",
    "masked_words": "masked words (nats)",
}
_PALETTE = ("#c4531b", "#1b6ca8", "#3b8f4a", "#8a4fa3", "#b08a1e", "#4f5d75", "#a3335a")
_OTHERS = {FIRST: "#b08a1e", stages.VECTORS_ONLY: "#3b8f4a", stages.SCRATCH: COLOURS["student_from_scratch"]}


def _curves(folder, summary):
    """Yields (caption, svg) for the stages that exist."""
    offset = summary["steps_of_stages"][stages.TRANSFER]
    lines = [{**line, "step": line["step"] + start} for name, start in ((stages.TRANSFER, 0), (stages.STUDENT, offset))
             for line in read_metrics(folder / name)]  # fmt: skip
    terms = {}
    for colour, (name, label) in zip(_PALETTE, _TERMS.items(), strict=True):
        terms |= series(lines, name, label, colour)
    marks = [offset] if offset else []
    caption = "The terms of the loss, without their factors."
    if offset:
        caption += " Left of the dotted line: transfer of the layers; right of it: distillation."
    yield caption, curves(terms, "update", "loss", log=True, marks=marks)
    scratch = series(
        read_metrics(folder / stages.SCRATCH), "masked_words", "masked words", COLOURS["student_from_scratch"]
    )
    if scratch:
        yield "The same student without a teacher: masked words.", curves(scratch, "update", "loss (nats)")


def _layer_bars(summary):
    before, after = summary["before"], summary["after"]
    numbers = [str(layer + 1) for layer in range(len(next(iter(before.values()), [])))]
    for name, values in before.items():
        groups = {"before": (values, COLOURS["student_from_scratch"]), "after": (after[name], COLOURS["student"])}
        term = _TERMS[name][:1].upper() + _TERMS[name][1:]
        yield f"{term}, by layer of the student, on training text.", bars(groups, numbers, "layer", "loss")


def _scatters(summary, labels, points):
    for name, cosines in points.items():
        colour = {**COLOURS, **_OTHERS}[name]
        title = f"{LABELS[name]}: Spearman {summary['retention'][name]['spearman']:.3f}"
        yield title, scatter(labels, cosines, "label", "cosine", colour)


def rows_of_retention(summary):
    """Each model beside the teacher, as rows of text."""
    rows = [["", "Spearman", "Pearson", "of the teacher's"]]
    best = summary["retention"][TEACHER]["spearman"]
    for name, found in summary["retention"].items():
        share = f"{found['spearman'] / best:.1%}" if best > 0.0 else "-"
        rows.append([LABELS[name], f"{found['spearman']:.4f}", f"{found['pearson']:.4f}", share])
    return rows


def write_distillation_report(folder, summary, attention, pairs, points):
    """Write `folder/report.html`.

    attention: {"sentence", "tokens", "teacher", "student"}, the last two lists over layers of [A, T, T]
    pairs: Pairs or None; points: {model: cosines [N]}
    """
    folder = pathlib.Path(folder)
    student = html.escape(summary["student"])
    measured = ""
    if pairs:
        measured = f"""<h2>What is kept: {html.escape(pairs.name)}</h2>
<p>Correlation of the cosine of two sentence vectors with the label, for {len(pairs.labels):,} pairs, without
fine-tuning.</p>{html_table(rows_of_retention(summary))}{figures(_scatters(summary, pairs.labels, points))}"""
    starts = [["part", "starts from"], *summary["starts"]]
    seconds = [["stage", "seconds"], *([name, f"{value:.1f}"] for name, value in summary["seconds"].items())]
    settings = [["setting", "value"], *([name, value] for name, value in summary["settings"].items())]
    body = f"""<h1>A student of {html.escape(pathlib.Path(summary["teacher"]).name)}: {student}</h1>
<p>We trained a small MobileBERT on {summary["texts"]:,} texts without labels, with {summary["steps"]:,} updates. It
learned what its teacher computes: the terms of the loss are below.</p>
<h2>Sizes</h2>{html_table(rows_of_sizes(summary["sizes"]))}
<p>MB of float32 weights. A training step with both models needs {summary["step_megabytes"]:,.0f} MB.</p>
{measured}
<h2>Loss by update</h2>{figures(_curves(folder, summary))}
<h2>Layer by layer</h2>{figures(_layer_bars(summary))}
<h2>Attention maps</h2><p>{attention["note"]} The sentence: <q>{html.escape(attention["sentence"])}</q></p>
{attention_grid(attention["tokens"], attention["teacher"], attention["student"])}
<h2>First values</h2>{html_table(starts)}
<h2>Time</h2>{html_table(seconds)}
<h2>Settings</h2>{html_table(settings)}
"""
    write_page(folder / "report.html", f"minimobilebert: {summary['student']}", body)
