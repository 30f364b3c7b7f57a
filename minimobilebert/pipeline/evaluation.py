"""Scores on held-out documents, the same masked positions for every model."""

import math

import numpy as np

from ..model.classification import classification_forward
from ..model.pretraining import pretraining_forward
from ..ops.cross_entropy import cross_entropy_forward
from ..ops.logarithm import logarithm


def evaluate_pretraining(params, config, batches):
    """Masked-word loss (nats a word) and accuracy, next-sentence accuracy, over `batches`.

    -> {"mlm_loss", "mlm_accuracy", "nsp_accuracy"}
    """
    loss, right, words, pairs_right, pairs = 0.0, 0, 0, 0, 0
    for batch in batches:
        output, _ = pretraining_forward(params, config, batch)
        losses, _ = cross_entropy_forward(output.word_logits, batch.masked_labels)
        loss += math.fsum(losses)
        right += int((output.word_logits.argmax(axis=-1) == batch.masked_labels).sum())
        words += len(batch.masked_labels)
        pairs_right += int((output.next_sentence_logits.argmax(axis=-1) == batch.next_sentence_labels).sum())
        pairs += len(batch.next_sentence_labels)
    return {"mlm_loss": loss / words, "mlm_accuracy": right / words, "nsp_accuracy": pairs_right / pairs}


def unigram_loss(train_ids, vocab_size, batches):
    """The masked-word loss, in nats, of always predicting how often each piece occurs in the training text.

    train_ids: integer array of all training pieces. One is added to every count, so no piece is impossible.
    """
    counts = np.bincount(train_ids, minlength=vocab_size).astype(np.float64) + 1.0
    labels = np.concatenate([batch.masked_labels for batch in batches])
    return -math.fsum(logarithm(counts / counts.sum())[labels]) / len(labels)


def evaluate_classification(params, config, batches):
    """Share of right answers over `batches` of the downstream task."""
    right = total = 0
    for batch in batches:
        logits, _ = classification_forward(params, config, batch)
        right += int((logits.argmax(axis=-1) == batch.labels).sum())
        total += len(batch.labels)
    return right / total


def majority_share(labels):
    """Share of the most frequent label: what always giving the same answer would score. labels [N] integers"""
    return float(np.bincount(labels).max() / len(labels))
