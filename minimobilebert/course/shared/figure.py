"""The figures of the lessons' walkthroughs: drawn where matplotlib is installed, the same bytes in every run.

plt = pyplot()                          # None without the extra `plots`; a line says so
if plt:
    figure, axes = plt.subplots()
    ...
    save(plt, figure, __file__, "terms")     # lessons/NN_name/figures/terms.svg
"""

import pathlib

from ...support import drawing
from ...support.extras import MissingExtra
from ...support.files import write_text


def pyplot():
    """matplotlib.pyplot with the project's settings, or None."""
    try:
        return drawing.pyplot()
    except MissingExtra as error:
        print(f"no figure: {error}")
        return None


def save(plt, figure, walkthrough, name):
    """Write a figure beside its walkthrough and close it -> path"""
    path = pathlib.Path(walkthrough).resolve().parent / "figures" / f"{name}.svg"
    path.parent.mkdir(exist_ok=True)
    write_text(path, drawing.as_svg(plt, figure))
    print(f"figure: lessons/{path.parent.parent.name}/figures/{path.name}")
    return path
