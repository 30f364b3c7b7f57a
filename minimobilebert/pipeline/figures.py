"""The figures of the report, drawn with matplotlib (extra `plots`) and returned as text for an HTML page."""

import base64
import io

import numpy as np

from ..support.drawing import INK, as_svg, plain, pyplot

COLOURS = {"teacher": "#1b6ca8", "student": "#c4531b", "student_from_scratch": "#7a7a7a"}
LABELS = {"teacher": "teacher", "student": "distilled student", "student_from_scratch": "student from scratch"}


def _as_png(plt, figure, description):
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110, bbox_inches="tight")
    plt.close(figure)
    return f'<img alt="{description}" src="data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}">'


def smooth(values, width):
    """Running mean over the last `width` values; at the start, over the values so far."""
    total = np.cumsum(np.insert(np.asarray(values, np.float64), 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    return (total[ends] - total[starts]) / (ends - starts)


def curves(series, x_label, y_label, *, width=5, log=False, marks=(), few=False):
    """Lines over steps. series: {label: (x values, y values, colour)}; marks: x positions of vertical lines -> svg

    few: the steps are few whole numbers, such as epochs; each one is marked
    """
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(6.2, 3.2))
    for label, (x, y, colour) in series.items():
        axes.plot(x, y, color=colour, alpha=0.25, linewidth=0.8)
        axes.plot(x, smooth(y, width), "o-" if few else "-", color=colour, linewidth=1.6, markersize=4, label=label)
    for x in marks:
        axes.axvline(x, color=INK, linewidth=0.7, linestyle=":")
    axes.set(xlabel=x_label, ylabel=y_label)
    if log:
        axes.set_yscale("log")
    if few:
        axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
    return as_svg(plt, figure)


def bars(groups, x_labels, x_label, y_label):
    """Bars side by side. groups: {label: (values, colour)} -> svg"""
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(4.4, 2.8))
    x, width = np.arange(len(x_labels)), 0.8 / len(groups)
    for i, (label, (values, colour)) in enumerate(groups.items()):
        axes.bar(x + (i - (len(groups) - 1) / 2) * width, values, width * 0.92, color=colour, label=label)
    axes.set_xticks(x, x_labels)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return as_svg(plt, figure)


def lying_bars(rows, x_label, marks=()):
    """Horizontal bars with their values, in the order of the rows from the top.

    rows: [(label, value, colour)]; marks: [(x, label)] -> svg
    """
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(6.2, 0.5 + 0.38 * len(rows)))
    labels, values, colours = zip(*rows, strict=True)
    y = np.arange(len(rows))
    drawn = axes.barh(y, values, 0.7, color=colours)
    axes.bar_label(drawn, [f"{value:.1f}" for value in values], padding=3)
    for x, label in marks:
        axes.axvline(x, color=INK, linewidth=0.7, linestyle=":")
        axes.annotate(label, (x, -0.6), ha="right", fontsize=7, color=INK, annotation_clip=False)
    axes.set_yticks(y, [plain(label) for label in labels])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set(xlabel=x_label)
    axes.margins(x=0.1)
    return as_svg(plt, figure)


def scatter(x, y, x_label, y_label, colour):
    """Points; x, y [N] -> svg"""
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(3.4, 2.8))
    axes.plot(x, y, ".", color=colour, markersize=3, alpha=0.35, markeredgewidth=0.0)
    axes.set(xlabel=x_label, ylabel=y_label)
    return as_svg(plt, figure)


def reliability(bins):
    """Accuracy by confidence, and how many rows have it. bins: [{"rows", "confidence", "accuracy"}] -> svg"""
    plt = pyplot()
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(3.4, 3.6), sharex=True, height_ratios=(3, 1))
    sure = [one["confidence"] for one in bins]
    upper.plot([0, 1], [0, 1], color=INK, linewidth=0.7, linestyle=":")
    upper.plot(sure, [one["accuracy"] for one in bins], "o-", color=COLOURS["student"], markersize=4)
    upper.set(ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
    lower.bar(sure, [one["rows"] for one in bins], 0.06, color=COLOURS["student_from_scratch"])
    lower.set(xlabel="confidence", ylabel="rows")
    return as_svg(plt, figure)


def attention_grid(tokens, teacher_maps, student_maps):
    """The maps of all heads and layers, the teacher's to the left of the student's -> html image"""
    plt = pyplot()
    layers, heads = len(teacher_maps), teacher_maps[0].shape[0]
    figure, axes = plt.subplots(layers, 2 * heads, figsize=(2.0 * heads * 1.45, layers * 1.55), squeeze=False)
    for layer in range(layers):
        for head in range(heads):
            for column, maps, model in ((2 * head, teacher_maps, "teacher"), (2 * head + 1, student_maps, "student")):
                panel = axes[layer, column]
                panel.imshow(maps[layer][head], cmap="viridis", vmin=0.0, vmax=1.0)
                panel.grid(False)
                panel.set_xticks([])
                panel.set_yticks([])
                panel.set_title(f"{model} {layer + 1}.{head + 1}", fontsize=7, color=COLOURS[model], pad=2)
        axes[layer, 0].set_yticks(range(len(tokens)), [plain(token) for token in tokens], fontsize=5)
    figure.tight_layout(pad=0.4)
    return _as_png(plt, figure, "attention maps of teacher and student")


def ablation_panels(panels, y_label):
    """One panel per table: a dot for each seed, a line for their mean. panels: {title: {label: values}} -> svg"""
    plt = pyplot()
    figure, axes = plt.subplots(1, len(panels), figsize=(3.4 * len(panels), 3.2), sharey=True, squeeze=False)
    for panel, (title, rows) in zip(axes[0], panels.items(), strict=True):
        for x, values in enumerate(rows.values()):
            panel.plot([x] * len(values), values, "o", color=COLOURS["student"], markersize=4, alpha=0.7)
            panel.hlines(np.mean(values), x - 0.3, x + 0.3, color=INK)
        panel.set_xticks(range(len(rows)), [label.replace(" & ", "\n& ").replace(" (", "\n(") for label in rows],
                         rotation=30, ha="right")  # fmt: skip
        panel.set_title(title, fontsize=9)
    axes[0, 0].set_ylabel(y_label)
    figure.tight_layout()
    return as_svg(plt, figure)
