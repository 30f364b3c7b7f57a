"""How GLUE scores answers.

    accuracy   right / N
    F1         2 TP / (2 TP + FP + FN)                                              positive class: 1
    Matthews   (TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN))      positive class: 1
    Pearson    sum (x - mean x) (y - mean y) / sqrt(sum (x - mean x)^2 sum (y - mean y)^2)
    Spearman   Pearson of the ranks; equal values share the mean of their ranks

All take predictions [N] and labels [N] and give a float from 0 (or -1) to 1. Where a formula says 0 / 0 the score is 0:
nobody answered at all, or every answer was the same, which tells nothing apart, like a guess. scikit-learn has the
same rule for Matthews and F1; SciPy's correlations of a constant are NaN, which no table could average.
"""

import math
from typing import NamedTuple

import numpy as np

from .glue import TASKS


def _pair(predictions, labels):
    """Both as arrays [N]. ValueError unless they are equally long rows of finite numbers."""
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.ndim != 1 or predictions.shape != labels.shape:
        raise ValueError(f"predictions: found shape {predictions.shape}, expected as many as labels {labels.shape}")
    for name, values in (("predictions", predictions), ("labels", labels)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: found {values[~np.isfinite(values)][0]}, expected finite numbers")
    return predictions, labels


def _counts(predictions, labels):
    """TP, FP, FN, TN as Python numbers, whose products cannot overflow."""
    predictions, labels = _pair(predictions, labels)
    p, t = predictions == 1, labels == 1
    return [int(np.count_nonzero(both)) for both in (p & t, p & ~t, ~p & t, ~p & ~t)]


def accuracy(predictions, labels):
    predictions, labels = _pair(predictions, labels)
    return float(np.mean(predictions == labels)) if len(labels) else 0.0


def f1(predictions, labels):
    tp, fp, fn, _ = _counts(predictions, labels)
    return 2 * tp / (2 * tp + fp + fn) if tp else 0.0


def matthews(predictions, labels):
    tp, fp, fn, tn = _counts(predictions, labels)
    square = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / math.sqrt(square) if square else 0.0


def _unit(x):
    """(x - mean x) / its length, [N] float64; None for a constant."""
    x = x.astype(np.float64)
    if len(x) == 0 or x.min() == x.max():  # asked first: x - mean of a constant is not exactly 0
        return None
    x = x - math.fsum(x) / len(x)
    x /= np.abs(x).max()  # so that no square underflows or overflows
    return x / math.sqrt(math.fsum(x * x))


def pearson(predictions, labels):
    x, y = (_unit(values) for values in _pair(predictions, labels))
    return 0.0 if x is None or y is None else min(max(math.fsum(x * y), -1.0), 1.0)  # rounding may pass 1


def _ranks(x):
    """1 for the smallest; equal values share the mean of their ranks -> [N] float64"""
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def spearman(predictions, labels):
    predictions, labels = _pair(predictions, labels)
    return pearson(_ranks(predictions), _ranks(labels))


METRICS = {"accuracy": accuracy, "f1": f1, "matthews": matthews, "pearson": pearson, "spearman": spearman}


def glue_scores(task, predictions, labels):
    """The scores GLUE reports for a task -> {name: float}, in the order of task.score_names.

    predictions, labels: class numbers [N]; for STS-B scores [N], as the model gives them.
    """
    return {name: METRICS[name](predictions, labels) for name in task.score_names}


class GlueAverage(NamedTuple):
    average: float  # over the tasks that are there
    missing: tuple  # names of the tasks, or "mnli dev_mismatched", that are not: the average is not GLUE's then


def glue_average(results):
    """GLUE's one number: the mean over tasks, where a task's score is the mean of all its scores -> GlueAverage

    results: {task name: {split: scores}}, scores as glue_scores gives them. MNLI's two splits are one task, so each
    counts half. GLUE's own table also has WNLI, as a ninth task; scores may be fractions or per cent.
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
