"""A table of the reader's own as a `Job` (jobs.py): classes, or a number to predict."""

import functools
import pathlib

import numpy as np

from ..support.shapes import shown
from ..support.terminal import say
from ..tasks.class_scores import confusion_matrix, macro_f1
from ..tasks.classification_batches import encode_texts
from ..tasks.metrics import accuracy, pearson, spearman
from ..tasks.own_table import TableTexts, classes_of, describe_classes, read_texts, split
from ..text.table_files import open_table
from .details import class_details, regression_details
from .glue_job import predict_rows
from .text_heads import text_head


def part_of(texts, rows):
    """The TableTexts with these row indices."""
    pick = [None if column is None else [column[row] for row in rows] for column in texts]
    return TableTexts(*pick)


def check_named(files):
    """ValueError where TaskFiles name no table."""
    if not files.data:
        raise ValueError("--data: found none, expected a table (CSV, TSV or JSON lines), or --task with another task")


class TableJob:
    def __init__(self, settings, files, saved, all_for_scoring=None):
        """files: TaskFiles, whose `data` is the table; saved: the SavedModel that reads it

        all_for_scoring: a model's classes, to score it on all rows
        """
        check_named(files)
        if not (files.text and files.label):
            raise ValueError("--text, --label: found no name, expected the columns with the text and its label")
        self.all_for_scoring = all_for_scoring
        self.settings, self.files, self.tokenizer = settings, files, saved.tokenizer
        self.pairs = files.text_b is not None
        head = text_head(saved, settings.sentence_vectors, self.pairs)
        self.head, self.logits, self.encoding = head.name, head.logits, head.encoding
        self.step_function = head.regression_step if files.regression else head.classification_step

    @functools.cached_property
    def texts(self):
        """All rows of the table -> TableTexts"""
        return self._read(self.files.data)

    @functools.cached_property
    def labels(self):
        """The classes, or None"""
        if self.files.regression:
            return None
        return self.all_for_scoring or classes_of(self.texts.labels, f"{self.files.data}: column {self.files.label}")

    @property
    def num_labels(self):
        return 1 if self.labels is None else len(self.labels)

    def _read(self, path):
        files, table = self.files, open_table(path, self.files.encoding)
        return read_texts(table, files.text, files.text_b, files.label, files.regression)

    def paths(self):
        """The table, and the one for scoring if there is one -> list of paths"""
        return [pathlib.Path(path) for path in (self.files.data, self.files.dev_file) if path]

    @functools.cached_property
    def parts(self):
        """-> TableTexts for training and for scoring"""
        if self.all_for_scoring is not None:
            found = self.texts, self.texts
        elif self.files.dev_file:
            found = self.texts, self._read(self.files.dev_file)
        else:
            found = tuple(part_of(self.texts, rows) for rows in split(self.texts, self.settings.seed))
            say(f"{self.files.data}: {len(found[1].firsts):,} of {len(self.texts.firsts):,} rows are for scoring,"
                " chosen by the seed (--dev-file names a file instead)")  # fmt: skip
        unknown = sorted(set(found[1].labels) - set(self.labels)) if self.labels else []
        if unknown:
            path = self.files.dev_file or self.files.data
            known = ", ".join(map(shown, self.labels[:8])) + (", ..." if len(self.labels) > 8 else "")
            raise ValueError(f"{path}: found label {shown(unknown[0])}, expected one of {known}")
        if self.labels:
            describe_classes(self.texts.labels, self.labels, self.files.data)
        return found

    def encode(self, texts, name):
        """TableTexts -> LabelledTexts; truncated texts are reported"""
        labels = texts.labels
        if labels is not None and self.labels is not None:
            number = {label: index for index, label in enumerate(self.labels)}
            labels = np.array([number[label] for label in labels], np.int32)
        elif labels is not None:
            labels = np.array(labels, np.float32)
        longest = self.settings.max_length
        encoded = encode_texts(self.tokenizer, texts.firsts, texts.seconds, labels, longest, **self.encoding)
        if encoded.cut:
            say(f"note: {name}: {encoded.cut:,} of {len(texts.firsts):,} texts cut to {self.settings.max_length} word"
                " pieces (--max-length)")  # fmt: skip
        return encoded

    @functools.cached_property
    def examples(self):
        """The training rows -> LabelledTexts"""
        rows = self.settings.rows or len(self.parts[0].firsts)
        return self.encode(part_of(self.parts[0], range(min(rows, len(self.parts[0].firsts)))), "training")

    @functools.cached_property
    def dev(self):
        """The rows for scoring -> LabelledTexts"""
        return self.encode(self.parts[1], "scoring")

    def scores(self, found):
        """found [N, num_labels]: the logits of the rows for scoring -> accuracy and macro F1, or the correlations"""
        if self.labels is None:
            found, expected = found[:, 0], self.dev.labels
            return {"pearson": pearson(found, expected), "spearman": spearman(found, expected)}
        found = found.argmax(axis=1)
        confusion = confusion_matrix(found, self.dev.labels, self.num_labels)
        return {"accuracy": accuracy(found, self.dev.labels), "macro_f1": macro_f1(confusion)}

    def evaluate(self, logits):
        """-> {"dev": scores}"""
        return {"dev": self.scores(predict_rows(logits, self.dev))}

    def details(self, logits):
        """-> {"dev": scores, number of rows, what is right and wrong (details.py)}"""
        found, (firsts, seconds, _) = predict_rows(logits, self.dev), self.parts[1]
        result = {"scores": self.scores(found), "rows": len(found)}
        if self.labels is None:
            return {"dev": result | regression_details(found[:, 0], self.dev.labels, (firsts, seconds))}
        return {"dev": result | class_details(found, self.dev.labels, self.labels, (firsts, seconds))}

    def selection(self, scores):
        """Macro F1, which counts rare classes as much as frequent ones; or the mean correlation."""
        found = scores["dev"]
        return found["macro_f1"] if self.labels else (found["pearson"] + found["spearman"]) / 2
