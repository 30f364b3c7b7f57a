"""Read JSON, JSON lines and TOML, and check the shape of the value.

    settings = read_json(path, {"model": str, "seed": Integer(0)})
    rows = read_json_lines(path, {"step": Integer(0), str: float})
    data = read_toml(path, {"lesson": [LESSON]})

shapes.py defines the shapes. For any file content, the result is the value or a ValueError with the file, the line or
field, found and expected: for another encoding, too deep nesting, a key that occurs twice (Python's reader silently
keeps the last one), NaN, or numbers of 5,000 digits.
"""

import json
import re
import tomllib

from .regular_files import MEBIBYTE, decode_utf8, open_regular, read_bytes
from .shapes import ANY, check, shown

MOST_BYTES = 64 * MEBIBYTE  # of a JSON file; the largest tokenizer.json of the hub has a quarter of it
MOST_LINE = MEBIBYTE  # of a line of JSON lines
MOST_TOML = MEBIBYTE  # tomllib is written in Python and needs about a second for this size
_PARTS = r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}"""  # a key such as a.b.c of 64 parts


class _Unusable(Exception):
    """JSON that Python's reader would accept; literal: a pattern that finds its line"""

    def __init__(self, message, literal=None):
        super().__init__(message)
        self.literal = literal


def read_json(path, shape=ANY, most=MOST_BYTES):
    """The value in a JSON file of at most `most` bytes, with or without a byte-order mark."""
    return parse_json(read_bytes(path, most), path, shape)


def parse_json(content, where, shape=ANY):
    """The value in JSON, bytes or str; where: the file or another location, for messages"""
    text = decode_utf8(content, where) if isinstance(content, bytes | bytearray) else content
    return check(_parsed(text, where, lines=True), shape, where)


def read_json_lines(path, shape=ANY, cut_end=False):
    """The values of a file with one JSON value per line -> list

    cut_end: skip a last line without a line feed, because a program may have been killed while writing it
    """
    rows = []
    with open_regular(path) as file:
        number = 0
        while line := file.readline(MOST_LINE + 1):
            number += 1
            where = f"{path}: line {number}"
            if len(line) > MOST_LINE:
                raise ValueError(f"{where}: found more than {MOST_LINE:,} bytes, expected a shorter line")
            if cut_end and not line.endswith(b"\n"):
                break
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                found = error.object[error.start]
                raise ValueError(f"{where}: found byte 0x{found:02x}, expected text in UTF-8") from None
            rows.append(check(_parsed(text, where, lines=False), shape, where))
    return rows


def read_toml(path, shape=ANY, most=MOST_TOML):
    """The value in a TOML file, a dict, with or without a byte-order mark."""
    text = decode_utf8(read_bytes(path, most), path)
    if found := re.search(_PARTS, text):
        line = text.count("\n", 0, found.start()) + 1
        raise ValueError(f"{path}: line {line}: found a key of more than 64 parts, expected a shorter one")
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
        location = re.search(r" \(at line (\d+), column \d+\)$", reason)
        line = location[1] if location else text.count("\n") + 1  # else it is "(at end of document)"
        raise ValueError(f"{path}: line {line}: {re.sub(r' [(]at .*[)]$', '', reason)}, expected TOML") from None
    except RecursionError:
        raise ValueError(f"{path}: found brackets nested too deeply, expected TOML") from None
    except ValueError as error:  # an integer of 5,000 digits, the 31st of February
        raise ValueError(f"{path}: {_long_integer(error) or error}, expected TOML") from None
    return check(value, shape, path)


def _long_integer(error):
    return "found a whole number of more than 100 digits" if "integer string" in str(error) else ""


def _parsed(text, where, lines):
    """The value in JSON. lines: add the line to messages; False if `where` has it already."""

    def location(line):
        return f"{where}: line {line}" if lines else where

    if not text.strip():
        raise ValueError(f"{location(1)}: found an empty {'file' if lines else 'line'}, expected JSON")
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as error:
        rest = shown(text[error.pos : error.pos + 20]) if error.pos < len(text) else "the end"
        reason = f"found {rest}: {error.msg.removesuffix(' at')}"
        raise ValueError(f"{location(error.lineno)}: {reason}, expected JSON") from None
    except RecursionError:
        raise ValueError(f"{where}: found brackets nested too deeply, expected JSON") from None
    except _Unusable as error:
        line = _line_of(text, error.literal) if error.literal else None
        raise ValueError(f"{location(line) if line else where}: {error}") from None
    except ValueError as error:
        if not _long_integer(error):
            raise
        line = _line_of(text, r"-?\d{4000,}")
        raise ValueError(f"{location(line)}: {_long_integer(error)}, expected fewer") from None


def _object(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        seen = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise _Unusable(f"found the key {shown(twice)} twice in one object, expected it once")
    return found


def _constant(name):
    raise _Unusable(f"found {name}, expected a finite number", re.escape(name))


def _line_of(text, literal):
    """The line of the first match of a pattern outside of quotation marks."""
    for found in re.finditer(rf'"[^"\\]*+(?:\\.[^"\\]*+)*+"|{literal}', text):
        if not found[0].startswith('"'):
            return text.count("\n", 0, found.start()) + 1
    return 1
