"""Tab-separated files as GLUE ships them: TSV, not CSV.

A line ends at a line feed (a carriage return before it is dropped), a field ends at a tab, and nothing else means
anything. In particular a quotation mark is a letter: a CSV reader takes a sentence that starts with one for the
start of a quoted field and swallows lines until the next one. For the same reason `str.splitlines` is not used:
it also breaks at U+2028 and its like, which stand inside GLUE's sentences.
"""

import pathlib
from typing import NamedTuple

from ..support.regular_files import open_regular
from ..support.shapes import shown_key

MOST_LINE = 2**24  # bytes; a file without line feeds is no table


class Row(NamedTuple):
    line: int  # counted from 1, the header included
    fields: list  # of str


def read_rows(path):
    """The lines of a UTF-8 file, cut at tabs: yields Row; a byte-order mark is dropped, so are empty lines at the end.

    ValueError with file and line: another encoding, a NUL, an empty line in the middle, carriage returns in place of
    line feeds. A line is decoded when it is asked for, so a file of any size needs little memory.
    """
    path = pathlib.Path(path)
    empty = None  # number of the first of the empty lines just passed
    with open_regular(path) as file:
        for number, line in enumerate(iter(lambda: file.readline(MOST_LINE + 1), b""), start=1):
            if len(line) > MOST_LINE:
                raise ValueError(f"{path}: line {number}: found more than {MOST_LINE:,} bytes, expected a shorter line")
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
                if b"\r" in line.removesuffix(b"\n").removesuffix(b"\r"):
                    raise ValueError(f"{path}: line 1: found a carriage return inside, expected lines that end in \\n")
            line = line.removesuffix(b"\n").removesuffix(b"\r")
            if not line:
                empty = empty or number
                continue
            if empty:
                raise ValueError(f"{path}: line {empty}: found an empty line, expected tab-separated fields")
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{path}: line {number}: found byte 0x{line[error.start]:02x}, expected UTF-8"
                ) from None
            if "\0" in text:
                raise ValueError(f"{path}: line {number}: found a NUL byte, expected text")
            yield Row(number, text.split("\t"))


def find_column(path, columns, name):
    """Where the column `name` stands. ValueError unless the header names it exactly once."""
    if columns.count(name) != 1:
        found = "no column" if name not in columns else f"{columns.count(name)} columns"
        among = ", ".join(map(shown_key, columns[:20])) + (", ..." if len(columns) > 20 else "")
        raise ValueError(f"{path}: line 1: found {found} {name!r} among {among}, expected one")
    return columns.index(name)
