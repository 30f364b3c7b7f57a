"""From start and end scores of all windows to answers, as BERT does (section 4.2 and 4.3, and its run_squad).

    score(i, j)   start[i] + end[j]                      for i <= j < i + max_answer_length, i with most context here
    null score    min over windows of start[0] + end[0]  v2.0: "no answer", at [CLS]
    null odds     null score - best score                no answer if above the threshold
    probability   softmax of the scores over the n best

BERT knows only which blank-separated words a piece is from, writes down whole words, and then looks in them for
something that reads like the pieces (get_final_text); where that fails it keeps the words with the quote or bracket
around them. Our pieces know their characters, so the answer is the slice of the context from the first character of
piece i to the last of piece j: there is nothing to reconstruct. A label decodes to the answer it was made from,
character by character, unless that begins or ends inside a piece.

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


class SquadAnswers(NamedTuple):
    answers: dict  # id -> text, "" for no answer
    n_best: dict  # id -> list of Candidate, best first
    null_odds: dict  # id -> float, how much better "no answer" scores than the best answer; None for v1.1


def _finite(logits, length, name, question):
    row = np.asarray(logits, np.float64)
    if row.ndim != 1 or len(row) < length:
        raise ValueError(f"{name} of id {question.id}: found shape {row.shape}, expected at least ({length},)")
    if not np.isfinite(row[:length]).all():
        raise ValueError(f"{name} of id {question.id}: found a number that is not finite, expected logits")
    return row[:length]


class _Window(NamedTuple):
    starts: np.ndarray  # logits of the row
    ends: np.ndarray
    place: int  # in the row, of the window's first piece
    offsets: np.ndarray  # characters of its pieces
    scores: np.ndarray  # of its spans


def _windows(features, number, start_logits, end_logits, max_answer_length):
    question = features.dataset.questions[number]
    place = 2 + int(np.diff(features.question_spans[number])[0])
    windows = []
    for w in range(*features.first_windows[number : number + 2].tolist()):
        begin, stop = features.window_spans[w].tolist()
        length = place + stop - begin + 1
        starts = _finite(start_logits[w], length, "start logits", question)
        ends = _finite(end_logits[w], length, "end logits", question)
        scores = span_scores(starts[place:-1], ends[place:-1], features.max_context[w], max_answer_length)
        windows.append(_Window(starts, ends, place, features.offsets[begin:stop], scores))
    return windows


def _different_texts(windows, context, n_best, max_answer_length):
    """-> list of up to n_best Candidate, best first, each text once; probabilities still 0"""
    count = 2 * n_best
    while True:
        best = [best_spans(window.scores, count) for window in windows]
        values = np.concatenate([window.scores.ravel()[flat] for window, flat in zip(windows, best, strict=True)])
        owners = np.repeat(np.arange(len(windows)), [len(flat) for flat in best])
        flats = np.concatenate(best)
        texts = {}
        for rank in np.argsort(-values, kind="stable")[:count]:  # behind these a window may have left out better ones
            window = windows[owners[rank]]
            i, k = divmod(int(flats[rank]), max_answer_length)
            start, stop = int(window.offsets[i, 0]), int(window.offsets[i + k, 1])
            if (text := context[start:stop]) not in texts:
                logits = float(window.starts[window.place + i]), float(window.ends[window.place + i + k])
                texts[text] = Candidate(text, start, stop, *logits, 0.0)
                if len(texts) == n_best:
                    break
        if len(texts) == n_best or len(values) < count:
            return list(texts.values())
        count *= 4  # the same words again and again: look further


def best_answers(features, number, start_logits, end_logits, *, n_best=20, max_answer_length=30, null=None):
    """The n best answers to question `number` of the features -> list of Candidate, best first, each text once

    start_logits, end_logits: one array a window of the features, [at least its length], or [W, T] for all; null: also
    "no answer", as one more candidate of its score (default: for v2.0). ValueError where logits are not finite.
    """
    for name, value in (("n_best", n_best), ("max_answer_length", max_answer_length)):
        if value < 1:
            raise ValueError(f"{name}: found {value}, expected at least 1")
    context = features.dataset.contexts[features.dataset.questions[number].context_number]
    windows = _windows(features, number, start_logits, end_logits, max_answer_length)
    candidates = _different_texts(windows, context, n_best, max_answer_length)
    if features.dataset.version == "2.0" if null is None else null:
        logits = min(((float(w.starts[0]), float(w.ends[0])) for w in windows), key=sum)
        candidates = sorted([*candidates, Candidate("", 0, 0, *logits, 0.0)], key=lambda c: -c.score)
    elif not candidates:
        candidates = [Candidate("", 0, 0, 0.0, 0.0, 0.0)]  # a context without a single piece
    scores = np.array([c.score for c in candidates])
    probabilities, _ = softmax_forward(scores)
    return [c._replace(probability=float(p)) for c, p in zip(candidates, probabilities, strict=True)]


def choose_answer(candidates, null_threshold=0.0):
    """-> answer, null odds; odds are None without a "no answer" among the candidates"""
    texts = [c for c in candidates if c.text]
    nulls = [c for c in candidates if not c.text]
    if not texts:
        return "", (nulls[0].score if nulls else None)  # against a score of 0, as the released code does
    if not nulls:
        return texts[0].text, None
    odds = nulls[0].score - texts[0].score
    return ("" if odds > null_threshold else texts[0].text), odds


def decode(features, start_logits, end_logits, *, n_best=20, max_answer_length=30, null_threshold=0.0):
    """Logits of all windows -> SquadAnswers of all questions; arguments as of `best_answers`"""
    answers, lists, odds = {}, {}, {}
    for number, question in enumerate(features.dataset.questions):
        found = best_answers(
            features, number, start_logits, end_logits, n_best=n_best, max_answer_length=max_answer_length
        )
        lists[question.id] = found
        answers[question.id], odds[question.id] = choose_answer(found, null_threshold)
    return SquadAnswers(answers, lists, odds if features.dataset.version == "2.0" else None)
