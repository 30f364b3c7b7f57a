"""Models side by side: what each costs and how well it does, and which are worth their cost.

A model is on the Pareto front if no other model is at least as fast and at least as good, and one of the two more so.
The measure is the correlation of measure.py: cosines of pairs of texts with their labels, without fine-tuning.
"""

import math

from ..model.quantization import is_quantized, scheme_of
from ..support.drawing import INK, as_svg, plain, pyplot
from ..support.files import labels_of
from ..support.terminal import say
from ..training.model_folder import load_model
from .measure import cosines, retention
from .sizes import measured_sizes

_COLOUR, _DOMINATED = "#c4531b", "#7a7a7a"


def on_the_front(costs, scores):
    """costs (less is better), scores (more is better) [N] -> [N] bool"""

    def beaten(cost, score):
        return any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in zip(costs, scores, strict=True))

    return [not beaten(cost, score) for cost, score in zip(costs, scores, strict=True)]


def side_by_side(folders, pairs):
    """Measure the models of these folders.

    pairs: Pairs -> a list of {"name", "parameters", "megabytes", "pieces", "gigaflops", "milliseconds", "spearman",
    "pearson", "front"}. ValueError for a folder that is named twice or has no encoder with a vocabulary.
    """
    models = {name: load_model(folder, in_8_bits=True) for name, folder in labels_of(folders).items()}
    for name, saved in models.items():
        if is_quantized(saved.params):
            say(f"{name}: in 8 bits, {scheme_of(saved.params)}")
    sizes = measured_sizes({name: (saved.params, saved.config) for name, saved in models.items()})
    found = []
    for name, saved in models.items():
        values = cosines(saved.params, saved.config, saved.tokenizer, pairs, saved.sentence)
        found.append({"name": name, **sizes[name], **retention(values, pairs.labels)})
    front = on_the_front(*([row[key] for row in found] for key in ("milliseconds", "spearman")))
    return [{**row, "front": on} for row, on in zip(found, front, strict=True)]


def rows_of(found):
    """The result of `side_by_side` as rows of text, with headings."""
    heading = ["", "parameters", "MB", f"ms ({found[0]['pieces']} pieces)", "Spearman", "of the first", "Pareto front"]
    first = found[0]["spearman"]
    return [heading, *(
        [row["name"], f"{row['parameters']:,}", f"{row['megabytes']:.1f}", f"{row['milliseconds']:.1f}",
         f"{row['spearman']:.4f}", f"{row['spearman'] / first:.1%}" if first > 0.0 else "-",
         "yes" if row["front"] else ""]
        for row in found
    )]  # fmt: skip


def chart(found, measure):
    """Latency and score; the area of a point is the size of the model. measure: what the score is of -> svg"""
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(7.2, 3.8))
    front = sorted((row["milliseconds"], row["spearman"]) for row in found if row["front"])
    axes.plot(*zip(*front, strict=True), "--", color=INK, linewidth=0.8, drawstyle="steps-post")
    for number, row in enumerate(sorted(found, key=lambda row: row["milliseconds"])):
        colour, at = _COLOUR if row["front"] else _DOMINATED, (row["milliseconds"], row["spearman"])
        radius = 2.0 * math.sqrt(row["megabytes"] / math.pi) + 3.0  # in points
        axes.scatter(*at, s=4.0 * row["megabytes"], color=colour, alpha=0.6, linewidths=0.0)
        label = f"{plain(row['name'])} ({row['megabytes']:.0f} MB)"
        side = ("bottom", radius) if number % 2 else ("top", -radius)  # neighbours: one above, one below
        axes.annotate(label, at, xytext=(0, side[1]), textcoords="offset points", ha="center", va=side[0], fontsize=8,
                      color=INK)  # fmt: skip
    axes.set_xscale("log")
    for axis_labels in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        axis_labels(lambda number, _: f"{number:g}" if f"{number:.0e}"[0] in "125" else "")
    axes.margins(0.2)
    axes.set(xlabel=f"milliseconds for a text of {found[0]['pieces']} pieces", ylabel=f"Spearman, {plain(measure)}")
    return as_svg(plt, figure)
