"""`similar`: the lines of a file that are nearest to a query, and `embed --out`: the vectors of all lines in a file.

Both read the file in blocks of lines and keep no more than a block, so that a million lines need no more memory than
a thousand. Row i of the vectors is line i of the text; an empty line has the vector of an empty text.
"""

import contextlib
import os
from typing import NamedTuple

import numpy as np

from ..support.lines import blocks_of, lines_of
from ..support.npy import reading_rows, writing_rows
from ..support.regular_files import open_regular
from ..support.terminal import progress_bar, say
from .embed import shown, unit_vectors

BLOCK = 4096  # lines; enough for full batches of texts of one length
_CHECKED = 64  # of the lines that are shown, with stored vectors
_SAME = 0.999  # the least cosine of a stored vector and the same one computed again
_DIGITS = 6  # rounding in the product affects the digits after these, so equal texts could have different cosines


class Found(NamedTuple):
    """One line of the file."""

    number: int  # of the line, from 1
    cosine: float
    text: str


@contextlib.contextmanager
def _blocks(path, name):
    """Blocks of lines of a file, with a bar of the bytes; yields an iterator of lists of str."""
    with open_regular(path) as file, progress_bar(name, max(1, os.fstat(file.fileno()).st_size), unit="B") as bar:

        def blocks():
            for block in blocks_of(lines_of(file, path), BLOCK):
                yield [line.text for line in block]
                bar.update(steps=sum(line.size for line in block))

        yield blocks()


def _note_empty(empty, count):
    if empty:
        say(f"note: {empty} of {count} lines are empty: their vectors are that of an empty text")


def write_vectors(embedder, blocks, out):
    """The vectors of blocks of texts into a .npy file, which replaces `out` at the end -> number of vectors"""
    empty = 0
    with writing_rows(out, embedder.model.config.hidden_size, np.float32) as write:
        for texts in blocks:
            empty += sum(not text.strip() for text in texts)
            write(embedder(texts))
        if not embedder.count:
            raise ValueError("text: found none, expected at least one line")
    embedder.say_cut()
    _note_empty(empty, embedder.count)
    return embedder.count


def embed_file(embedder, path, out):
    """The vectors of the lines of a file -> number of vectors"""
    with _blocks(path, "embed") as blocks:
        return write_vectors(embedder, blocks, out)


def _check_same(embedder, texts, rows, vectors):
    """ValueError unless the model gives the stored vector of the first text that is not empty."""
    first = next((i for i, text in enumerate(texts) if text.strip()), None)
    if first is not None:
        computed, stored = unit_vectors(embedder([texts[first]])[0]), unit_vectors(rows[first])
        if computed @ stored < _SAME:
            raise ValueError(
                f"{vectors}: row {first + 1}: found another vector than this model gives for line {first + 1}, expected"
                " those of the same lines, model and pooling"
            )


def _check_found(embedder, best, direction, path, vectors):
    """ValueError if a line that is shown has another cosine than its stored vector: lines were changed since."""
    computed = unit_vectors(embedder([one.text for one in best])) @ direction
    for one, cosine in zip(best, computed, strict=True):
        if abs(one.cosine - cosine) > 1.0 - _SAME:
            raise ValueError(
                f"{vectors}: row {one.number}: found another vector than this model gives for line {one.number} of"
                f" {path}, expected those of the same lines: embed them again"
            )


def similar(embedder, query, path, top, vectors=None):
    """The `top` lines of the file that are nearest to the query, nearest first -> list of Found

    vectors: a .npy file of `embed --out` with the vectors of the same lines, or None to compute them
    """
    direction = unit_vectors(embedder([query]))[0]
    embedder.say_cut()
    embedder.cut, embedder.count = 0, 0  # from here on of the file's lines
    best, count = [], 0
    with contextlib.ExitStack() as stack:
        blocks = stack.enter_context(_blocks(path, "similar"))
        rows = stack.enter_context(reading_rows(vectors, len(direction))) if vectors else None
        for texts in blocks:
            found = embedder(texts) if rows is None else rows.read(len(texts))
            if len(found) < len(texts):
                raise ValueError(f"{vectors}: found {rows.count:,} vectors, expected one for each line of {path}")
            if rows and not count:
                _check_same(embedder, texts, found, vectors)
            cosines = np.round(unit_vectors(found) @ direction.astype(found.dtype), _DIGITS)
            new = [Found(count + i + 1, float(cosines[i]), texts[i]) for i in range(len(texts)) if texts[i].strip()]
            best = sorted([*best, *new], key=lambda one: -one.cosine)[:top]  # a stable sort: the first of equal ones
            count += len(texts)
        if rows and rows.count != count:
            raise ValueError(
                f"{vectors}: found {rows.count:,} vectors, expected {count:,}, one for each line of {path}"
            )
    if not best:
        raise ValueError(f"{path}: found no text, expected one a line")
    if vectors:
        _check_found(embedder, best[:_CHECKED], direction, path, vectors)
    else:
        embedder.say_cut()
    return best


def format_similar(found):
    """The lines of `similar`, as text."""
    width = max(len(str(one.number)) for one in found)
    return "\n".join(f"{one.cosine:7.3f}  {one.number:{width}}  {shown(one.text)}" for one in found)
