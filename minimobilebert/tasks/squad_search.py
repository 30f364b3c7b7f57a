"""The n best answers to a question, looked for in one window after the other: what is kept does not grow with them.

    score(i, j)   start[i] + end[j]                      for i <= j < i + max_answer_length, i with most context here
    null score    min over windows of start[0] + end[0]  v2.0: "no answer", at [CLS]
    probability   softmax of the scores over the n best

BERT pairs the 20 best starts with the 20 best ends of a window; here all pairs are looked at, so the best one is found
even where the best starts cannot be used. Equal scores: the earlier window, then the earlier start, then the shorter.
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
    """A candidate and its rank: sorted by `rank`, the best come first, equal scores in the order of the text."""

    rank: tuple  # -score, window, place in the window's table of spans
    candidate: Candidate


class _Search:
    """The best answers to one question, a window at a time: only the n best are kept, of however many windows."""

    def __init__(self, features, number, n_best, max_answer_length):
        for name, value in (("n_best", n_best), ("max_answer_length", max_answer_length)):
            if value < 1:
                raise ValueError(f"{name}: found {value}, expected at least 1")
        self.features, self.question = features, features.dataset.questions[number]
        self.context = features.dataset.contexts[self.question.context_number]
        self.place = 2 + int(np.diff(features.question_spans[number])[0])  # in a row, of the window's first piece
        self.n_best, self.max_answer_length = n_best, max_answer_length
        self.best, self.null = {}, None  # best: text -> _Best

    def add(self, window, starts, ends):
        """One more window of the features, in their order. starts, ends: its logits, at least its length"""
        begin, stop = self.features.window_spans[window].tolist()
        length = self.place + stop - begin + 1
        starts = _finite(starts, length, "start logits", self.question)
        ends = _finite(ends, length, "end logits", self.question)
        logits = float(starts[0]), float(ends[0])
        if self.null is None or sum(logits) < sum(self.null):
            self.null = logits
        starts, ends = starts[self.place : -1], ends[self.place : -1]
        scores = span_scores(starts, ends, self.features.max_context[window], self.max_answer_length)
        for flat, found in self._different_texts(scores, starts, ends, self.features.offsets[begin:stop]):
            rank = (-float(scores.flat[flat]), window, flat)
            if found.text not in self.best or rank < self.best[found.text].rank:
                self.best[found.text] = _Best(rank, found)
        if len(self.best) > self.n_best:
            self.best = dict(sorted(self.best.items(), key=lambda item: item[1].rank)[: self.n_best])

    def _different_texts(self, scores, starts, ends, offsets):
        """The n best spans of a window that have different texts, best first -> list of (place in `scores`, Candidate)

        More are not needed: each of the n best texts of all is best in some window, and there it is among these.
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
            count *= 4  # the same words again and again: look further

    def answers(self, null):
        """-> list of Candidate, best first; null: with "no answer" (default: for v2.0)"""
        candidates = [found.candidate for found in sorted(self.best.values(), key=lambda found: found.rank)]
        if self.features.dataset.version == "2.0" if null is None else null:
            candidates = sorted([*candidates, Candidate("", 0, 0, *self.null, 0.0)], key=lambda c: -c.score)
        elif not candidates:
            candidates = [Candidate("", 0, 0, 0.0, 0.0, 0.0)]  # a context without a single piece
        scores = np.array([c.score for c in candidates])
        probabilities, _ = softmax_forward(scores)
        return [c._replace(probability=float(p)) for c, p in zip(candidates, probabilities, strict=True)]


def best_answers_of_all(features, rows, *, n_best=20, max_answer_length=30, null=None):
    """The n best answers to every question -> generator of lists of Candidate, best first, each text once

    rows: the windows' logits one after the other, (starts, ends), each array at least as long as its window; they are
    asked for one at a time, and none is kept. null: also "no answer", as one more candidate of its score (default: for
    v2.0). ValueError where logits are not finite.
    """
    rows = iter(rows)
    for number in range(len(features.dataset.questions)):
        search = _Search(features, number, n_best, max_answer_length)
        for window in range(*features.first_windows[number : number + 2].tolist()):
            search.add(window, *next(rows))
        yield search.answers(null)


def best_answers(features, number, start_logits, end_logits, *, n_best=20, max_answer_length=30, null=None):
    """The same for one question. start_logits, end_logits: one array a window of all the features, or [W, T]"""
    search = _Search(features, number, n_best, max_answer_length)
    for window in range(*features.first_windows[number : number + 2].tolist()):
        search.add(window, start_logits[window], end_logits[window])
    return search.answers(null)
