"""The report of a run, a self-contained HTML page: tables, curves, attention maps, activation scales."""

import html
import pathlib

from ..support.tables import aligned
from .figures import COLOURS, LABELS, attention_grid, bars, curves
from .page import figures, html_table, write_page
from .result_files import read_metrics

MODELS = ("teacher", "student", "student_from_scratch")
COLUMNS = (
    ("parameters", "parameters", "{:,}"),
    ("mlm_loss", "masked-word loss (nats)", "{:.3f}"),
    ("mlm_accuracy", "masked-word accuracy", "{:.3f}"),
    ("nsp_accuracy", "next-sentence accuracy", "{:.3f}"),
    ("task_accuracy", "era accuracy", "{:.3f}"),
)


def _cell(value, form):
    return "-" if value is None else form.format(value)


def results_table(summary):
    """The results table as rows of text: the heading, one row per model, and a row with the two baselines."""
    rows = [["", *(title for _, title, _ in COLUMNS)]]
    for model in MODELS:
        rows.append([LABELS[model], *(_cell(summary[model][key], form) for key, _, form in COLUMNS)])
    majority = _cell(summary["task_majority_accuracy"], "{:.3f}")
    unigram, nsp_majority = (_cell(summary[key], "{:.3f}") for key in ("unigram_mlm_loss", "nsp_majority_accuracy"))
    rows.append(["no model: unigram, majority", "", unigram, "", nsp_majority, majority])
    return rows


def format_table(rows):
    """The rows of `results_table` for people."""
    return "\n".join(aligned(rows, ruled=True))


def series(metrics, key, label, colour, offset=0):
    """One line of `curves`: a key of metrics.jsonl by step -> {label: (x, y, colour)}, empty if no line has the key"""
    points = [(line["step"] + offset, line[key]) for line in metrics if key in line]
    return {label: ([x for x, _ in points], [y for _, y in points], colour)} if points else {}


_TRANSFER_CAPTIONS = {
    "progressive": "Progressive transfer: the loss of the current layer. A dotted line marks the next layer's start.",
    "joint": "Joint transfer: the mean of the losses of all layers.",
    "auxiliary": "Auxiliary transfer: the mean of the losses of all layers, trained together with the distillation"
    " loss.",
}


def _loss_curves(folder, summary):
    teacher, transfer, student, scratch = (
        read_metrics(folder / stage) for stage in ("teacher", "transfer", "student", "student_from_scratch")
    )
    strategy, steps_per_layer = (summary["settings"][key] for key in ("strategy", "transfer_steps_per_layer"))
    layers = len(summary["transfer_after"]["feature_map_transfer"])
    yield (
        "Teacher: pre-training losses (masked words, next sentence) on the training text.",
        curves(series(teacher, "mlm_loss", "masked words", COLOURS["teacher"])
               | series(teacher, "nsp_loss", "next sentence", COLOURS["student_from_scratch"]),
               "update", "loss (nats)"),
    )  # fmt: skip
    taught = transfer or student
    transfer_losses = series(taught, "feature_map_transfer", "feature maps", COLOURS["student"])
    transfer_losses |= series(taught, "attention_transfer", "attention maps (KL)", COLOURS["teacher"])
    if transfer_losses:
        yield (
            _TRANSFER_CAPTIONS[strategy],
            curves(transfer_losses, "update", "loss", log=True, width=3,
                   marks=[steps_per_layer * i for i in range(1, layers)] if strategy == "progressive" else ()),
        )  # fmt: skip
    yield (
        "The two students over the same number of updates. The distilled student spends the first updates on transfer."
        " Its curve is the distillation loss, whose minimum is the entropy of the targets, not 0.",
        curves(series(scratch, "mlm_loss", "from scratch: masked words", COLOURS["student_from_scratch"])
               | series(student, "distillation_loss", "distilled: mixed targets", COLOURS["student"],
                         offset=steps_per_layer * layers if transfer else 0), "update", "loss (nats)"),
    )  # fmt: skip


def _layer_bars(summary):
    before, after = summary["transfer_before"], summary["transfer_after"]
    numbers = [str(i + 1) for i in range(len(before["attention_transfer"]))]
    for key, title in (("feature_map_transfer", "Feature-map loss (Equation 2)"),
                       ("attention_transfer", "Attention divergence, KL (Equation 3)")):  # fmt: skip
        groups = {"before transfer": (before[key], COLOURS["student_from_scratch"]),
                  "after transfer": (after[key], COLOURS["student"])}  # fmt: skip
        yield f"{title} per layer on held-out text.", bars(groups, numbers, "layer", "loss")


def _activation_bars(summary):
    scales = summary["activation_scales"]
    groups = {LABELS[m]: (scales[m]["largest"], COLOURS[m]) for m in MODELS}
    numbers = [str(i) for i in range(len(scales["teacher"]["largest"]))]
    yield (
        "Largest hidden state per layer (0 is the embedding output). In the teacher, LayerNorm normalises the scale of"
        " each layer. In the students, NoNorm only scales and shifts, so the scale can grow from layer to layer. The"
        " released model, after the paper's 740,000 updates, reaches 1e7.",
        bars(groups, numbers, "layer", "largest absolute value"),
    )


def write_report(folder, summary, attention):
    """Write `folder/report.html` from the summary, the metrics of the stages and the attention maps of one sentence.

    attention: {"sentence", "tokens", "teacher", "student"}, the last two lists over layers of [A, T, T]
    """
    folder = pathlib.Path(folder)

    seconds = [["stage", "seconds"], *([name, f"{value:.1f}"] for name, value in summary["seconds"].items())]
    settings = [["setting", "value"], *([name, value] for name, value in summary["settings"].items())]
    body = f"""<h1>MobileBERT at classroom size, seed {summary["seed"]}</h1>
<p>We pre-trained a small inverted-bottleneck teacher, transferred its knowledge to a thin MobileBERT student (strategy:
{summary["settings"]["strategy"]}), and distilled the student. For comparison, we trained the same student from scratch
with the same number of updates. All scores are on held-out documents, at the same masked positions for all models.</p>
<h2>Results</h2>{html_table(results_table(summary))}
<h2>Loss of each stage</h2>{figures(_loss_curves(folder, summary))}
<h2>Effect of transfer on each layer</h2>{figures(_layer_bars(summary))}
<h2>Attention maps</h2><p>Teacher and distilled student side by side, layer.head, for the sentence
<q>{html.escape(attention["sentence"])}</q> Rows are queries, columns are keys.</p>
{attention_grid(attention["tokens"], attention["teacher"], attention["student"])}
<h2>Activation scale</h2>{figures(_activation_bars(summary))}
<h2>Time</h2>{html_table(seconds)}
<h2>Settings</h2>{html_table(settings)}
"""
    write_page(folder / "report.html", f"minimobilebert: seed {summary['seed']}", body)
