"""Quantities with a unit in a text: "10Gbit" -> 1.25e9 bytes a second, "50us" -> 5e-5 seconds."""

import math
import re

BANDWIDTHS = {"kbit": 1e3 / 8, "Mbit": 1e6 / 8, "Gbit": 1e9 / 8, "Tbit": 1e12 / 8}  # a second, in bytes
TIMES = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
_FORM = re.compile(r"([0-9]+(?:\.[0-9]+)?)([a-zA-Z]+)")


def quantity(text, units, name, least=0.0):
    """A text such as 50us -> the number in the basic unit; ValueError for another form, or a number below `least`"""
    form = _FORM.fullmatch(text.strip())
    wanted = {unit.lower(): factor for unit, factor in units.items()}
    factor = wanted.get(form[2].lower()) if form else None
    value = float(form[1]) * factor if factor else math.nan
    if not least <= value < math.inf:
        above = " above 0" if least else ""
        raise ValueError(f"{name}: found {text!r}, expected a number{above} with one of the units {', '.join(units)}")
    return value


def bandwidth(text, name):
    """ "10Gbit" -> bytes a second"""
    return quantity(text, BANDWIDTHS, name, least=1.0)


def seconds(text, name):
    """ "50us" -> seconds"""
    return quantity(text, TIMES, name)
