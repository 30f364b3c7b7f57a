"""GLUE: eight tasks, and a reader for their official files.

The table TASKS lists the columns, classes, scores and splits of each task. A class number is the index in `labels`. For
MNLI there are two conventions; we use that of the Hugging Face and TensorFlow data sets. (BERT's code has the order
contradiction, entailment, neutral.) WNLI is excluded, as in the paper (Table 4).

Properties of the files:
- The header names the columns. Only CoLA's train and dev files have no header.
- MRPC's files start with a byte-order mark. Its test file may have labels, which we ignore.
- Test files have ids in the column `index` (QQP: `id`). A submission must repeat them.
- The older QQP.zip has a few malformed lines in train and dev. Like other readers we skip them, and report their number
  on stderr. If more than 1 % of the lines are malformed, the file is not this one, and we raise an error.
"""

import math
import pathlib
from typing import NamedTuple

import numpy as np

from ..support.columns import find_column
from ..support.numbers import parsed
from ..support.shapes import shown
from ..support.terminal import say
from .tsv import read_rows

_COLA_COLUMNS = ["source", "label", "mark", "sentence"]
_MATCHED = ("dev_matched", "dev_mismatched"), ("test_matched", "test_mismatched")


class GlueTask(NamedTuple):
    name: str  # on the command line: "sst2"
    folder: str  # in GLUE's data: "SST-2"
    texts: tuple  # names of one or two text columns
    label_column: str
    labels: tuple | None  # the labels in the file, in the order of the class numbers; None: a score from 0 to 5
    score_names: tuple  # GLUE's metrics for this task, see metrics.py
    dev_splits: tuple = ("dev",)
    test_splits: tuple = ("test",)
    id_column: str = "index"

    @property
    def splits(self):
        return ("train", *self.dev_splits, *self.test_splits)

    def selection(self, scores):
        """The score that selects the best checkpoint: the mean of the task's scores -> float"""
        return math.fsum(scores[name] for name in self.score_names) / len(self.score_names)


_BINARY, _ENTAILMENT = ("0", "1"), ("entailment", "not_entailment")
_PAIR = ("sentence1", "sentence2")
TASKS = {
    task.name: task
    for task in (
        GlueTask("cola", "CoLA", ("sentence",), "label", _BINARY, ("matthews",)),
        GlueTask("sst2", "SST-2", ("sentence",), "label", _BINARY, ("accuracy",)),
        GlueTask("mrpc", "MRPC", ("#1 String", "#2 String"), "Quality", _BINARY, ("f1", "accuracy")),
        GlueTask("stsb", "STS-B", _PAIR, "score", None, ("pearson", "spearman")),
        GlueTask("qqp", "QQP", ("question1", "question2"), "is_duplicate", _BINARY, ("f1", "accuracy"), id_column="id"),
        GlueTask("mnli", "MNLI", _PAIR, "gold_label", ("entailment", "neutral", "contradiction"), ("accuracy",),
                 *_MATCHED),
        GlueTask("qnli", "QNLI", ("question", "sentence"), "label", _ENTAILMENT, ("accuracy",)),
        GlueTask("rte", "RTE", _PAIR, "label", _ENTAILMENT, ("accuracy",)),
    )
}  # fmt: skip


class GlueExamples(NamedTuple):
    ids: list  # of str, the ids of a test file; row numbers from 0 if it has none
    firsts: list  # of str
    seconds: list | None  # of str; None for tasks with one text
    labels: np.ndarray | None  # [N] int32 class numbers, [N] float32 scores for STS-B; None for test files


def glue_task(name):
    """The task with this name -> GlueTask. ValueError for an unknown name."""
    if name not in TASKS:
        raise ValueError(f"task: found {name!r}, expected one of {', '.join(TASKS)}")
    return TASKS[name]


def _folder_of(task, data):
    """The task's folder, which is in `data` or is `data` itself -> path, which may not exist"""
    folder = pathlib.Path(data) / task.folder
    if not folder.is_dir() and any((pathlib.Path(data) / f"{other}.tsv").is_file() for other in task.splits):
        return pathlib.Path(data)
    return folder


