"""Quantities with a unit in a text: "10Gbit" -> 1.25e9 bytes a second, "50us" -> 5e-5 seconds."""

import math
import re

# The power of ten of each unit.
BITS, TIMES = {"kbit": 3, "Mbit": 6, "Gbit": 9, "Tbit": 12}, {"ns": -9, "us": -6, "ms": -3, "s": 0}
_FORM = re.compile(r"([0-9]+(?:\.[0-9]+)?)([a-zA-Z]+)")


def quantity(text, units, name, least=0.0):
    """A text such as 50us -> the number in the basic unit; ValueError for another form, or a number below `least`"""
    form = _FORM.fullmatch(text.strip())
    power = {unit.lower(): power for unit, power in units.items()}.get(form[2].lower()) if form else None
    value = math.nan if power is None else float(f"{form[1]}e{power}")
    if not least <= value < math.inf:
        above = " above 0" if least else ""
        raise ValueError(f"{name}: found {text!r}, expected a number{above} with one of the units {', '.join(units)}")
    return value


def bandwidth(text, name):
    """ "10Gbit" -> bytes a second"""
    return quantity(text, BITS, name, least=1.0) / 8


def seconds(text, name):
    """ "50us" -> seconds"""
    return quantity(text, TIMES, name)
