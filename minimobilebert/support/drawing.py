"""matplotlib (extra `plots`) with the project's settings, and figures as SVG text that is the same in every run."""

import io

from .extras import require

INK, GRID = "#333333", "#dddddd"


def pyplot():
    """matplotlib.pyplot without a window; MissingExtra where matplotlib is not installed."""
    matplotlib = require("matplotlib", "plots")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({
        "font.size": 9, "axes.titlesize": 9, "axes.edgecolor": GRID, "axes.grid": True, "grid.color": GRID,
        "axes.axisbelow": True, "legend.frameon": False, "svg.fonttype": "none", "svg.hashsalt": "minimobilebert",
        "path.simplify": False,  # which points it leaves out hangs on their last digits
    })  # fmt: skip
    return plt


def as_svg(plt, figure):
    """A figure as an <svg> element, closed afterwards; no date and no random names in it -> text"""
    text = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(text, format="svg", bbox_inches="tight", metadata=nothing)
    plt.close(figure)
    svg = text.getvalue()
    # Blanks at the ends of lines are the renderer's, and no reader of a diff wants them.
    return "\n".join(line.rstrip() for line in svg[svg.index("<svg") :].splitlines()) + "\n"
