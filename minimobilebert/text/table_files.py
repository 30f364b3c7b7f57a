"""A table of the reader's own: CSV or TSV as spreadsheets write it, or JSON lines.

    id;review;stars              the first row names the columns
    7;"Dull; and
    long";1                      a field in quotation marks may hold separators and line ends

    {"id": 7, "review": "Dull; and\\nlong", "stars": 1}        JSON lines: an object a line

Nobody says in a file how it was written, so we look: the separator is the one that the first row has most often; the
encoding is UTF-8 (UTF-16 after its mark) or, where that does not fit, a guess, which is said aloud. Some programs write
tabs between fields and no quotation marks around them: where marks are in no pairs, they are letters like others. A
file, which may be compressed (.gz), is read row by row, so that a large one needs little memory. tsv.py reads GLUE's
files, where marks are always letters.
"""

import codecs
import contextlib
import csv
import io
import pathlib
import re
from typing import NamedTuple

from ..support.columns import find_column
from ..support.gzip_files import open_content, skip
from ..support.regular_files import MEBIBYTE
from ..support.shapes import ANY, shown, shown_key
from ..support.structured_files import MOST_LINE, parse_json
from ..support.terminal import say

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
JSON_LINES = (".jsonl", ".ndjson", ".json")
_FIELD = (str, int, float, bool, None)
_ROW = {str: _FIELD}  # of JSON lines
_FORMATS = (  # how files begin that hold tables of another kind
    (b"PK\x03\x04", "a spreadsheet (or a zip file)"), (b"\xd0\xcf\x11\xe0", "a spreadsheet"), (b"PAR1", "Parquet"),
    (b"\x1f\x8b", "a gzip file"), (b"[", "a JSON list"),
)  # fmt: skip
_FEWEST = 5  # letters of another alphabet: fewer may be damage
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
# Encodings to guess from: name, the letters that its texts consist of, least share of them among letters beyond ASCII,
# least number of such letters in a row (Western texts have one now and then, others write whole words in them).
_GUESSES = (
    ("cp949", r"[\uac00-\ud7a3]", 0.9, 1.6),
    ("cp932", r"[\u3040-\u30ff\u4e00-\u9fff]", 0.9, 2.0),
    ("gb18030", r"[\u4e00-\u9fff]", 0.9, 2.0),
    ("cp1251", r"[\u0400-\u04ff]", 0.9, 2.0),
    ("cp1252", r"[\u00c0-\u017f]", 0.9, 0.0),
)


class TableFile(NamedTuple):
    path: pathlib.Path
    encoding: str
    separator: str | None  # None: JSON lines
    columns: list  # of str
    quoted: bool = True  # False: quotation marks are letters


class TableRow(NamedTuple):
    where: str  # the file, the row (from 1, below the names) and its last line, for messages
    fields: list  # one a column: str, or the value in JSON, with None where an object lacks the column


def _first_invalid(path):
    """The offset of the first byte that is not UTF-8, or None"""
    decoder, start = codecs.getincrementaldecoder("utf-8")(), 0
    with open_content(path) as file:
        while True:
            chunk = file.read(MEBIBYTE)
            waiting = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                return start - waiting + error.start
            if not chunk:
                return None
            start += len(chunk)


def _fits(text, letters, share, together):
    """Whether a text that an encoding gave looks like a language that is written in it"""
    beyond = re.findall(r"[^\W\d_\x00-\x7f]", text)
    if not beyond:
        return False
    if together > 1.0 and len(beyond) < _FEWEST:
        return False
    runs = len(re.findall(r"[^\W\d_\x00-\x7f]+", text))
    return len(re.findall(letters, text)) >= share * len(beyond) and len(beyond) >= together * runs


def _is_damaged_utf8(sample):
    """Whether bytes beyond ASCII are more often UTF-8 than not; in another encoding they hardly ever are"""
    text = sample.decode("utf-8", "replace")
    return len(re.findall(r"[^\x00-\x7f\ufffd]", text)) > text.count("\ufffd")


