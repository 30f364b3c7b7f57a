"""Shapes: the expected structure of a value from JSON or TOML, written in Python.

    {"name": str, "epochs": Integer(1, 1000), "rate?": Number(0, 1), "hints": [str]}

    str, bool, int, float, None    a string, true or false, an integer of 64 bits, a finite number, null
    ANY                            any value, nested at most DEEPEST levels
    Integer(low, high)             an integer from low to high, inclusive
    Number(low, high)              a finite number from low to high; integers are allowed
    Text(least)                    a string of at least `least` characters, without surrounding white space
    OneOf("a", "b")                one of these values
    [shape]                        a list of values of this shape
    {"key": shape, "other?": shape}   an object with `key`, optionally with `other`, and no other keys
    {"key": shape, str: shape}        the same, but other keys are allowed, with values of the given shape
    (shape, shape)                 a value of one of these shapes
    shape_of(a dataclass)          an object with the dataclass's fields; those with a default are optional

`check(value, shape, where)` raises a ShapeError, one line: `WHERE: field a.b[3]: found X, expected Y`.
"""

import dataclasses
import math
from typing import NamedTuple

ANY = object
DEEPEST = 64
_LARGEST = 10**100  # some files have 10**30 for "no limit"; a float cannot represent arbitrarily large integers


class ShapeError(ValueError):
    """A value does not have the expected shape. The message is one line with the field, found and expected."""


class Integer(NamedTuple):
    low: int = -(2**63)
    high: int = 2**63 - 1


class Number(NamedTuple):
    low: float = -math.inf
    high: float = math.inf


class Text(NamedTuple):
    least: int = 1


class OneOf:
    def __init__(self, *values):
        self.values = values


def shape_of(dataclass):
    """The shape of a dataclass with fields of type str, int, float or bool."""
    return {
        f"{field.name}?" if field.default is not dataclasses.MISSING else field.name: field.type
        for field in dataclasses.fields(dataclass)
    }


class _Mismatch(Exception):
    """found, expected: texts; path: the keys and indices of the value, innermost first"""

    def __init__(self, found, expected):
        super().__init__(found, expected)
        self.found, self.expected, self.path = found, expected, []


def shown(value, most=60):
    """A value for a message: shortened, and only the type of a list or an object."""
    names = {dict: "an object", list: "a list", type(None): "null", bool: str(value).lower()}
    if type(value) in names:
        return names[type(value)]
    if type(value) is int and abs(value) >= _LARGEST:
        return "a whole number of more than 100 digits"
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _described(shape):
    """A shape for a message, as text after "expected"."""
    names = {str: "a text", bool: "true or false", int: "a whole number", float: "a number", None: "null"}
    if isinstance(shape, tuple) and type(shape) is tuple:
        return " or ".join(map(_described, shape))
    if isinstance(shape, Integer):
        return f"a whole number{_range(*shape, Integer())}"
    if isinstance(shape, Number):
        return f"a number{_range(*shape, Number())}"
    if isinstance(shape, OneOf):
        return "one of " + ", ".join(map(repr, shape.values))
    if isinstance(shape, Text):
        return "a text" if shape.least < 1 else "a text that is not empty"
    return {list: "a list", dict: "an object"}.get(type(shape)) or names[shape]


def _range(low, high, widest):
    if low == widest.low:
        return f" of at most {high}" if high != widest.high else ""
    return f" of at least {low}" if high == widest.high else f" between {low} and {high}"


def check(value, shape, where):
    """`value` itself. ShapeError if it has another shape; where: the file, optionally with a line, for the message"""
    try:
        _check(value, shape)
    except _Mismatch as mismatch:
        raise ShapeError(f"{where}: {_field(mismatch.path)}{_sentence(mismatch)}") from None
    return value


def _sentence(mismatch):
    return f"found {mismatch.found}, expected {mismatch.expected}"


def _field(path):
    """Keys and indices, innermost first -> "field a.b[3]: ", or "" for the whole value."""
    text = "".join(f"[{part}]" if type(part) is int else f".{shown_key(part)}" for part in reversed(path))
    if len(text) > 200:
        text = f"{text[:100]} ... {text[-97:]}"
    return f"field {text.removeprefix('.')}: " if text else ""


def shown_key(key):
    """A key for a message: unchanged if it is short and printable, else quoted and shortened."""
    return key if key.isprintable() and len(key) <= 60 and key.strip() else shown(key)


