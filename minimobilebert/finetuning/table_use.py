"""`evaluate` and `predict` for a model that was fine-tuned on a table of the reader's own (table_job.py).

predict    each row of a table, with two or more columns more:   prediction, p(class) for each class
evaluate   the rows that the run kept for scoring, or a labelled table: scores, confusion matrix, worst mistakes

A prediction is written in chunks beside the output file; after a kill the same command goes on behind the last whole
chunk, if model and table are still the same.
"""

import csv
import dataclasses
import hashlib
import io
import itertools
import json
import os
import pathlib
import time

import numpy as np

from ..inference.logits import classification_logits
from ..inference.model import NoSuchHead
from ..ops.softmax import softmax_forward
from ..support.files import path_of, sha256_of, write_json
from ..support.locks import held
from ..support.regular_files import MEBIBYTE, open_regular
from ..support.requirements import check_writable
from ..support.shapes import Integer
from ..support.structured_files import read_json
from ..support.tables import aligned
from ..support.terminal import progress_bar, say
from ..tasks.classification_batches import encode_texts
from ..tasks.table_files import column_of, open_table, rows_of
from ..training import fingerprints
from ..training.model_folder import load_model
from .glue_job import predict_rows
from .saved_model import run_settings
from .settings import TABLE, usual_settings
from .table_job import TableJob

CHUNK = 1024  # rows between two notes of how far a prediction is
PREDICTION = "prediction"
_STATE = {"inputs": str, "rows": Integer(0), "bytes": Integer(0), "sha256": str, "cut": Integer(0)}


def _model_of(folder, files):
    """A model folder and the files asked for -> SavedModel, TaskFiles with the run's columns, the run's settings"""
    saved, trained = load_model(folder), run_settings(folder)
    if saved.head != "classification":
        raise NoSuchHead(
            f"{folder}: found {saved.head or 'no'} head, expected one for classes: finetune --task {TABLE}"
        )
    for name in ("text", "text_b", "label", "regression"):
        if getattr(files, name) is None and trained.get("task") == TABLE:
            files = dataclasses.replace(files, **{name: trained[name]})
    if files.text is None:
        raise ValueError("--text: found no name, expected the column with the text")
    return saved, files, trained


def _settings(saved, trained, max_length):
    given = max_length if max_length or trained.get("task") != TABLE else trained["max_length"]
    seed = trained["seed"] if trained.get("task") == TABLE else None
    return usual_settings(TABLE, saved.config.max_position_embeddings, max_length=given, seed=seed)


def evaluate(*, model, files, max_length=None):
    """Score a model on a labelled table, or on what its run kept for scoring -> dict; see `format_evaluation`"""
    saved, files, trained = _model_of(model, files)
    settings, given = _settings(saved, trained, max_length), files.data
    if given is None:
        if trained.get("task") != TABLE:
            raise ValueError("--data: found none, expected a table with texts and labels")
        dev = trained["dev_file"] and path_of(trained["dev_file"])
        files = dataclasses.replace(files, data=path_of(trained["data"]), dev_file=dev, encoding=trained["encoding"])
    files.check(TABLE)
    names = [] if files.regression else saved.labels or [str(n) for n in range(saved.num_labels)]
    job = TableJob(settings, files, saved.tokenizer, all_for_scoring=names if given else None)
    logits = classification_logits(saved.params, saved.config)
    result = {"rows": len(job.dev.lengths), **job.evaluate(logits)["dev"]}
    if job.labels is None:
        return result
    shares, _ = softmax_forward(predict_rows(logits, job.dev))
    return result | _mistakes(shares, job.dev.labels, job.parts[1].firsts, job.labels)


def _mistakes(shares, labels, texts, classes):
    """Confusion matrix, precision, recall and F1 of each class, calibration, and the ten surest mistakes"""
    found = shares.argmax(axis=1)
    confusion = np.zeros((len(classes), len(classes)), int)
    np.add.at(confusion, (labels, found), 1)
    right, of_class, as_class = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    sure = shares.max(axis=1)
    bins = np.minimum((10 * sure).astype(int), 9)
    calibration = [
        {"rows": int((bins == b).sum()), "confidence": float(sure[bins == b].mean()),
         "accuracy": float((found == labels)[bins == b].mean())}
        for b in range(10) if (bins == b).any()
    ]  # fmt: skip
    wrong = np.flatnonzero(found != labels)
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:10]
    return {
        "classes": [
            {"name": name, "rows": int(of_class[c]), "precision": float(right[c] / max(as_class[c], 1)),
             "recall": float(right[c] / max(of_class[c], 1)),
             "f1": float(2 * right[c] / max(of_class[c] + as_class[c], 1))}
            for c, name in enumerate(classes)
        ],
        "confusion": confusion.tolist(),
        "calibration": calibration,
        "worst": [{"text": texts[i], "label": classes[labels[i]], "prediction": classes[found[i]],
                   "confidence": float(sure[i])} for i in worst],
    }  # fmt: skip


