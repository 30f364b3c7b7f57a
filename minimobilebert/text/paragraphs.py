"""Read a text of any size as a stream of paragraphs; the result is that of `corpus.split_paragraphs`.

    One line     \\
    and another   >  a paragraph: the file has blank lines          "One line and another", "The next one"
                 /
    The next one

A file without blank lines has a paragraph on each line. Which of the two it is, only the whole file can tell, so we
look for a blank line first.
"""

import codecs
import re

from ..support.lines import lines_of
from ..support.regular_files import MEBIBYTE

MOST_ROW = 2**24  # bytes of a line, or characters of a paragraph or document: two long novels


def text_lines(file, location):
    """Lines of a binary file in UTF-8, without a byte-order mark. ValueError with the line for one that is no text."""
    for number, line in enumerate(lines_of(file, location, MOST_ROW), start=1):
        if "\0" in line.text:
            raise ValueError(f"{location}, line {number}: found a NUL character, expected text")
        yield line.text


def has_blank_line(file):
    """True if a blank line separates others in a binary file. Bytes that are no text do not matter here."""
    decoder, spaces, words = codecs.getincrementaldecoder("utf-8-sig")("replace"), "", False
    while block := file.read(MEBIBYTE):
        text = spaces + decoder.decode(block)
        text = text if words else text.lstrip()
        stripped = text.rstrip()
        if re.search(r"\n\s*\n", stripped):
            return True
        words = words or bool(stripped)
        spaces = "\n" * min(2, text.count("\n", len(stripped)))  # as good as all that are there
    return False


class _Text:
    """Parts that become one text, of bounded size."""

    def __init__(self, what, location):
        self.parts, self._size, self._what, self._location = [], 0, what, location

    def add(self, part):
        self.parts.append(part)
        self._size += len(part) + 1
        if self._size > MOST_ROW:
            found = f"found a {self._what} of more than {MOST_ROW:,} characters"
            raise ValueError(f"{self._location}: {found}, expected a shorter one")

    def take(self):
        """The text so far; empties it"""
        text, self.parts, self._size = " ".join(self.parts), [], 0
        return text


def paragraphs_of(lines, by_blank_lines, location):
    """Yield the paragraphs, each with single spaces between its words; by_blank_lines: as `has_blank_line` says"""
    text = _Text("paragraph", location)
    for line in lines:
        words = " ".join(line.split())
        if words:
            text.add(words)
        if text.parts and not (words and by_blank_lines):
            yield text.take()
    if text.parts:
        yield text.take()


def joined(paragraphs, location):
    """All paragraphs of a document as one text"""
    text = _Text("document", location)
    for paragraph in paragraphs:
        text.add(paragraph)
    return text.take()