def has_split(task, data, split):
    """True if the file of this split exists."""
    return (_folder_of(task, data) / f"{split}.tsv").is_file()


def dev_splits_of(task, data):
    """The dev splits that exist; if none does, the first one, so that reading it raises the error"""
    return [split for split in task.dev_splits if has_split(task, data, split)] or list(task.dev_splits[:1])


def split_path(task, data, split):
    """The file of a split -> path. ValueError with the download command if it is missing."""
    if split not in task.splits:
        raise ValueError(f"{task.name}: found split {split!r}, expected one of {', '.join(task.splits)}")
    folder = _folder_of(task, data)
    path = folder / f"{split}.tsv"
    if path.is_file():
        return path
    if folder.is_dir():
        raise ValueError(f"{path}: found no file, expected the split {split} of {task.name}")
    raise ValueError(
        f"{path}: found no folder {task.folder} in {data}, expected GLUE's"
        f" (python -m minimobilebert download glue --to {data} --only {task.name})"
    )


def _label(text, task, location):
    if task.labels is None:
        try:
            score = parsed(text, float)
        except ValueError:
            score = -1.0
        if not 0.0 <= score <= 5.0:  # also refuses NaN
            raise ValueError(f"{location}: found score {shown(text)}, expected a number from 0 to 5")
        return score
    if text not in task.labels:
        raise ValueError(f"{location}: found label {shown(text)}, expected {' or '.join(task.labels)}")
    return task.labels.index(text)


def _columns_and_rows(task, path):
    """Column names and rows of a file; CoLA's files without a header get _COLA_COLUMNS."""
    rows = read_rows(path)
    header = next(rows, None)
    if header is None:
        raise ValueError(f"{path}: found an empty file, expected tab-separated lines")
    if task.name == "cola" and task.texts[0] not in header.fields:
        return _COLA_COLUMNS, read_rows(path)
    return header.fields, rows


def read_split(task, data, split):
    """One split of a task -> GlueExamples

    data: the folder with the folders of all tasks, or the task's folder itself. ValueError with the file and the line
    for malformed content.
    """
    path = split_path(task, data, split)
    is_test = split in task.test_splits
    columns, rows = _columns_and_rows(task, path)
    text_indices = [find_column(path, columns, name) for name in task.texts]
    id_index = find_column(path, columns, task.id_column) if is_test and task.id_column in columns else None
    label_index = None if is_test else find_column(path, columns, task.label_column)
    if is_test and task.label_column in columns and task.name != "mrpc":
        raise ValueError(f"{path}: line 1: found the label column {task.label_column!r}, expected a test file without")

    texts, ids, labels, skipped = [[] for _ in text_indices], {}, [], []
    for line, fields in rows:
        if len(fields) != len(columns):
            skipped.append(f"{path}: line {line}: found {len(fields)} fields, expected {len(columns)} (tab-separated)")
            if task.name != "qqp" or is_test:
                raise ValueError(skipped[0])
            continue
        for column, index in zip(texts, text_indices, strict=True):
            column.append(fields[index])
        if label_index is not None:
            labels.append(_label(fields[label_index], task, f"{path}: line {line}"))
        if id_index is not None and ids.setdefault(fields[id_index], line) != line:
            earlier = ids[fields[id_index]]
            raise ValueError(
                f"{path}: line {line}: found id {shown(fields[id_index])} of line {earlier}, expected a new one"
            )
    number = len(texts[0])
    if number == 0 and not skipped:
        raise ValueError(f"{path}: found a header and no rows, expected examples")
    if len(skipped) * 100 > number:
        raise ValueError(skipped[0])
    if skipped:
        say(f"{skipped[0]}; left out {len(skipped)} such {'line' if len(skipped) == 1 else 'lines'}")
    return GlueExamples(
        list(ids) if id_index is not None else list(range(number)),
        texts[0],
        texts[1] if len(texts) == 2 else None,
        None if is_test else np.array(labels, np.float32 if task.labels is None else np.int32),
    )
