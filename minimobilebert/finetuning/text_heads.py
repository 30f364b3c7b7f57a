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
    encoding: dict  # further arguments of `encode_texts`
    longest: int  # the most pieces of a text, or of a pair in one sequence


def text_head(saved, sentence_vectors, pairs):
    """The head for a SavedModel. sentence_vectors: classify vectors, not sequences; pairs: a row has two texts"""
    if not sentence_vectors:
        positions = saved.config.max_position_embeddings
        return TextHead("classification", classification_step, regression_step, classification_logits, {}, positions)
    sentence = saved.sentence or SentenceSettings()
    reading = {"pooling": sentence.pooling, "pad_id": saved.tokenizer.pad_id}
    functions = vector_classification_step, vector_regression_step, vector_classification_logits
    functions = (functools.partial(function, **reading) for function in functions)
    encoding = {"apart": True, "prompt": sentence.prompt}
    return TextHead(VECTOR_HEADS[pairs], *functions, encoding, sentence.longest(saved.config))


def longest_for(saved, sentence_vectors):
    """The most pieces of a text, or of a pair in one sequence"""
    return text_head(saved, sentence_vectors, False).longest


def head_of_saved(saved):
    """The head that a fine-tuned SavedModel has"""
    return text_head(saved, saved.head in VECTOR_HEADS, saved.head == VECTOR_HEADS[1])
