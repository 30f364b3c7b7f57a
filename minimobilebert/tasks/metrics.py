"""GLUE's metrics.

    accuracy   correct / N
    F1         2 TP / (2 TP + FP + FN)                                              positive class: 1
    Matthews   (TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN))      positive class: 1
    Pearson    sum (x - mean x) (y - mean y) / sqrt(sum (x - mean x)^2 sum (y - mean y)^2)
    Spearman   Pearson of the ranks; equal values share the mean of their ranks

All take predictions [N] and labels [N] and return a float from 0 (correlations: from -1) to 1. If the denominator is 0,
for example because all predictions are equal, the score is 0. scikit-learn has the same rule for Matthews and F1.
SciPy's correlations of a constant are NaN, which would make an average NaN.
"""

import math
from typing import NamedTuple

import numpy as np

from .glue import TASKS


def pair_of(predictions, labels):
    """Both as arrays [N]. ValueError unless they have the same length and finite numbers."""
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.ndim != 1 or predictions.shape != labels.shape:
        raise ValueError(f"predictions: found shape {predictions.shape}, expected as many as labels {labels.shape}")
    for name, values in (("predictions", predictions), ("labels", labels)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: found {values[~np.isfinite(values)][0]}, expected finite numbers")
    return predictions, labels


def _counts(predictions, labels):
    """TP, FP, FN, TN as Python integers, so that their products cannot overflow."""
    predictions, labels = pair_of(predictions, labels)
    p, t = predictions == 1, labels == 1
    return [int(np.count_nonzero(both)) for both in (p & t, p & ~t, ~p & t, ~p & ~t)]


def accuracy(predictions, labels):
    predictions, labels = pair_of(predictions, labels)
    return float(np.mean(predictions == labels)) if len(labels) else 0.0


def f1(predictions, labels):
    tp, fp, fn, _ = _counts(predictions, labels)
    return 2 * tp / (2 * tp + fp + fn) if tp else 0.0


def matthews(predictions, labels):
    tp, fp, fn, tn = _counts(predictions, labels)
    square = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / math.sqrt(square) if square else 0.0


def _unit(x):
    """(x - mean x) / |x - mean x|, [N] float64; None for a constant."""
    x = x.astype(np.float64)
    if len(x) == 0 or x.min() == x.max():  # for a constant, x - mean may differ from 0 by rounding
        return None
    x = x - math.fsum(x) / len(x)
    x /= np.abs(x).max()  # prevents overflow and underflow of the squares
    return x / math.sqrt(math.fsum(x * x))


def pearson(predictions, labels):
    x, y = (_unit(values) for values in pair_of(predictions, labels))
    return 0.0 if x is None or y is None else min(max(math.fsum(x * y), -1.0), 1.0)  # rounding may exceed 1


def _ranks(x):
    """1 for the smallest; equal values share the mean of their ranks -> [N] float64"""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def spearman(predictions, labels):
    predictions, labels = pair_of(predictions, labels)
    return pearson(_ranks(predictions), _ranks(labels))


METRICS = {"accuracy": accuracy, "f1": f1, "matthews": matthews, "pearson": pearson, "spearman": spearman}


def glue_scores(task, predictions, labels):
    """GLUE's metrics for a task -> {name: float}, in the order of task.score_names

    predictions, labels: class numbers [N]; for STS-B scores [N], not clipped
    """
    return {name: METRICS[name](predictions, labels) for name in task.score_names}


class GlueAverage(NamedTuple):
    average: float  # over the tasks with results
    missing: tuple  # names of tasks without results, or "mnli dev_mismatched"; if any, it is not GLUE's average


def glue_average(results):
    """GLUE's average: the mean over tasks of the mean of a task's scores -> GlueAverage

    results: {task name: {split: scores}}, with the scores of glue_scores, as fractions or in percent. MNLI's two splits
    are one task, so each counts half. GLUE's leaderboard also includes WNLI, as a ninth task.
    """
    if not results:
        raise ValueError(f"results: found no task, expected some of {', '.join(TASKS)}")
    for name in results:
        if name not in TASKS:
            raise ValueError(f"results: found task {name!r}, expected some of {', '.join(TASKS)}")
    means, missing = [], []
    for name, task in TASKS.items():
        splits = results.get(name, {})
        if not splits:
            missing.append(name)
            continue
        if len(splits) < len(task.dev_splits):
            missing += [f"{name} {split}" for split in task.dev_splits if split not in splits]
        means.append(math.fsum(task.selection(scores) for scores in splits.values()) / len(splits))
    return GlueAverage(math.fsum(means) / len(means), tuple(missing))
