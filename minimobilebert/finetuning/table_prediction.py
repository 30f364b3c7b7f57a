"""`predict` for a model that was fine-tuned on a table of the reader's own (table_job.py).

    id,review                id,review,prediction,p(bad),p(good)
    1,dull          ->       1,dull,bad,0.913042,0.086958

The output is written in chunks, in a file beside it; after a kill the same command goes on behind the last whole chunk,
if model and table are still the same.
"""

import contextlib
import csv
import dataclasses
import hashlib
import io
import itertools
import json
import os
import pathlib
import re
import time

from ..model.quantization import as_arrays
from ..ops.softmax import softmax_forward
from ..support.columns import find_column
from ..support.files import check_replaceable, sha256_of, write_json
from ..support.locks import held
from ..support.regular_files import MEBIBYTE, open_regular
from ..support.requirements import check_writable
from ..support.shapes import Integer
from ..support.structured_files import read_json
from ..support.terminal import progress_bar, say
from ..tasks.classification_batches import encode_texts
from ..text.table_files import JSON_LINES, open_table, rows_of, text_of
from ..training import fingerprints
from .glue_job import predict_rows
from .saved_model import load_for_table
from .table_job import check_named
from .text_heads import head_of_saved

CHUNK = 1024  # rows between two notes of how far a prediction is
PREDICTION = "prediction"
_STATE = {"inputs": str, "rows": Integer(0), "bytes": Integer(0), "sha256": str, "cut": Integer(0)}


def _written(table, fields, added):
    """One row of the output as text; fields: those of the input"""
    if table.separator is None:
        return json.dumps({**dict(zip(table.columns, fields, strict=True)), **added}, ensure_ascii=False) + "\n"
    if not table.quoted:
        return "\t".join([*fields, *(re.sub(r"\s", " ", value) for value in added.values())]) + "\r\n"
    text = io.StringIO()
    csv.writer(text, delimiter=table.separator, lineterminator="\r\n").writerow([*fields, *added.values()])
    return text.getvalue()


def _start(table, names, mark):
    """The text before the first row: the names of the columns"""
    if table.separator is None:
        return ""
    return ("\ufeff" if mark else "") + _written(table, table.columns, dict(zip(names, names, strict=True)))


@contextlib.contextmanager
def _writing(out):
    """An OSError inside, such as that of a full disk, names no file; here it gets the name `out`."""
    try:
        yield
    except OSError as error:
        what = "the same command goes on from here"
        raise OSError(error.errno, f"cannot write ({error.strerror}); {what}", str(out)) from None


class _Output:
    """The unfinished output file and the note how far it is."""

    def __init__(self, out, inputs, start):
        """inputs: a fingerprint of all that the rows depend on; start: the text before the first row"""
        self.out = pathlib.Path(out)
        self.path = self.out.with_name(f".{self.out.name}.unfinished")
        self.note = self.path.with_name(f"{self.path.name}.json")
        self.inputs, self.rows, self.cut = inputs, 0, 0
        found = read_json(self.note, _STATE) if self.note.exists() and self.path.exists() else None
        self.digest = hashlib.sha256()
        if found and found["inputs"] == inputs and self._is_sound(found):
            self.rows, self.cut = found["rows"], found["cut"]
            self.file = open(self.path, "r+b")
            self.file.truncate(found["bytes"])
            self.file.seek(0, os.SEEK_END)
            say(f"{self.out}: going on behind row {self.rows:,}")
        else:
            self.digest = hashlib.sha256()
            self.file = open(self.path, "wb")
            self._write(start)

    def _is_sound(self, found):
        """Whether the first `bytes` of the unfinished file are those that were written"""
        with open_regular(self.path) as file:
            left = found["bytes"]
            while left and (part := file.read(min(left, MEBIBYTE))):
                self.digest.update(part)
                left -= len(part)
        return left == 0 and self.digest.hexdigest() == found["sha256"]

    def _write(self, text):
        content = text.encode()
        self.digest.update(content)
        self.file.write(content)

    def add(self, lines, cut):
        """Append whole rows, of which `cut` texts were truncated, and note on disk that they are there"""
        with _writing(self.out):
            self._write("".join(lines))
            self.file.flush()
            os.fsync(self.file.fileno())
        self.rows, self.cut = self.rows + len(lines), self.cut + cut
        write_json(self.note, {
            "inputs": self.inputs, "rows": self.rows, "bytes": self.file.tell(), "sha256": self.digest.hexdigest(),
            "cut": self.cut,
        })  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        """Close the file; after whole work, give it its name"""
        with _writing(self.out), self.file:
            self.file.flush()
            os.fsync(self.file.fileno())
        if kind:
            return
        os.replace(self.path, self.out)
        self.note.unlink(missing_ok=True)


def _chunks(rows, skipped):
    """Lists of CHUNK rows, behind the first `skipped`"""
    rows = itertools.islice(rows, skipped, None)
    while chunk := list(itertools.islice(rows, CHUNK)):
        yield chunk


