"""The figures of the walkthroughs. They need matplotlib and are the same bytes in each run.

plt = pyplot()                          # None without the extra `plots`, with a message
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
    """Write a figure to the folder `figures` of its walkthrough, and close it -> path"""
    path = pathlib.Path(walkthrough).resolve().parent / "figures" / f"{name}.svg"
    path.parent.mkdir(exist_ok=True)
    write_text(path, drawing.as_svg(plt, figure))
    print(f"figure: lessons/{path.parent.parent.name}/figures/{path.name}")
    return path
