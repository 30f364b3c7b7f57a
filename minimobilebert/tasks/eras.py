"""The era task, a downstream task on the shipped text: classify sentences of State of the Union addresses by era.

    class 0   before 1860
    class 1   1860 to 1929
    class 2   1930 and later

The year is in the file name, so the labels need no annotation. All sentences of one address are in the same split:
otherwise the model could recognise the address instead of the era. Development and test addresses are among those that
were held out of pre-training.
"""

import re
from typing import NamedTuple

import numpy as np

from ..text.length_batches import TrainingBatches
from .classification_batches import all_batches, encode_texts

ERAS = ("before 1860", "1860-1929", "1930 and later")
FIRST_YEARS = (1860, 1930)
MIN_WORDS = 5
_SPLIT_STREAM = 402
_ADDRESS = re.compile(r"(\d{4})_\w+\.txt")


class EraSplit(NamedTuple):
    train: list  # of Document: addresses in the pre-training text
    development: list  # held-out addresses for choosing settings
    test: list  # held-out addresses for the final score


class EraTask(NamedTuple):
    batches: TrainingBatches  # step -> ClassificationBatch of training sentences
    development: list  # of ClassificationBatch
    evaluation: list  # of ClassificationBatch, from the test addresses
    labels: tuple  # names of the classes
    num_labels: int  # 3
    num_training: int  # sentences
    num_development: int
    num_test: int
    majority_accuracy: float  # on the test sentences, of the most frequent class of the training set


def era_of(name):
    """The class of an address, from its file name "1862_abraham_lincoln_r.txt"; None for any other file."""
    match = _ADDRESS.fullmatch(name)
    return None if match is None else sum(int(match[1]) >= year for year in FIRST_YEARS)


def split_addresses(documents, held_out_names, seed):
    """Split the addresses among `documents` -> EraSplit; held-out ones are divided into development and test, by era.

    ValueError unless each era has at least one training address and two held-out addresses.
    """
    held_out_names = set(held_out_names)
    rng = np.random.default_rng([seed, _SPLIT_STREAM])
    train, development, test = [], [], []
    for era, era_name in enumerate(ERAS):
        addresses = sorted((d for d in documents if era_of(d.name) == era), key=lambda d: d.name)
        seen = [d for d in addresses if d.name not in held_out_names]
        held_out = [d for d in addresses if d.name in held_out_names]
        if not seen or len(held_out) < 2:
            raise ValueError(
                f"era {era_name!r}: found {len(seen)} addresses to train on and {len(held_out)} held out, "
                "expected at least 1 and 2: choose another held_out_fraction"
            )
        order = rng.permutation(len(held_out))
        half = len(held_out) // 2
        train += seen
        development += [held_out[i] for i in sorted(order[:half])]
        test += [held_out[i] for i in sorted(order[half:])]
    return EraSplit(train, development, test)


def passages(document, sentences_per_passage=1):
    """Runs of consecutive sentences with at least MIN_WORDS words -> list of str; the last run may be shorter"""
    sentences = document.sentences()
    runs = [
        " ".join(sentences[start : start + sentences_per_passage])
        for start in range(0, len(sentences), sentences_per_passage)
    ]
    return [run for run in runs if len(run.split()) >= MIN_WORDS]


def label_passages(documents, tokenizer, sequence_length, sentences_per_passage=1):
    """Addresses -> LabelledTexts. Classes are not balanced: eras with more and longer addresses have more sentences."""
    texts, labels = [], []
    for document in documents:
        found = passages(document, sentences_per_passage)
        texts += found
        labels += [era_of(document.name)] * len(found)
    return encode_texts(tokenizer, texts, None, labels, sequence_length)


def majority_accuracy(train, test):
    """train, test: LabelledTexts -> accuracy on `test` of the most frequent class of `train`"""
    most_frequent = np.bincount(train.labels, minlength=len(ERAS)).argmax()
    return float((test.labels == most_frequent).mean())


def make_era_task(documents, held_out_names, tokenizer, batch_size, sequence_length, seed, sentences_per_passage=1):
    """The era task for fine-tuning. documents: list of Document, of which the addresses are used -> EraTask

    held_out_names: names of the documents that are not in the pre-training text; sentences_per_passage: 2 or 3
    sentences make the task easier than 1.
    """
    train, development, test = (
        label_passages(part, tokenizer, sequence_length, sentences_per_passage)
        for part in split_addresses(documents, held_out_names, seed)
    )
    return EraTask(
        batches=TrainingBatches(train, batch_size, seed),
        development=all_batches(development, batch_size),
        evaluation=all_batches(test, batch_size),
        labels=ERAS,
        num_labels=len(ERAS),
        num_training=len(train.labels),
        num_development=len(development.labels),
        num_test=len(test.labels),
        majority_accuracy=majority_accuracy(train, test),
    )
