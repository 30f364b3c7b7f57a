"""The figures of the lessons' walkthroughs: drawn where matplotlib is installed, the same bytes in every run.

plt = pyplot()                          # None without the extra `plots`; a line says so
if plt:
    figure, axes = plt.subplots()
    ...
    save(figure, __file__, "terms")     # lessons/NN_name/figures/terms.svg
"""

import io
import pathlib

from ..extras import MissingExtra, require
from ..files import write_text


def pyplot():
    """matplotlib.pyplot with the lessons' settings, or None."""
    try:
        matplotlib = require("matplotlib", "plots")
    except MissingExtra as error:
        print(f"no figure: {error}")
        return None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({
        "font.size": 9, "axes.grid": True, "grid.color": "#dddddd", "axes.edgecolor": "#dddddd", "axes.titlesize": 9,
        "legend.frameon": False, "svg.fonttype": "none", "svg.hashsalt": "minimobilebert",
    })  # fmt: skip
    return plt


def save(figure, walkthrough, name):
    """Write a figure beside its walkthrough -> path"""
    text, nothing = io.StringIO(), dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(text, format="svg", bbox_inches="tight", metadata=nothing)
    path = pathlib.Path(walkthrough).resolve().parent / "figures" / f"{name}.svg"
    path.parent.mkdir(exist_ok=True)
    # Trailing blanks are the renderer's, and no reader of a diff wants them.
    write_text(path, "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n")
    print(f"figure: {path.parent.parent.name}/figures/{path.name}")
    return path
