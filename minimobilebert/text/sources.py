"""Texts of any size, row by row: files, folders, archives, tables and standard input.

    .txt, .txt.gz                    documents in UTF-8; archives (.tar, .zip ...) hold such documents
    .csv, .tsv, .jsonl, .ndjson      tables: each field of one column is a document; also with .gz behind it
    -                                standard input: each line is a document

    unit     a row is ...
    document    a whole document
    paragraph   a paragraph of a document (paragraphs.py)
    sentence    a sentence of a paragraph (sentences.py)

Everything is read as a stream: memory does not depend on the size of a file, only on that of a row. Archives are the
exception: a document in one is read as a whole.
"""

import hashlib
import io
import json
import pathlib
import sys
from typing import NamedTuple

from ..support.archives import is_archive
from ..support.files import name_of, sha256_of
from ..support.gzip_files import content_of, open_content
from ..support.regular_files import open_regular
from ..support.shapes import shown
from ..support.terminal import progress_bar, say
from .corpus import check_each_once, split_paragraphs, texts_in_archive
from .paragraphs import has_blank_line, joined, paragraphs_of, text_lines
from .sentences import split_sentences
from .shards import MANIFEST, names_of
from .table_files import JSON_LINES, column_of, open_table
from .text_files import LeftOut, find_texts

UNITS = ("document", "paragraph", "sentence")
STANDARD_INPUT = "-"
COLUMN = "text"  # of a table, if the user names none
_PLAIN, _TABLES = (".txt",), (".csv", ".tsv", *JSON_LINES)
# Of the texts in a folder. There, a .json is hardly a table; who names one means it.
ENDINGS = tuple(f"{ending}{gz}" for ending in (*_PLAIN, *_TABLES) if ending != ".json" for gz in ("", ".gz"))


class Source(NamedTuple):
    """What a user named: a file, a folder or standard input."""

    name: str  # as given, or STANDARD_INPUT
    files: list  # of pathlib.Path, in the order in which they are read; empty for standard input


def find_sources(paths):
    """The files behind the paths that a user named -> list of Source; says which files of folders are left out

    ValueError of one line if a path is missing, is no text, has no text in it, or is named twice.
    """
    left_out, sources, paths = LeftOut(), [], list(paths)
    check_each_once([pathlib.Path(path) for path in paths if path != STANDARD_INPUT])
    if paths.count(STANDARD_INPUT) > 1:
        raise ValueError(f"{STANDARD_INPUT}: found standard input twice, expected each text once")
    for path in paths:
        files = [] if path == STANDARD_INPUT else _files_of(pathlib.Path(path), left_out)
        sources.append(Source(name_of(path), files))
    if sentence := left_out.sentence():
        say(f"text: {', '.join(map(str, paths))}: left out {sentence}")
    return sources


def _has_ending(path, endings):
    return path.name.lower().removesuffix(".gz").endswith(endings)


def _files_of(path, left_out):
    if not path.exists():
        raise ValueError(f"{path}: not found, expected a text or a folder of texts ({', '.join(ENDINGS)})")
    if path.is_dir():
        if all((path / name).exists() for name in (MANIFEST, *names_of(0))):
            raise ValueError(f"{path}: found text that is prepared already, expected the texts that it was made from")
        files = find_texts(path, left_out, ENDINGS)
        if not files:
            found = left_out.sentence()
            raise ValueError(f"{path}: found no text{f', but {found}' if found else ''}, expected at least one")
        return files
    if not (_has_ending(path, (*_PLAIN, *_TABLES)) or is_archive(path)):
        raise ValueError(f"{path}: found an unknown kind of file, expected {', '.join(ENDINGS)} or an archive")
    open_regular(path).close()  # an error for a pipe or a device
    return [path]


def fingerprints_of(sources):
    """A record of each source's contents, so that a change is noticed -> list of dict

    Standard input cannot be read twice: its record has no content.
    """
    total = sum(path.stat().st_size for source in sources for path in source.files)
    records = []
    with progress_bar("check texts", _megabytes(total), unit="MB") as bar:
        for source in sources:
            digest, size = hashlib.sha256(), 0
            for path in source.files:
                count = path.stat().st_size
                digest.update(json.dumps([name_of(path), count, sha256_of(path)]).encode())
                bar.update(steps=_megabytes(size + count) - _megabytes(size))
                size += count
            records.append(
                {"name": source.name, "files": len(source.files), "bytes": size, "sha256": digest.hexdigest()}
            )
    return records


def _megabytes(count):
    return count // 1_000_000


class RowReader:
    """The rows of all sources in order: iterate over it.

    position   bytes of the files that are read, for a progress bar
    empty      documents and fields without a text so far
    """

    def __init__(self, sources, unit, column=None, encoding=None):
        """column, encoding: of tables; None for the column COLUMN, and to find the encoding out

        ValueError for one of the two where no table is read.
        """
        tables = any(_has_ending(path, _TABLES) for source in sources for path in source.files)
        for name, value in (("--column", column), ("--encoding", encoding)):
            if value is not None and not tables:
                raise ValueError(f"{name}: found {shown(value)} and no table among the texts, expected it with a table")
        self.sources, self.unit, self.column, self.encoding = sources, unit, column or COLUMN, encoding
        self.empty, self._finished, self._file = 0, 0, None

    @property
    def position(self):
        return self._finished + (0 if self._file is None or self._file.closed else self._file.tell())

    def __iter__(self):
        for source in self.sources:
            if source.name == STANDARD_INPUT:
                for number, line in enumerate(text_lines(_standard_input(), "standard input"), start=1):
                    yield from self._rows(split_paragraphs(line), f"standard input: line {number}")
            for path in source.files:
                size = path.stat().st_size
                with open_regular(path) as self._file:
                    yield from self._rows_of_file(path)
                self._finished += size

    def _rows_of_file(self, path):
        if _has_ending(path, _TABLES):
            table = open_table(path, self.encoding)
            for number, text in enumerate(column_of(table, self.column, content_of(self._file, path)), start=1):
                yield from self._rows(split_paragraphs(text), f"{path}: row {number}")
        elif _has_ending(path, _PLAIN):
            with open_content(path) as file:
                by_blank_lines = has_blank_line(file)
            yield from self._rows_of_text(content_of(self._file, path), by_blank_lines, path)
        else:
            for _, location, content in texts_in_archive(path, LeftOut()):
                by_blank_lines = has_blank_line(io.BytesIO(content))
                yield from self._rows_of_text(io.BytesIO(content), by_blank_lines, location)

    def _rows_of_text(self, file, by_blank_lines, location):
        yield from self._rows(paragraphs_of(text_lines(file, location), by_blank_lines, location), location)

    def _rows(self, paragraphs, location):
        """The rows of one document"""
        empty = True
        if self.unit == "document":
            text = joined(paragraphs, location)
            paragraphs = [text] if text else []
        for paragraph in paragraphs:
            empty = False
            if self.unit == "sentence":
                yield from split_sentences(paragraph)
            else:
                yield paragraph
        self.empty += empty


def _standard_input():
    if sys.stdin.isatty():
        say("reading texts, one per line, until the end of the input (Ctrl-D; on Windows Ctrl-Z)")
    return sys.stdin.buffer