def _check(value, shape):
    if shape is ANY:
        _check_plain(value, DEEPEST)
    elif type(shape) is dict:
        _check_object(value, shape)
    elif type(shape) is list:
        if type(value) is not list:
            raise _Mismatch(shown(value), "a list")
        _each(enumerate(value), shape[0])
    elif type(shape) is tuple:
        _check_either(value, shape)
    elif not _fits(value, shape):
        raise _Mismatch(shown(value), _described(shape))


def _each(items, shape):
    for key, item in items:
        try:
            _check(item, shape)
        except _Mismatch as mismatch:
            mismatch.path.append(key)
            raise


def _check_object(value, shape):
    if type(value) is not dict:
        raise _Mismatch(shown(value), "an object")
    fields = {key: inner for key, inner in shape.items() if key is not str}
    others = {key for key in value if key not in fields and f"{key}?" not in fields}
    if others and str not in shape:  # before missing keys, because an unknown key may be a misspelt one
        known = ", ".join(name.removesuffix("?") for name in fields)
        raise _Mismatch(f"an unknown key {shown(min(others))}", f"only {known}")
    for name, inner in fields.items():
        key = name.removesuffix("?")
        if key in value:
            _each([(key, value[key])], inner)
        elif key == name:
            raise _Mismatch(f"no {key!r}", f"{key!r} with {_described_or_any(inner)}")
    for key in others:
        _check_unicode(key)
    if others:
        _each(((key, value[key]) for key in value if key in others), shape[str])


def _described_or_any(shape):
    return "a value" if shape is ANY else _described(shape)


def _check_either(value, shapes):
    """If no shape fits, report the deepest mismatch: the value was probably meant to have that shape."""
    deepest = None
    for shape in shapes:
        try:
            return _check(value, shape)
        except _Mismatch as mismatch:
            if deepest is None or len(mismatch.path) > len(deepest.path):
                deepest = mismatch
    if deepest.path or any(type(shape) is dict and type(value) is dict for shape in shapes):
        raise deepest
    raise _Mismatch(shown(value), _described(shapes))


def _fits(value, shape):
    """True if a scalar value has the shape. We use type(), not isinstance(), because bool is a subclass of int."""
    if shape is str:
        return type(value) is str and _check_unicode(value)
    if shape is bool:
        return type(value) is bool
    if shape is None:
        return value is None
    if shape is int or isinstance(shape, Integer):
        low, high = Integer() if shape is int else shape
        return type(value) is int and low <= value <= high
    if shape is float or isinstance(shape, Number):
        low, high = Number() if shape is float else shape
        finite = (type(value) is int and abs(value) < _LARGEST) or (type(value) is float and math.isfinite(value))
        return finite and low <= value <= high
    if isinstance(shape, Text):
        return type(value) is str and len(value.strip()) >= shape.least and _check_unicode(value)
    if isinstance(shape, OneOf):
        return any(type(value) is type(known) and value == known for known in shape.values)
    raise TypeError(f"found the shape {shape!r}, expected one of those that this file lists")


def _check_unicode(text):
    r"""_Mismatch for a lone surrogate such as JSON's "\ud800", which cannot be written to a file or printed."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise _Mismatch(f"half a character at {error.start}", "text in Unicode") from None
    return True


def _check_plain(value, deepest):
    """The limits for any value: valid Unicode, finite numbers of limited size, limited nesting."""
    kind = type(value)
    if kind is str:
        _check_unicode(value)
    elif kind is float:
        if not math.isfinite(value):
            raise _Mismatch(shown(value), "a finite number")
    elif kind is int:
        if abs(value) >= _LARGEST:
            raise _Mismatch(shown(value), "at most 100 digits")
    elif kind is dict or kind is list:
        if not deepest:
            raise _Mismatch(f"more than {DEEPEST} levels of brackets", f"at most {DEEPEST}")
        for key, item in value.items() if kind is dict else enumerate(value):
            if kind is dict:
                _check_unicode(key)
            try:
                _check_plain(item, deepest - 1)
            except _Mismatch as mismatch:
                mismatch.path.append(key)
                raise
    elif kind is not bool and value is not None:  # TOML's dates and times
        raise _Mismatch(str(value), "a text, a number, a list or an object")
