"""matplotlib (extra `plots`) with the project's settings, and figures as reproducible SVG text."""

import io
import re
import warnings

from .extras import require

INK, GRID = "#333333", "#dddddd"
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


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


def plain(text):
    """A text of a reader, such as the name of a folder, for a chart

    matplotlib takes what is between two "$" as TeX, and XML has no control characters.
    """
    return _NOT_IN_XML.sub("\ufffd", text).replace("$", r"\$")


def as_svg(plt, figure):
    """A figure as an <svg> element without a date and random names -> text; the figure is closed"""
    text = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # texts are drawn by the viewer, in its fonts
        figure.savefig(text, format="svg", bbox_inches="tight", metadata=nothing)
    plt.close(figure)
    svg = text.getvalue()
    # Remove trailing spaces, which would appear in diffs.
    return "\n".join(line.rstrip() for line in svg[svg.index("<svg") :].splitlines()) + "\n"
