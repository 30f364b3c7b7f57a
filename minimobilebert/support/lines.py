"""Read text line by line, from a file or standard input of any length, as UTF-8 whatever the terminal's encoding."""

from typing import NamedTuple

from .regular_files import MEBIBYTE


class Line(NamedTuple):
    text: str  # without its end
    size: int  # bytes, for a progress bar


def lines_of(file, where, most=MEBIBYTE):
    """The lines of a binary file, each of at most `most` bytes; yields Line. ValueError with `where` and the line."""
    number = 0
    while content := file.readline(most + 1):
        number += 1
        if len(content) > most:
            raise ValueError(f"{where}, line {number}: found more than {most:,} bytes, expected a shorter line")
        try:
            text = content.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            found = error.object[error.start]
            raise ValueError(f"{where}, line {number}: found byte 0x{found:02x}, expected UTF-8") from None
        yield Line(text.rstrip("\r\n"), len(content))


def blocks_of(items, size):
    """Lists of `size` items, the last one perhaps shorter."""
    block = []
    for item in items:
        block.append(item)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block
