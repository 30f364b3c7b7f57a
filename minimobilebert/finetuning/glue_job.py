"""A GLUE task as a `Job` (jobs.py): classification, or regression for STS-B."""

import functools

import numpy as np

from ..inference.logits import finite
from ..support.terminal import say
from ..tasks.classification_batches import encode_texts
from ..tasks.glue import dev_splits_of, glue_task, read_split, split_path
from ..tasks.metrics import glue_scores
from ..text.length_batches import sorted_batches
from .details import class_details, regression_details
from .text_heads import text_head

_EVALUATION_BATCH = 64


def predict_rows(logits, texts, batch_size=_EVALUATION_BATCH):
    """The logits of all texts in order, computed in batches by length -> [N, num_labels]"""
    answers = None
    for rows in sorted_batches(texts.lengths, batch_size):
        found = finite(logits(texts.batch(rows)), "logits")
        if answers is None:
            answers = np.empty((len(texts.lengths), found.shape[1]), found.dtype)
        answers[rows] = found
    return answers


class GlueJob:
    def __init__(self, settings, data, saved):
        """data: the folder with the folders of the GLUE tasks; saved: the SavedModel that reads them"""
        self.task, self.settings, self.data, self.tokenizer = glue_task(settings.task), settings, data, saved.tokenizer
        self.labels = None if self.task.labels is None else list(self.task.labels)
        self.num_labels = 1 if self.labels is None else len(self.labels)
        self.pairs = len(self.task.texts) == 2
        head = text_head(saved, settings.sentence_vectors, self.pairs)
        self.head, self.logits, self.encoding = head.name, head.logits, head.encoding
        self.step_function = head.regression_step if self.labels is None else head.classification_step

    def paths(self):
        """The files of the training and dev splits -> list of paths"""
        splits = ["train", *dev_splits_of(self.task, self.data)]
        return [split_path(self.task, self.data, split) for split in splits]

    def encode(self, split, rows=None):
        """The first `rows` rows of a split (None: all) -> GlueExamples, LabelledTexts; truncated texts are reported"""
        examples = read_split(self.task, self.data, split)
        firsts, seconds, labels = (
            None if column is None else column[:rows] for column in (examples.firsts, examples.seconds, examples.labels)
        )
        texts = encode_texts(self.tokenizer, firsts, seconds, labels, self.settings.max_length, **self.encoding)
        if texts.cut:
            say(f"note: {self.task.name} {split}: {texts.cut} of {len(firsts)} inputs cut to"
                f" {self.settings.max_length} word pieces (--max-length)")  # fmt: skip
        return examples, texts

    @functools.cached_property
    def examples(self):
        """The training rows -> LabelledTexts"""
        return self.encode("train", self.settings.rows)[1]

    @functools.cached_property
    def dev(self):
        """{existing dev split: LabelledTexts}; ValueError if there is none"""
        return {split: self.encode(split)[1] for split in dev_splits_of(self.task, self.data)}

    def answers(self, logits, texts):
        """The predictions for glue_scores -> class numbers [N], or scores [N] for a regression task"""
        found = predict_rows(logits, texts)
        return found[:, 0] if self.labels is None else found.argmax(axis=1)

    def evaluate(self, logits):
        """-> {dev split: GLUE's metrics}"""
        return {split: glue_scores(self.task, self.answers(logits, texts), texts.labels)
                for split, texts in self.dev.items()}  # fmt: skip

    def details(self, logits):
        """-> {dev split: scores, number of rows, what is right and wrong (details.py)}"""
        details = {}
        for split, texts in self.dev.items():
            found, examples = predict_rows(logits, texts), read_split(self.task, self.data, split)
            answers = found[:, 0] if self.labels is None else found.argmax(axis=1)
            result = {"scores": glue_scores(self.task, answers, texts.labels), "rows": len(found)}
            pairs = examples.firsts, examples.seconds
            if self.labels is None:
                details[split] = result | regression_details(answers, texts.labels, pairs)
            else:
                details[split] = result | class_details(found, texts.labels, self.labels, pairs)
        return details

    def selection(self, scores):
        """The mean of the task's scores over the dev splits."""
        return float(np.mean([self.task.selection(found) for found in scores.values()]))
