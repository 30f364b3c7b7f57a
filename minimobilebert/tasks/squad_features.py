"""Questions and contexts as the model reads them, and where the answer is in them.

    [CLS]  q1 ... qn  [SEP]  window of the context  [SEP]
      0    0       0    0     1                  1    1       token types

A question keeps its first `max_query` pieces; the rest is room for the context, which a longer one passes through in
windows (squad_windows.py). Labels are places in this row. An answer is labelled by the fewest pieces that cover its
characters, in every window that has all of them; other windows, and questions without an answer, are labelled (0, 0),
[CLS]. Each context is cut into pieces once, however many questions it has; offsets lead from a piece back to the
characters of the context, so an answer is a slice of the text as it was written.
"""

import functools
import itertools
import numbers
from typing import Any, NamedTuple

import numpy as np

from .squad_windows import BESIDE_THE_QUESTION, max_context, windows_of


class FeatureCounts(NamedTuple):
    questions: int
    windows: int
    questions_cut: int  # longer than max_query pieces
    answers_wider: int  # the pieces that cover the answer cover more than it: it begins or ends inside a piece
    answers_lost: int  # labelled in no window: longer than a window, or without any piece


class SquadFeatures(NamedTuple):
    """N questions as W windows, those of one question in a row. A batch of them: squad_batches.py."""

    dataset: Any  # SquadDataset
    tokenizer: Any  # WordPieceTokenizer
    max_length: int
    pieces: np.ndarray  # [P] int32, of all contexts one after the other, then of all questions, then [PAD]
    offsets: np.ndarray  # [pieces of contexts, 2] int32: (start, stop), characters of the piece's context
    question_spans: np.ndarray  # [N, 2] int64: (start, stop) in `pieces`
    first_windows: np.ndarray  # [N + 1] int64: windows of question n are first_windows[n] ... first_windows[n + 1] - 1
    window_questions: np.ndarray  # [W] int64: number of the question
    window_spans: np.ndarray  # [W, 2] int64: (start, stop) in `pieces`
    max_context: list  # of W bool [pieces of the window]
    starts: np.ndarray  # [W] int32: place of the answer's first piece in the row; None in a dataset for scoring
    ends: np.ndarray  # [W] int32: of its last piece; None in a dataset for scoring
    counts: FeatureCounts

    @property
    def first_places(self):
        """[W] int64: place in the row of the window's first piece."""
        spans = self.question_spans[self.window_questions]
        return 2 + spans[:, 1] - spans[:, 0]

    @property
    def lengths(self):
        """[W] int64: pieces in the row, [CLS] and [SEP] included."""
        return self.first_places + self.window_spans[:, 1] - self.window_spans[:, 0] + 1


def answer_pieces(offsets, start, stop):
    """offsets [n, 2] of a context's pieces -> (first, last): the fewest that cover characters start to stop - 1

    first > last if no piece has any of these characters.
    """
    first = np.searchsorted(offsets[:, 1], start, side="right")
    last = np.searchsorted(offsets[:, 0], stop, side="left") - 1
    return int(first), int(last)


def _check(max_length, stride, max_query):
    for name, value, least in (
        ("max_query", max_query, 1), ("stride", stride, 1), ("max_length", max_length, max_query + BESIDE_THE_QUESTION),
    ):  # fmt: skip
        if not isinstance(value, numbers.Integral) or value < least:
            more = " (max_query, [CLS], two [SEP] and a piece of the context)" if name == "max_length" else ""
            raise ValueError(f"{name}: found {value!r}, expected a whole number of at least {least}{more}")


def _spans(lists, first=0):
    """Lengths of lists in a row -> [n, 2] int64 (start, stop), counted from `first`"""
    stops = first + np.cumsum([len(items) for items in lists], dtype=np.int64)
    return np.stack([np.concatenate([[first], stops[:-1]]), stops], axis=1)


def _array(lists, columns=()):
    """Lists in a row -> one int32 array; columns: of items that are tuples"""
    items = itertools.chain.from_iterable(lists)
    return np.fromiter(itertools.chain.from_iterable(items) if columns else items, np.int32).reshape(-1, *columns)


def make_features(dataset, tokenizer, max_length=384, stride=128, max_query=64):
    """SquadDataset -> SquadFeatures

    max_length: pieces of a row; stride: pieces between the beginnings of two windows; max_query: pieces of a question.
    Labels are made where the dataset was read for training, from the first answer of each question. ValueError where a
    number cannot be used.
    """
    _check(max_length, stride, max_query)
    used = {q.context_number for q in dataset.questions}
    contexts = [tokenizer.encode_with_offsets(c) if n in used else ([], []) for n, c in enumerate(dataset.contexts)]
    context_spans = _spans([ids for ids, _ in contexts])
    offsets = _array([places for _, places in contexts], columns=(2,))
    encoded = [tokenizer.encode(q.question) for q in dataset.questions]
    questions = [ids[:max_query] for ids in encoded]

    @functools.cache
    def windows_and_flags(pieces, room):
        windows = windows_of(pieces, room, stride)
        return windows, max_context(pieces, windows)

    first_windows, window_spans, flags, labels = [0], [], [], []
    wider = lost = 0
    for question, ids in zip(dataset.questions, questions, strict=True):
        begin, stop = context_spans[question.context_number].tolist()
        windows, question_flags = windows_and_flags(stop - begin, max_length - 3 - len(ids))
        window_spans += [(begin + first, begin + first + length) for first, length in windows]
        flags += question_flags
        first_windows.append(len(window_spans))
        if not dataset.training:
            continue
        places = [(0, 0)] * len(windows)
        if question.answers:
            answer = question.answers[0]
            answer_stop = answer.start + len(answer.text)
            first, last = answer_pieces(offsets[begin:stop], answer.start, answer_stop)
            if first <= last:
                covered = offsets[begin + first, 0], offsets[begin + last, 1]
                wider += covered != (answer.start, answer_stop)
                row = 2 + len(ids)
                places = [
                    (row + first - w, row + last - w) if w <= first and last < w + length else (0, 0)
                    for w, length in windows
                ]
            lost += all(place == (0, 0) for place in places)
        labels += places

    starts, ends = np.array(labels, np.int32).T.copy() if dataset.training else (None, None)
    return SquadFeatures(
        dataset, tokenizer, max_length,
        pieces=_array([*(ids for ids, _ in contexts), *questions, [tokenizer.pad_id]]),
        offsets=offsets,
        question_spans=_spans(questions, first=len(offsets)),
        first_windows=np.array(first_windows, np.int64),
        window_questions=np.repeat(np.arange(len(questions)), np.diff(first_windows)),
        window_spans=np.array(window_spans, np.int64),
        max_context=flags,
        starts=starts,
        ends=ends,
        counts=FeatureCounts(
            len(questions), len(window_spans), sum(len(ids) > max_query for ids in encoded), int(wider), lost
        ),
    )  # fmt: skip
