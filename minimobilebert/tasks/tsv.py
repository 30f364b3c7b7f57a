"""Tab-separated files of GLUE: TSV, not CSV.

A line ends at a line feed (we drop a carriage return before it), and a field ends at a tab. No other character is
special. A quotation mark is an ordinary character: a CSV reader would treat one at the start of a sentence as the start
of a quoted field and read over the line end. We do not use `str.splitlines`, because it also splits at U+2028 and
similar characters, which occur in GLUE's sentences.
"""

import pathlib
from typing import NamedTuple

from ..support.regular_files import open_regular

MOST_LINE = 2**24  # bytes; a file with longer lines is not a table


class Row(NamedTuple):
    line: int  # counted from 1, including the header
    fields: list  # of str


def read_rows(path):
    """Read a UTF-8 file and split its lines at tabs: yields Row. Drops a byte-order mark and empty lines at the end.

    ValueError with file and line for another encoding, a NUL, an empty line in the middle, or carriage returns instead
    of line feeds. It reads one line at a time, so a large file needs little memory.
    """
    path = pathlib.Path(path)
    empty = None  # line number of the first in a run of empty lines
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
