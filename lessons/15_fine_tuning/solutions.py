"""Lesson 15 as a student would write it; never part of a student edition. Mutants are made from these."""

import numpy as np


def f1(predictions, labels):
    says, true = np.asarray(predictions) == 1, np.asarray(labels) == 1
    hits = int((says & true).sum())
    answered, there = int(says.sum()), int(true.sum())
    if hits == 0:
        return 0.0
    return 2.0 * hits / (answered + there)


def matthews(predictions, labels):
    says, true = np.asarray(predictions) == 1, np.asarray(labels) == 1
    a, d = int((says & true).sum()), int((~says & ~true).sum())
    b, c = int((says & ~true).sum()), int((~says & true).sum())
    product = (a + b) * (a + c) * (d + b) * (d + c)
    if product == 0:
        return 0.0
    return (a * d - b * c) / float(product) ** 0.5
