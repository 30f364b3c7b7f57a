"""Questions and contexts as model input, with the positions of the answers.

    [CLS]  q1 ... qn  [SEP]  window of the context  [SEP]
      0    0       0    0     1                  1    1       token types

We truncate a question to `max_query` pieces; the rest of the row is for the context. A longer context is split into
windows (squad_windows.py). The label of an answer is the position in the row of the first and last of the fewest pieces
that cover its characters, in each window that contains them all. Other windows, and questions without an answer, have
the label (0, 0), the position of [CLS]. We tokenise each context once for all its questions. Offsets map each piece to
the characters of the context, so a predicted answer is a slice of the original text.
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
    questions_cut: int  # truncated to max_query pieces
    answers_wider: int  # starts or ends inside a piece, so that its pieces cover more than the answer
    answers_lost: int  # labelled in no window: longer than a window, or without a piece


class SquadFeatures(NamedTuple):
    """N questions as W windows; those of one question are consecutive. squad_batches.py makes batches of them."""

    dataset: Any  # SquadDataset
    tokenizer: Any  # WordPieceTokenizer
    max_length: int
    pieces: np.ndarray  # [P] int32: those of all contexts, then of all questions, then [PAD]
    offsets: np.ndarray  # [pieces of contexts, 2] int32: (start, stop), characters in the piece's context
    question_spans: np.ndarray  # [N, 2] int64: (start, stop) in `pieces`
    first_windows: np.ndarray  # [N + 1] int64: windows of question n are first_windows[n] ... first_windows[n + 1] - 1
    window_questions: np.ndarray  # [W] int64: index of the question
    window_spans: np.ndarray  # [W, 2] int64: (start, stop) in `pieces`
    max_context: list  # of W bool [pieces of the window]
    starts: np.ndarray  # [W] int32: position of the answer's first piece in the row; None in a dataset for scoring
    ends: np.ndarray  # [W] int32: position of its last piece; None in a dataset for scoring
    counts: FeatureCounts

    @property
    def first_positions(self):
        """[W] int64: position in the row of the window's first piece"""
        spans = self.question_spans[self.window_questions]
        return 2 + spans[:, 1] - spans[:, 0]

    @property
    def lengths(self):
        """[W] int64: number of pieces in the row, including [CLS] and [SEP]"""
        return self.first_positions + self.window_spans[:, 1] - self.window_spans[:, 0] + 1


def answer_pieces(offsets, start, stop):
    """offsets [n, 2] of a context's pieces -> (first, last): the fewest pieces that cover characters start to stop - 1

    first > last if no piece contains any of these characters
    """
    first = np.searchsorted(offsets[:, 1], start, side="right")
    last = np.searchsorted(offsets[:, 0], stop, side="left") - 1
    return int(first), int(last)


def _check(max_length, stride, max_query):
    for name, value, least in (
        ("max_query", max_query, 1), ("stride", stride, 1), ("max_length", max_length, max_query + BESIDE_THE_QUESTION),
    ):  # fmt: skip
        if not isinstance(value, numbers.Integral) or value < least:
            note = " (max_query, [CLS], two [SEP] and a piece of the context)" if name == "max_length" else ""
            raise ValueError(f"{name}: found {value!r}, expected a whole number of at least {least}{note}")


def _spans(lists, offset=0):
    """The spans of concatenated lists -> [n, 2] int64 (start, stop); the first one starts at `offset`"""
    stops = offset + np.cumsum([len(items) for items in lists], dtype=np.int64)
    return np.stack([np.concatenate([[offset], stops[:-1]]), stops], axis=1)


def _array(lists, columns=()):
    """Concatenate lists -> int32 array; columns: (length,) if the items are tuples"""
    items = itertools.chain.from_iterable(lists)
    return np.fromiter(itertools.chain.from_iterable(items) if columns else items, np.int32).reshape(-1, *columns)


def make_features(dataset, tokenizer, max_length=384, stride=128, max_query=64):
    """SquadDataset -> SquadFeatures

    max_length: pieces of a row; stride: pieces between the starts of two windows; max_query: pieces of a question
    A dataset that was read for training gets labels, from the first answer of each question. ValueError for an invalid
    number.
    """
    _check(max_length, stride, max_query)
    used = {q.context_number for q in dataset.questions}
    contexts = [tokenizer.encode_with_offsets(c) if n in used else ([], []) for n, c in enumerate(dataset.contexts)]
    context_spans = _spans([ids for ids, _ in contexts])
    offsets = _array([spans for _, spans in contexts], columns=(2,))
    encoded = [tokenizer.encode(q.question) for q in dataset.questions]
    questions = [ids[:max_query] for ids in encoded]

    @functools.cache
    def windows_and_flags(pieces, room):
        windows = windows_of(pieces, room, stride)
        return windows, max_context(pieces, windows)

    first_windows, window_spans, flags, labels = [0], [], [], []
    wider = lost = 0
    for question, ids in zip(dataset.questions, questions, strict=True):
        context_start, stop = context_spans[question.context_number].tolist()
        windows, question_flags = windows_and_flags(stop - context_start, max_length - 3 - len(ids))
        window_spans += [(context_start + first, context_start + first + length) for first, length in windows]
        flags += question_flags
        first_windows.append(len(window_spans))
        if not dataset.training:
            continue
        positions = [(0, 0)] * len(windows)
        if question.answers:
            answer = question.answers[0]
            answer_stop = answer.start + len(answer.text)
            first, last = answer_pieces(offsets[context_start:stop], answer.start, answer_stop)
            if first <= last:
                covered = offsets[context_start + first, 0], offsets[context_start + last, 1]
                wider += covered != (answer.start, answer_stop)
                row = 2 + len(ids)
                positions = [
                    (row + first - w, row + last - w) if w <= first and last < w + length else (0, 0)
                    for w, length in windows
                ]
            lost += all(position == (0, 0) for position in positions)
        labels += positions

    starts, ends = np.array(labels, np.int32).T.copy() if dataset.training else (None, None)
    return SquadFeatures(
        dataset, tokenizer, max_length,
        pieces=_array([*(ids for ids, _ in contexts), *questions, [tokenizer.pad_id]]),
        offsets=offsets,
        question_spans=_spans(questions, offset=len(offsets)),
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
