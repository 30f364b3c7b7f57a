"""Numbers that somebody wrote: as text on the command line or in a file, each with the range it must lie in.

    number_of("3", Integer(1, 100), "epochs") -> 3

The ranges are shapes (shapes.py), so a setting has one range, whether it comes from the command line, from `--set` or
from JSON. NaN and infinity have no range that they lie in.
"""

import argparse

from .shapes import Integer, Number, ShapeError, check, shown

COUNT = Integer(1, 10**9)  # of rows, steps, pieces, files
SEED = Integer(0)
RATE = Number(1e-30, 1e38)  # above 0, and within float32, in which the updates are made
SHARE = Number(0.0, 1.0)
FACTOR = Number(0.0, 1e38)


def parsed(text, kind):
    """The int or float in a text. ValueError where it is none, or one that only Python reads: 1_000, other scripts."""
    if "_" in text or not text.isascii():
        raise ValueError(f"found {shown(text)}, expected a number")
    return kind(text)  # ValueError also for an integer of more than 4,300 digits


def number_of(text, shape, name):
    """The number in a text -> int or float. ValueError, one line, where it is none or beyond its range."""
    try:
        value = parsed(text, int if isinstance(shape, Integer) else float)
    except ValueError:
        value = text
    try:
        return check(value, shape, name)
    except ShapeError as error:
        raise ValueError(str(error)) from None


def numbers_of(text, shape, name):
    """Numbers with commas between them -> list. ValueError for what is none of them, or there twice."""
    values = [number_of(part, shape, name) for part in text.split(",")]
    seen = {}
    for value in values:
        key = f"{value:g}" if type(value) is float else value  # of a float as much as is in the name of its folder
        if key in seen:
            twice = f"{shown(value)} twice" if seen[key] == value else f"{shown(seen[key])} and {shown(value)}"
            raise ValueError(f"{name}: found {twice}, expected numbers that differ (in six digits)")
        seen[key] = value
    return values


def option(shape):
    """The `type` of an option whose number has this shape."""

    def read(text):
        try:
            return number_of(text, shape, "")
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error).removeprefix(": ")) from None

    return read