def format_evaluation(result):
    """What `evaluate` found as text: scores, a row a class, the confusion matrix of few classes, the worst mistakes."""
    lines = [f"{name}  {value:.4f}" if type(value) is float else f"{name}  {value:,}"
             for name, value in result.items() if type(value) in (float, int)]  # fmt: skip
    if "classes" not in result:
        return "\n".join(lines)
    rows = [["class", "rows", "precision", "recall", "F1"]]
    rows += [[c["name"], f"{c['rows']:,}", *(f"{c[name]:.3f}" for name in ("precision", "recall", "f1"))]
             for c in result["classes"]]  # fmt: skip
    lines += ["", *aligned(rows, ruled=True)]
    names = [c["name"] for c in result["classes"]]
    if len(names) <= 12:
        table = [["label \\ prediction", *names]]
        table += [[name, *map(str, counts)] for name, counts in zip(names, result["confusion"], strict=True)]
        lines += ["", *aligned(table, ruled=True)]
    rows = [["confidence", "rows", "right"]]
    rows += [[f"{c['confidence']:.3f}", f"{c['rows']:,}", f"{c['accuracy']:.3f}"] for c in result["calibration"]]
    lines += ["", *aligned(rows, ruled=True)]
    if result["worst"]:
        lines += ["", "mistakes that the model was surest of:"]
        for m in result["worst"]:
            lines.append(f"{m['confidence']:.3f}  {m['label']} -> {m['prediction']}  {m['text'][:100]!r}")
    return "\n".join(lines)


def _written(table, fields, added):
    """One row of the output as text; fields: those of the input"""
    if table.separator is None:
        return json.dumps({**dict(zip(table.columns, fields, strict=True)), **added}, ensure_ascii=False) + "\n"
    text = io.StringIO()
    csv.writer(text, delimiter=table.separator, lineterminator="\r\n").writerow([*fields, *added.values()])
    return text.getvalue()


def _start(table, names, mark):
    """What stands before the first row: the names of the columns"""
    if table.separator is None:
        return ""
    return ("\ufeff" if mark else "") + _written(table, table.columns, dict(zip(names, names, strict=True)))


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
        with self.file:
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


def predict(*, model, files, out, max_length=None):
    """Write the table `files.data` with predictions to the file `out` -> path"""
    out = pathlib.Path(out)
    if out.is_dir():
        raise ValueError(f"{out}: found a folder, expected the name of a file (--out)")
    check_writable(out.absolute().parent)
    saved, files, trained = _model_of(model, files)
    settings = _settings(saved, trained, max_length)
    table = open_table(files.data, files.encoding)
    indices = [column_of(table, name) for name in (files.text, files.text_b) if name]
    classes = None if files.regression else saved.labels or [str(n) for n in range(saved.num_labels)]
    names = [PREDICTION, *(f"p({name})" for name in classes or [])]
    for name in names:
        if name in table.columns:
            raise ValueError(f"{files.data}: found a column {name!r}, which would be written; expected another name")
    total = lacking = 0
    for row in rows_of(table):  # all of it, so that what is wrong shows before the work
        total += 1
        lacking += not all((row.fields[index] or "").strip() for index in indices)
    if pathlib.Path(files.data).resolve() == out.resolve():
        raise ValueError(f"--out: found {out}, the table itself, expected another file")
    inputs = fingerprints.of_texts([
        fingerprints.of_arrays(saved.params), saved.tokenizer.digest, sha256_of(files.data), names,
        [files.text, files.text_b, files.encoding, settings.max_length],
    ])  # fmt: skip
    logits = classification_logits(saved.params, saved.config)
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    busy = f"{out}: found {{who}} writing it, expected none; wait for it, or choose another file"
    first = _start(table, names, mark=table.encoding in ("utf-8-sig", "utf-16"))
    with (
        held(out.with_name(f".{out.name}.lock"), busy),
        _Output(out, inputs, first) as output,
        progress_bar("predict", total, output.rows, unit="row") as bar,
    ):
        since, before = time.perf_counter(), output.rows
        for chunk in _chunks(rows_of(table), output.rows):
            texts = [[(row.fields[index] or "").strip() for row in chunk] for index in indices]
            whole = [n for n in range(len(chunk)) if all(column[n] for column in texts)]
            found = _predictions(logits, saved, settings, [[column[n] for n in whole] for column in texts], classes)
            added = dict(zip(whole, found[0], strict=True))
            empty = dict.fromkeys(names, "" if table.separator else None)
            lines = [_written(table, row.fields, added.get(n, empty)) for n, row in enumerate(chunk)]
            output.add(lines, found[1])
            speed = (output.rows - before) / (time.perf_counter() - since)
            bar.update(f"{speed:,.0f} rows/s", steps=len(chunk))
    if lacking:
        say(f"note: {files.data}: {lacking:,} rows without a text have no prediction")
    if output.cut:
        say(f"note: {files.data}: {output.cut:,} texts cut to {settings.max_length} word pieces (--max-length)")
    return out


def _predictions(logits, saved, settings, texts, classes):
    """-> [{column: text}] for each text, number of texts that were cut; texts: one or two lists of str"""
    if not texts[0]:
        return [], 0
    encoded = encode_texts(saved.tokenizer, texts[0], texts[1] if len(texts) > 1 else None, None, settings.max_length)
    found = predict_rows(logits, encoded)
    if classes is None:
        return [{PREDICTION: f"{value:.6g}"} for value in found[:, 0]], encoded.cut
    shares, _ = softmax_forward(found)
    return [
        {PREDICTION: classes[int(row.argmax())],
         **{f"p({name})": f"{share:.6f}" for name, share in zip(classes, row, strict=True)}}
        for row in shares
    ], encoded.cut  # fmt: skip
