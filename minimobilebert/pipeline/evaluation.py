"""Scores on held-out documents. All models are evaluated at the same masked positions."""

import math

import numpy as np

from ..model.classification import classification_forward
from ..model.pretraining import pretraining_forward
from ..ops.cross_entropy import cross_entropy_forward
from ..ops.logarithm import logarithm


def evaluate_pretraining(params, config, batches):
    """Masked-word loss (nats per word) and accuracy, and next-sentence accuracy, over `batches`.

    -> {"mlm_loss", "mlm_accuracy", "nsp_accuracy"}
    """
    loss, words_correct, words, pairs_correct, pairs = 0.0, 0, 0, 0, 0
    for batch in batches:
        output, _ = pretraining_forward(params, config, batch)
        losses, _ = cross_entropy_forward(output.word_logits, batch.masked_labels)
        loss += math.fsum(losses)
        words_correct += int((output.word_logits.argmax(axis=-1) == batch.masked_labels).sum())
        words += len(batch.masked_labels)
        pairs_correct += int((output.next_sentence_logits.argmax(axis=-1) == batch.next_sentence_labels).sum())
        pairs += len(batch.next_sentence_labels)
    return {"mlm_loss": loss / words, "mlm_accuracy": words_correct / words, "nsp_accuracy": pairs_correct / pairs}


def unigram_loss(train_ids, vocab_size, batches):
    """The masked-word loss, in nats, of a unigram model: it predicts each piece's frequency in the training text.

    train_ids: integer array of all training pieces. Add-one smoothing gives each piece a probability above 0.
    """
    counts = np.bincount(train_ids, minlength=vocab_size).astype(np.float64) + 1.0
    labels = np.concatenate([batch.masked_labels for batch in batches])
    return -math.fsum(logarithm(counts / counts.sum())[labels]) / len(labels)


def evaluate_classification(params, config, batches):
    """Accuracy over `batches` of the downstream task."""
    correct = total = 0
    for batch in batches:
        logits, _ = classification_forward(params, config, batch)
        correct += int((logits.argmax(axis=-1) == batch.labels).sum())
        total += len(batch.labels)
    return correct / total


def majority_share(labels):
    """Share of the most frequent label: the accuracy of the majority class. labels [N] integers"""
    return float(np.bincount(labels).max() / len(labels))
