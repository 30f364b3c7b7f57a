"""What a figure shows, read out of its SVG: words, plotted points and images."""

import base64
import io
import re
import xml.etree.ElementTree as xml

import numpy as np

SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"


def tree(svg):
    return xml.fromstring(svg[svg.index("<svg") :])


def words_of(element):
    """Every text in it, in order."""
    return [" ".join("".join(text.itertext()).split()) for text in element.iter(f"{SVG}text")]


def points_of(element):
    """A list of [points, 2] arrays in pixels: what is clipped by an axes' frame is data (and grid), the rest is frame."""
    found = []
    for part in element.iter():
        if "clip-path" not in part.attrib:
            continue
        if part.tag == f"{SVG}path":
            found.append(np.array(re.findall(r"-?\d+(?:\.\d+)?", part.get("d")), float).reshape(-1, 2))
        elif markers := list(part.iter(f"{SVG}use")):
            found.append(np.array([[float(use.get("x")), float(use.get("y"))] for use in markers]))
    return found


def images_of(element):
    from matplotlib import image

    parts = [part.get(LINK).partition("base64,")[2] for part in element.iter(f"{SVG}image")]
    return [image.imread(io.BytesIO(base64.b64decode(data)), format="png") for data in parts]


def differences(drawn, committed):
    """Of two SVG texts -> list of what is different

    Not their bytes: another release of matplotlib writes the same picture in other words, and another processor adds up
    in another order. A pixel is less than a reader sees (figures are 300 to 500 wide), and far more than rounding moves.
    """
    if drawn == committed:
        return []
    drawn, committed = tree(drawn), tree(committed)
    if words_of(drawn) != words_of(committed):
        return [f"words: found {words_of(drawn)}, expected {words_of(committed)}"]
    wrong = []
    for what, read, close in (("points", points_of, 1.0), ("image", images_of, 2 / 255)):
        ours, theirs = read(drawn), read(committed)
        if [part.shape for part in ours] != [part.shape for part in theirs]:
            wrong.append(f"{what}: found {len(ours)} of other sizes, expected {len(theirs)}")
        elif ours and (worst := max(np.abs(a - b).max() for a, b in zip(ours, theirs, strict=True))) > close:
            wrong.append(f"{what}: {worst:.2f} away, expected at most {close:.2g}")
    return wrong
