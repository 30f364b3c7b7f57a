"""What fine-tuning puts on an encoder of texts with labels: a classifier of sequences or of sentence vectors."""

import functools
from collections.abc import Callable
from typing import NamedTuple

from ..inference.logits import classification_logits, vector_classification_logits
from ..model.classification import classification_step, regression_step
from ..model.parameters import VECTOR_HEADS
from ..model.sentence_settings import SentenceSettings
from ..model.vector_classification import vector_classification_step, vector_regression_step


class TextHead(NamedTuple):
    name: str  # one of model.parameters.HEADS
    classification_step: Callable
    regression_step: Callable
    logits: Callable  # function (params, config) -> function: batch -> logits [B, num_labels]


def text_head(saved, sentence_vectors, pairs):
    """The head for a SavedModel. sentence_vectors: classify vectors, not sequences; pairs: a row has two texts"""
    if not sentence_vectors:
        return TextHead("classification", classification_step, regression_step, classification_logits)
    reading = {"pooling": (saved.sentence or SentenceSettings()).pooling, "pad_id": saved.tokenizer.pad_id}
    steps = (functools.partial(step, **reading) for step in (vector_classification_step, vector_regression_step))
    return TextHead(VECTOR_HEADS[pairs], *steps, functools.partial(vector_classification_logits, **reading))


def head_of_saved(saved):
    """The head that a fine-tuned SavedModel has"""
    return text_head(saved, saved.head in VECTOR_HEADS, saved.head == VECTOR_HEADS[1])
