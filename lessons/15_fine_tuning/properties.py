"""What lesson 15's functions must do."""

import numpy as np

from minimobilebert.course.shared.properties import prop
from minimobilebert.course.shared.trial import reference


def answers(rng, count, share=0.3, right=0.7):
    """Labels of which `share` are 1, and answers of which about `right` are right"""
    labels = (rng.random(count) < share).astype(np.int64)
    return np.where(rng.random(count) < right, labels, 1 - labels), labels


def compare(t, predictions, labels):
    right = t.expected(lambda: reference(t.task.function)(predictions, labels))
    t.same("score", float(t.call(predictions, labels)), right)


def both(name):
    """A property of both tasks: -> decorator"""

    def decorate(function):
        for task in ("15.1", "15.2"):
            prop(task, name=name, weight=4 if name == "values" else 2, essential=name == "values")(function)
        return function

    return decorate


@both("values")
def values(t):
    """the score of random answers, with few and with many positives"""
    for share, right in ((0.3, 0.7), (0.8, 0.6), (0.1, 0.9), (0.5, 0.2)):
        compare(t, *answers(t.rng, 60, share, right))


@both("nothing_to_divide_by")
def nothing_to_divide_by(t):
    """0 where the formula says 0 / 0: nobody answered 1, nothing is 1, all are 1, no answer at all"""
    zeros, ones, some = np.zeros(6, np.int64), np.ones(6, np.int64), np.array([0, 1, 1, 0, 1, 0])
    for predictions, labels in ((zeros, some), (some, zeros), (zeros, zeros), (ones, some), (some, ones), (ones, ones),
                                (zeros[:0], zeros[:0])):  # fmt: skip
        compare(t, predictions, labels)


@both("extremes")
def extremes(t):
    """all right, all wrong, all but one right"""
    labels = np.array([0, 1, 1, 0, 1, 0, 0])
    for predictions in (labels, 1 - labels, np.array([0, 1, 1, 0, 0, 0, 0]), np.array([0, 1, 1, 0, 1, 0, 1])):
        compare(t, predictions, labels)


@both("other_classes")
def other_classes(t):
    """1 is the positive class, whatever the numbers of the other classes are"""
    labels = t.rng.permutation(np.arange(60) % 4)
    predictions = np.where(t.rng.random(60) < 0.6, labels, t.rng.integers(0, 4, 60))
    compare(t, predictions, labels)
    with t.case("classes -1 and 1"):
        compare(t, np.where(predictions == 1, 1, -1), np.where(labels == 1, 1, -1))


@both("many")
def many(t):
    """400,000 answers, more than QQP has: does a product of counts fit into 64 bits?"""
    compare(t, *answers(t.rng, 400_000, 0.4, 0.8))
