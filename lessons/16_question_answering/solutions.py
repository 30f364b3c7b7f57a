"""Lesson 16 as a student would write it; never part of a student edition. Mutants are made from these."""

import re
import string

import numpy as np


def span_scores(starts, ends, allowed, max_answer_length):
    pieces = len(starts)
    scores = np.full((pieces, max_answer_length), -np.inf)
    for k in range(min(pieces, max_answer_length)):
        firsts = pieces - k
        scores[:firsts, k] = starts[:firsts] + ends[k:]
    scores[~allowed] = -np.inf
    return scores


def words(text):
    small = text.lower()
    kept = "".join(character for character in small if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


def f1(answer, gold, empty_matches_empty):
    given, right = words(answer), words(gold)
    if empty_matches_empty and (len(given) == 0 or len(right) == 0):
        return 1.0 if given == right else 0.0
    left, common = list(right), 0
    for word in given:
        if word in left:
            left.remove(word)
            common += 1
    if common == 0:
        return 0.0
    p, r = common / len(given), common / len(right)
    return 2.0 * p * r / (p + r)
