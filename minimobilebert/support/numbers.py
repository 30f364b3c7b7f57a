"""Parse numbers from the command line or a file, and check their ranges.

    number_of("3", Integer(1, 100), "epochs") -> 3

The ranges are shapes (shapes.py), so a setting has the same range on the command line, in `--set` and in JSON. NaN and
infinity are in no range.
"""

import argparse

from .shapes import Integer, Number, OneOf, ShapeError, check, shown

COUNT = Integer(1, 10**9)  # of rows, steps, pieces, files
SEED = Integer(0)
RATE = Number(1e-30, 1e38)  # above 0, and within float32, in which the updates are made
SHARE = Number(0.0, 1.0)
FACTOR = Number(0.0, 1e38)


def parsed(text, kind):
    """The int or float in a text. ValueError if it is not a number, or has a form that only Python accepts: 1_000."""
    if "_" in text or not text.isascii():
        raise ValueError(f"found {shown(text)}, expected a number")
    return kind(text)  # ValueError also for an integer of more than 4,300 digits


def number_of(text, shape, name):
    """The number in a text -> int or float. ValueError of one line if it is not a number or out of range."""
    try:
        value = parsed(text, int if isinstance(shape, Integer) else float)
    except ValueError:
        value = text
    try:
        return check(value, shape, name)
    except ShapeError as error:
        raise ValueError(str(error)) from None


def value_of(text, shape, name):
    """The value of a setting in a text -> int, float, bool or str. ValueError of one line if it does not fit its shape.

    shape: that of a number; OneOf some names; bool ("true" or "false"); str; or a tuple: the first one that fits
    """
    if type(shape) is tuple:  # not Integer or Number, which are NamedTuples
        for each in shape[:-1]:
            try:
                return check(value_of(text, each, name), each, name)
            except ValueError:
                continue
        return value_of(text, shape[-1], name)
    if shape is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{name}: found {shown(text)}, expected true or false")
        return text.lower() == "true"
    return text if isinstance(shape, OneOf) or shape is str else number_of(text, shape, name)


def numbers_of(text, shape, name):
    """Numbers separated by commas -> list. ValueError for an invalid number, or for one that occurs twice."""
    values = [number_of(part, shape, name) for part in text.split(",")]
    seen = {}
    for value in values:
        key = f"{value:g}" if type(value) is float else value  # the digits that are in the name of a run's folder
        if key in seen:
            twice = f"{shown(value)} twice" if seen[key] == value else f"{shown(seen[key])} and {shown(value)}"
            raise ValueError(f"{name}: found {twice}, expected numbers that differ (in six digits)")
        seen[key] = value
    return values


def option(shape):
    """The `type` of a command-line option for a value of this shape."""

    def read(text):
        try:
            return value_of(text, shape, "")
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error).removeprefix(": ")) from None

    return read
