"""matplotlib (extra `plots`) with the project's settings, and figures as reproducible SVG text."""

import io

from .extras import require

INK, GRID = "#333333", "#dddddd"


def pyplot():
    """matplotlib.pyplot without a window; MissingExtra if matplotlib is not installed."""
    matplotlib = require("matplotlib", "plots")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({
        "font.size": 9, "axes.titlesize": 9, "axes.edgecolor": GRID, "axes.grid": True, "grid.color": GRID,
        "axes.axisbelow": True, "legend.frameon": False, "svg.fonttype": "none", "svg.hashsalt": "minimobilebert",
        "path.simplify": False,  # the points that it removes depend on rounding
    })  # fmt: skip
    return plt


def as_svg(plt, figure):
    """A figure as an <svg> element without a date and random names -> text; the figure is closed"""
    text = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(text, format="svg", bbox_inches="tight", metadata=nothing)
    plt.close(figure)
    svg = text.getvalue()
    # Remove trailing spaces, which would appear in diffs.
    return "\n".join(line.rstrip() for line in svg[svg.index("<svg") :].splitlines()) + "\n"
