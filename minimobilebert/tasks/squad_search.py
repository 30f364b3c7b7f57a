"""The n best answers to a question. We search one window at a time; memory does not grow with the number of windows.

    score(i, j)   start[i] + end[j]                      for i <= j < i + max_answer_length, if this window has the
                                                         maximum context of piece i
    null score    min over windows of start[0] + end[0]  v2.0: "no answer", at [CLS]
    probability   softmax of the scores over the n best

BERT combines the 20 best starts with the 20 best ends of a window. We score all pairs, so we find the best pair even if
the best starts are not allowed. Ties: the earlier window, then the earlier start, then the shorter answer.
"""

from typing import NamedTuple

import numpy as np

from ..ops.softmax import softmax_forward
from .squad_spans import best_spans, span_scores


class Candidate(NamedTuple):
    """An answer: context[start:stop] is its text. "No answer" has no text, and start = stop = 0."""

    text: str
    start: int
    stop: int
    start_logit: float
    end_logit: float
    probability: float  # among the n best

    @property
    def score(self):
        return self.start_logit + self.end_logit


def _finite(logits, length, name, question):
    row = np.asarray(logits, np.float64)
    if row.ndim != 1 or len(row) < length:
        raise ValueError(f"{name} of id {question.id}: found shape {row.shape}, expected at least ({length},)")
    if not np.isfinite(row[:length]).all():
        raise ValueError(f"{name} of id {question.id}: found a number that is not finite, expected logits")
    return row[:length]


class _Best(NamedTuple):
    """A candidate and its sort key. Sorted by `rank`, the best is first, and ties are in the order of the text."""

    rank: tuple  # -score, window, flat index in the window's table of spans
    candidate: Candidate


class _Search:
    """The search for one question: it adds one window at a time and keeps the n best answers."""

    def __init__(self, features, number, n_best, max_answer_length):
        for name, value in (("n_best", n_best), ("max_answer_length", max_answer_length)):
            if value < 1:
                raise ValueError(f"{name}: found {value}, expected at least 1")
        self.features, self.question = features, features.dataset.questions[number]
        self.context = features.dataset.contexts[self.question.context_number]
        self.offset = 2 + int(np.diff(features.question_spans[number])[0])  # position in the row of the window's start
        self.n_best, self.max_answer_length = n_best, max_answer_length
        self.best, self.null = {}, None  # best: text -> _Best

    def add(self, window, starts, ends):
        """Add the next window of the features. starts, ends: its logits, at least as many as the row has pieces"""
        window_start, stop = self.features.window_spans[window].tolist()
        length = self.offset + stop - window_start + 1
        starts = _finite(starts, length, "start logits", self.question)
        ends = _finite(ends, length, "end logits", self.question)
        logits = float(starts[0]), float(ends[0])
        if self.null is None or sum(logits) < sum(self.null):
            self.null = logits
        starts, ends = starts[self.offset : -1], ends[self.offset : -1]
        scores = span_scores(starts, ends, self.features.max_context[window], self.max_answer_length)
        for flat, found in self._different_texts(scores, starts, ends, self.features.offsets[window_start:stop]):
            rank = (-float(scores.flat[flat]), window, flat)
            if found.text not in self.best or rank < self.best[found.text].rank:
                self.best[found.text] = _Best(rank, found)
        if len(self.best) > self.n_best:
            self.best = dict(sorted(self.best.items(), key=lambda item: item[1].rank)[: self.n_best])

    def _different_texts(self, scores, starts, ends, offsets):
        """The n best spans of a window with different texts -> list of (flat index in `scores`, Candidate), best first

        n are enough: a text that is among the n best overall is among the n best of the window with its best span.
        """
        count = 2 * self.n_best
        while True:
            flats, found = best_spans(scores, count), {}
            for flat in flats.tolist():
                i, k = divmod(flat, self.max_answer_length)
                start, stop = int(offsets[i, 0]), int(offsets[i + k, 1])
                if (text := self.context[start:stop]) not in found:
                    found[text] = flat, Candidate(text, start, stop, float(starts[i]), float(ends[i + k]), 0.0)
                    if len(found) == self.n_best:
                        break
            if len(found) == self.n_best or len(flats) < count:
                return list(found.values())
            count *= 4  # too many spans have the same text

    def answers(self, null):
        """-> list of Candidate, best first; null: include "no answer" (default: for v2.0)"""
        candidates = [found.candidate for found in sorted(self.best.values(), key=lambda found: found.rank)]
        if self.features.dataset.version == "2.0" if null is None else null:
            candidates = sorted([*candidates, Candidate("", 0, 0, *self.null, 0.0)], key=lambda c: -c.score)
        elif not candidates:
            candidates = [Candidate("", 0, 0, 0.0, 0.0, 0.0)]  # the context has no pieces
        scores = np.array([c.score for c in candidates])
        probabilities, _ = softmax_forward(scores)
        return [c._replace(probability=float(p)) for c, p in zip(candidates, probabilities, strict=True)]


def best_answers_of_all(features, rows, *, n_best=20, max_answer_length=30, null=None):
    """The n best answers to each question -> generator of lists of Candidate, best first, each text once

    rows: iterable of (starts, ends), the logits of each window in order, each array at least as long as its row; they
    are read one at a time and not stored. null: include "no answer" as one more candidate (default: for v2.0).
    ValueError if logits are not finite.
    """
    rows = iter(rows)
    for number in range(len(features.dataset.questions)):
        search = _Search(features, number, n_best, max_answer_length)
        for window in range(*features.first_windows[number : number + 2].tolist()):
            search.add(window, *next(rows))
        yield search.answers(null)


def best_answers(features, number, start_logits, end_logits, *, n_best=20, max_answer_length=30, null=None):
    """`best_answers_of_all` for one question. start_logits, end_logits: one array per window of the features, or [W, T]

    -> list of Candidate, best first
    """
    search = _Search(features, number, n_best, max_answer_length)
    for window in range(*features.first_windows[number : number + 2].tolist()):
        search.add(window, start_logits[window], end_logits[window])
    return search.answers(null)
