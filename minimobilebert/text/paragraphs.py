"""Read a text of any size as a stream of paragraphs; the result is that of `corpus.split_paragraphs`.

    One line     \\
    and another   >  a paragraph: the file has blank lines          "One line and another", "The next one"
                 /
    The next one

A file without blank lines has a paragraph on each line. Which of the two it is, only the whole file can tell, so we
look for a blank line first.
"""

MOST_ROW = 2**24  # bytes of a line, or characters of a paragraph or document: two long novels


def lines_of(file, location):
    """Lines of a binary file in UTF-8, without a byte-order mark. ValueError with the line for one that is no text."""
    for number, line in enumerate(iter(lambda: file.readline(MOST_ROW + 1), b""), start=1):
        where = f"{location}: line {number}"
        if len(line) > MOST_ROW:
            raise ValueError(f"{where}: found more than {MOST_ROW:,} bytes, expected a shorter line")
        if b"\0" in line:
            raise ValueError(f"{where}: found a NUL byte, expected text in UTF-8")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            found = error.object[error.start]
            raise ValueError(f"{where}: found byte 0x{found:02x}, expected text in UTF-8") from None


def has_blank_line(lines):
    """True if a blank line separates others"""
    words = blank = False  # any so far; the last line is blank and words are before it
    for line in lines:
        if line.isspace():
            blank = words
        elif blank:
            return True
        else:
            words = True
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
    """Yield the paragraphs, each with single spaces between its words; by_blank_lines: of `has_blank_line`"""
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