class _Predictor:
    """Texts -> what is added to their rows."""

    def __init__(self, saved, settings, classes):
        """classes: list of str, or None for a model that predicts a number"""
        self.saved, self.settings, self.classes = saved, settings, classes
        head = head_of_saved(saved)
        self.logits, self.encoding = head.logits(saved.params, saved.config), head.encoding
        self.columns = [PREDICTION, *(f"p({name})" for name in classes or [])]

    def __call__(self, texts):
        """texts: one or two lists of str -> [{column: text}], number of texts that were cut"""
        if not texts[0]:
            return [], 0
        firsts, seconds = texts if len(texts) > 1 else (texts[0], None)
        encoded = encode_texts(self.saved.tokenizer, firsts, seconds, None, self.settings.max_length, **self.encoding)
        found = predict_rows(self.logits, encoded)
        if self.classes is None:
            return [{PREDICTION: f"{value:.6g}"} for value in found[:, 0]], encoded.cut
        shares, _ = softmax_forward(found)
        values = [[self.classes[int(row.argmax())], *(f"{share:.6f}" for share in row)] for row in shares]
        return [dict(zip(self.columns, each, strict=True)) for each in values], encoded.cut


def _checked(table, indices, columns):
    """Read all of a table, so that what is wrong shows before the work -> its rows, those without a text"""
    for name in columns:
        if name in table.columns:
            raise ValueError(f"{table.path}: found a column {name!r}, which would be written; expected another name")
    total = lacking = 0
    for row in rows_of(table):
        total += 1
        lacking += not all(text_of(row.fields[index]) for index in indices)
    return total, lacking


def _check_name(out, table):
    """ValueError for an output whose name promises another format than that of the table."""
    if out.name.lower().endswith(".gz"):
        raise ValueError(f"--out: found {out}, expected a name without .gz: the output is not compressed")
    json_lines, as_json = out.name.lower().endswith(JSON_LINES), table.separator is None
    if json_lines != as_json and (json_lines or out.suffix.lower() in (".csv", ".tsv")):
        found = "JSON lines" if as_json else "CSV or TSV"
        raise ValueError(f"--out: found {out} for a table of {found}, expected an ending of this format, which stays")


def predict(*, model, files, out, **changes):
    """Write the table `files.data` with predictions to the file `out` -> path

    changes: fields of FineTuningSettings; None is the value of the run
    """
    out = pathlib.Path(out)
    check_replaceable(out)
    check_writable(out.absolute().parent)
    saved, files, settings, _ = load_for_table(model, files, changes)
    check_named(files)
    table = open_table(files.data, files.encoding)
    _check_name(out, table)
    if table.path.resolve() == out.resolve():
        raise ValueError(f"--out: found {out}, the table itself, expected another file")
    indices = [find_column(table.path, table.columns, name) for name in (files.text, files.text_b) if name]
    classes = None if files.regression else saved.labels or [str(n) for n in range(saved.num_labels)]
    for name in classes or []:
        if classes.count(name) > 1:
            raise ValueError(f"{model}: found two classes with the name {name!r}, expected names that differ: each gets"
                             " a column")  # fmt: skip
    predictor = _Predictor(saved, settings, classes)
    total, lacking = _checked(table, indices, predictor.columns)
    inputs = fingerprints.of_texts([
        fingerprints.of_arrays(as_arrays(saved.params)), saved.tokenizer.digest, sha256_of(table.path),
        predictor.columns, [files.text, files.text_b, table.encoding, settings.max_length],
        dataclasses.asdict(saved.config), saved.sentence and dataclasses.asdict(saved.sentence),
    ])  # fmt: skip
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    busy = f"{out}: found {{who}} writing it, expected none; wait for it, or choose another file"
    start = _start(table, predictor.columns, mark=table.encoding in ("utf-8-sig", "utf-16"))
    with (
        held(out.with_name(f".{out.name}.lock"), busy),
        _Output(out, inputs, start) as output,
        progress_bar("predict", total, output.rows, unit="row") as bar,
    ):
        since, before = time.perf_counter(), output.rows
        empty = dict.fromkeys(predictor.columns, "" if table.separator else None)
        for chunk in _chunks(rows_of(table), output.rows):
            texts = [[text_of(row.fields[index]) for row in chunk] for index in indices]
            whole = [n for n in range(len(chunk)) if all(column[n] for column in texts)]
            found, cut = predictor([[column[n] for n in whole] for column in texts])
            added = dict(zip(whole, found, strict=True))
            output.add([_written(table, row.fields, added.get(n, empty)) for n, row in enumerate(chunk)], cut)
            speed = (output.rows - before) / (time.perf_counter() - since)
            bar.update(f"{speed:,.0f} rows/s", steps=len(chunk))
    if lacking:
        say(f"note: {table.path}: rows without a text, which have no prediction: {lacking:,}")
    if output.cut:
        say(f"note: {table.path}: texts cut to {settings.max_length} word pieces (--max-length): {output.cut:,}")
    return out