def _line_at(path, offset):
    """The number of the line of a byte"""
    line = 1
    with open_content(path) as file:
        while offset > 0:
            chunk = file.read(min(offset, MEBIBYTE))
            line += chunk.count(b"\n")
            offset -= len(chunk)
    return line


def _guess(path, offset):
    """The encoding of a file whose byte at `offset` is not UTF-8"""
    start = max(0, offset - MEBIBYTE // 2)
    with open_content(path) as file:
        skip(file, start)
        sample = file.read(MEBIBYTE)
        found = f"byte 0x{sample[offset - start]:02x} at byte {offset}"
    lines = sample.split(b"\n")
    sample = b"\n".join(lines[1 if start else 0 : -1 if len(sample) == MEBIBYTE else None])
    for name, *rule in () if _is_damaged_utf8(sample) else _GUESSES:
        try:
            text = sample.decode(name)
        except UnicodeDecodeError:
            continue
        if "\0" in text or not _fits(text, *rule):
            continue
        syllables = "".join(re.findall(rule[0], text)).encode(name) if name == "cp949" else b""
        if sum(byte < 0xA1 for byte in syllables) > 0.02 * len(syllables):
            continue  # syllables that Korean hardly uses: another language in the same bytes
        say(f"note: {path}: found {found}, which is not UTF-8; read as {name}, a guess (--encoding names another)")
        return name
    raise ValueError(
        f"{path}: line {_line_at(path, offset)}: found {found}, expected UTF-8, or --encoding with the name of another"
    )


def _is_json_lines(path):
    return path.name.lower().removesuffix(".gz").endswith(JSON_LINES)


def _encoding(path, given):
    """The encoding of the file: `given`, or by its mark, or UTF-8, or a guess"""
    if given:
        try:
            with io.TextIOWrapper(io.BytesIO(b"a"), encoding=given) as file:  # hex or base64 are no encodings of texts
                with contextlib.suppress(UnicodeDecodeError):  # utf-16 needs two bytes
                    file.read()
            return codecs.lookup(given).name
        except (LookupError, UnicodeError):
            raise ValueError(
                f"--encoding: found {shown(given)}, expected one that Python knows, such as cp949"
            ) from None
    with open_content(path) as file:
        start = file.read(4096)
    for beginning, name in _FORMATS:
        if start.startswith(beginning) and (beginning != b"[" or _is_json_lines(path)):
            raise ValueError(
                f"{path}: found {name}, expected CSV, TSV or JSON lines (an object a line); save it as one"
            )
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    if b"\0" in start:
        raise ValueError(f"{path}: found a NUL byte, expected text (UTF-16 without its mark: --encoding utf-16-le)")
    offset = _first_invalid(path)
    return "utf-8" if offset is None else _guess(path, offset)


def _undecodable(table, where, error):
    return ValueError(
        f"{where}: found byte 0x{error.object[error.start]:02x}, expected {table.encoding} (--encoding names another)"
    )


def _lines(table, file=None):
    """Lines of the file, with their ends; ValueError for a NUL or another encoding

    file: the open file, which is read and closed; by default `table.path` is opened
    """
    with io.TextIOWrapper(file or open_content(table.path), encoding=table.encoding, newline="") as file:
        number = 0
        while True:
            number += 1
            try:
                line = file.readline(MOST_LINE)
            except UnicodeDecodeError as error:
                raise _undecodable(table, f"{table.path}: line {number} or soon after", error) from None
            if not line:
                return
            if len(line) >= MOST_LINE:
                raise ValueError(
                    f"{table.path}: line {number}: found {MOST_LINE:,} characters, expected a shorter line"
                )
            if "\0" in line:
                raise ValueError(f"{table.path}: line {number}: found a NUL character, expected text")
            yield line


def _csv_rows(table, file=None):
    """(row number from 0, last line, fields) of a CSV file, without empty rows and the line `sep=;` of Excel"""
    lines = _lines(table, file)
    quoting = csv.QUOTE_MINIMAL if table.quoted else csv.QUOTE_NONE
    reader = csv.reader(lines, delimiter=table.separator, strict=True, quoting=quoting)
    number = -1
    try:
        for fields in reader:
            if not fields or (number < 0 and re.fullmatch("sep=.?", "".join(fields))):
                continue
            number += 1
            yield number, reader.line_num, fields
    except csv.Error as error:
        if "field limit" in str(error):
            error = f"found a field of more than {csv.field_size_limit():,} characters"
        raise ValueError(
            f"{table.path}: row {number + 1} (line {reader.line_num}): {error}; expected fields in pairs of quotation"
            f" marks and {SEPARATORS[table.separator]} between them"
        ) from None


def _separator(table):
    """The separator that occurs most often in the first line outside quotation marks"""
    for line in _lines(table):
        named = re.match(r"\ufeff?sep=(.)\r?\n", line)
        if named and named[1] in SEPARATORS:
            return named[1]
        bare = re.sub(r'"[^"]*"', "", line)
        if bare.strip():
            return max(SEPARATORS, key=bare.count)
    raise ValueError(f"{table.path}: found an empty file, expected a row with the names of the columns")


def _reads(table):
    """Whether all rows are as long as the first one"""
    try:
        return len({len(fields) for _, _, fields in _csv_rows(table)}) <= 1
    except ValueError:
        return False


def open_table(path, encoding=None):
    """Find out how a table is written -> TableFile. ValueError of one line if it cannot be read."""
    path = pathlib.Path(path)
    table = TableFile(path, _encoding(path, encoding), None, [])
    if _is_json_lines(path):
        for _, value in _objects(table, shape={str: ANY}):
            return table._replace(columns=list(value))
        raise ValueError(f"{path}: found no object, expected one a line")
    table = table._replace(separator=_separator(table))
    if table.separator == "\t" and not _reads(table) and _reads(table._replace(quoted=False)):
        table = table._replace(quoted=False)
        say(f"note: {path}: found quotation marks that are not in pairs; they are read as part of the text")
    for _, _, fields in _csv_rows(table):
        return table._replace(columns=[fields[0].removeprefix("\ufeff"), *fields[1:]])
    raise ValueError(f"{path}: found an empty file, expected a row with the names of the columns")


def _objects(table, file=None, shape=_ROW):
    """(line, object) of JSON lines"""
    for number, line in enumerate(_lines(table, file), start=1):
        if line.strip():
            yield number, parse_json(line.removeprefix("\ufeff"), f"{table.path}: line {number}", shape)


def text_of(field):
    """A field as text without blanks around it; "" where there is nothing"""
    if field is None:
        return ""
    return str(field).lower() if isinstance(field, bool) else str(field).strip()


def rows_of(table, file=None):
    """Yield every TableRow below the names. ValueError, one line with row and line, for a row of another length.

    file: the open file, which is read and closed; by default `table.path` is opened
    """
    if table.separator is None:
        for row, (line, value) in enumerate(_objects(table, file), start=1):
            where = f"{table.path}: row {row} (line {line})"
            if unknown := [name for name in value if name not in table.columns]:
                raise ValueError(f"{where}: found {shown_key(unknown[0])!r}, expected only names of the first row")
            yield TableRow(where, [value.get(name) for name in table.columns])
        return
    for row, line, fields in _csv_rows(table, file):
        where = f"{table.path}: row {row} (line {line})"
        if row and len(fields) != len(table.columns):
            raise ValueError(f"{where}: found {len(fields)} fields, expected {len(table.columns)}, as in the first row")
        if row:
            yield TableRow(where, fields)


def column_of(table, name, file=None):
    """Yield the fields of the column `name` as text, "" where there is nothing. Other fields of JSON may be anything.

    file: as in `rows_of`
    """
    index = find_column(table.path, table.columns, name)
    if table.separator is None:
        for _, value in _objects(table, file, {f"{name}?": _FIELD, str: ANY}):
            yield text_of(value.get(name))
        return
    for row in rows_of(table, file):
        yield text_of(row.fields[index])
