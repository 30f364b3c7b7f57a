"""For the notebooks made from walkthroughs: figures are shown below their cell and not written to a file."""

from ..course.shared import figure as figures
from ..support import drawing
from ..support.extras import require


def show_figures(name):
    """Show what a walkthrough would save -> its path, for the name `__file__` that a notebook does not have"""
    display = require("IPython.display", "docs")

    def show(plt, figure, walkthrough, name):
        display.display(display.SVG(drawing.as_svg(plt, figure)))

    figures.save = show
    return f"lessons/{name}/walkthrough.py"
