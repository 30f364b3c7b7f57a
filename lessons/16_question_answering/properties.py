"""What lesson 16's functions must do."""

import numpy as np

from minimobilebert.course.shared.properties import prop
from minimobilebert.course.shared.trial import reference

# --- 16.1


def logits(rng, pieces, scale=1.0):
    """starts, ends, and which pieces may begin an answer: at least one may and, of several, one may not"""
    allowed = rng.permutation(pieces) >= max(1, pieces // 4) if pieces > 1 else np.ones(pieces, bool)
    return scale * rng.normal(size=pieces), scale * rng.normal(size=pieces), allowed


def compare_scores(t, starts, ends, allowed, longest):
    given = starts.copy(), ends.copy(), allowed.copy()
    right = t.expected(lambda: reference(t.task.function)(*given, longest))
    t.equal("scores", t.call(starts, ends, allowed, longest), right)


@prop("16.1", weight=4, essential=True)
def every_span(t):
    """the score of every span of a window, and -inf where there is none"""
    for pieces, longest in ((7, 3), (9, 4), (6, 5)):
        compare_scores(t, *logits(t.rng, pieces), longest)


@prop("16.1", weight=1)
def short_window(t):
    """a window that is shorter than the longest answer"""
    for pieces, longest in ((3, 5), (4, 4), (1, 6), (2, 3)):
        compare_scores(t, *logits(t.rng, pieces), longest)


@prop("16.1", weight=1)
def one_piece(t):
    """answers of one piece only, and a window without any"""
    compare_scores(t, *logits(t.rng, 5), 1)
    compare_scores(t, *logits(t.rng, 0), 3)


@prop("16.1", weight=1)
def large_logits(t):
    """logits of ten million, as a MobileBERT gives before it is fine-tuned"""
    compare_scores(t, *logits(t.rng, 8, scale=1e7), 3)


@prop("16.1", weight=1)
def nothing_allowed(t):
    """no piece may begin an answer: every score is -inf"""
    starts, ends, allowed = logits(t.rng, 6)
    compare_scores(t, starts, ends, np.zeros_like(allowed), 3)


@prop("16.1", weight=1)
def untouched(t):
    """the logits are as they were after the call, and the scores right"""
    given = logits(t.rng, 7)
    copies = [part.copy() for part in given]
    right = t.expected(lambda: reference(t.task.function)(*copies, 3))
    scores, after = t.call_keeping(*given, 3)
    t.equal("scores", scores, right)
    t.unchanged(["starts", "ends", "allowed"], copies, after[:3])


# --- 16.2

PARTS = ("whale", "Ship", "an", "The", "a", "U.S.A.", "captain's", "sea-chart", "1851", "them", "theatre", "ANOTHER")


def text_of(rng, count):
    ends = ("", ",", ".", "!", "?", ";", '"')
    return " ".join(PARTS[rng.integers(len(PARTS))] + ends[rng.integers(len(ends))] for _ in range(count))


def compare_words(t, texts):
    right = t.expected(lambda: [reference(t.task.function)(text) for text in texts])
    for text, expected in zip(texts, right, strict=True):
        t.same(f"words({text!r})", t.call(text), expected)


@prop("16.2", weight=4, essential=True)
def plain_texts(t):
    """the words that count, in order, of texts with capitals, articles and punctuation"""
    compare_words(t, [text_of(t.rng, int(t.rng.integers(2, 9))) for _ in range(12)])
    compare_words(t, ["The U.S.A. and the sea-chart's theatre, an ANOTHER"])


@prop("16.2", weight=1)
def articles_made_by_punctuation(t):
    """punctuation goes before articles do"""
    compare_words(t, ["U.S.A.", "at 4 a.m.", "the-end", "(the) end", "t.h.e end", "A-team", "an.d", "x a, y"])


@prop("16.2", weight=1)
def blanks(t):
    """blanks of every kind, and texts of which nothing is left"""
    compare_words(t, ["  two\t words\n", "no\u00a0break", "", "   ", "The", "a an the", "...", "the, a."])


@prop("16.2", weight=1)
def other_letters(t):
    """letters and punctuation that are not ASCII stay; an article ends where letters end"""
    compare_words(t, ["“The whale”", "El Niño", "1851–1860", "sea–the–ship", "ÄRGER", "a…", "théâtre"])
    compare_words(t, ["Große Straße", "GROẞ", "ﬁsh", "ΟΔΟΣ"])  # lower() is not casefold(): ß stays ß


# --- f1


def answers_of(rng, count):
    few = ("red", "Blue", "the", "green,", "red")
    return " ".join(few[rng.integers(len(few))] for _ in range(count))


def compare_f1(t, pairs, rules=(False, True)):
    asked = [(answer, gold, rule) for answer, gold in pairs for rule in rules]
    right = t.expected(lambda: [float(reference(t.task.function)(*args)) for args in asked])
    for (answer, gold, rule), expected in zip(asked, right, strict=True):
        returned = t.call(answer, gold, rule)
        t.equal(f"f1({answer!r}, {gold!r}, {rule})", returned, np.float64(expected))


@prop("16.2:f1", weight=4, essential=True)
def values(t):
    """F1 of answers that share some of their words"""
    pairs = [(answers_of(t.rng, int(n)), answers_of(t.rng, int(m))) for n, m in t.rng.integers(1, 7, (10, 2))]
    compare_f1(t, [*pairs, ("red green red blue", "the red red house"), ("pale green", "green")])


@prop("16.2:f1", weight=1)
def repeated_words(t):
    """a word counts as often as it occurs in both"""
    compare_f1(t, [("red red red", "red"), ("red", "red red red"), ("red red blue", "blue red red red")])


@prop("16.2:f1", weight=1)
def nothing_shared(t):
    """no word in common: 0"""
    compare_f1(t, [("red", "blue"), ("red green", "blue house yard"), ("readable", "read")])


@prop("16.2:f1", weight=2)
def no_words(t):
    """a side without words: v2.0's rule where it is asked for, 0 where it is not"""
    compare_f1(t, [("", ""), ("the", ""), ("", "red"), ("red", ""), ("a.", "the")])


@prop("16.2:f1", weight=1)
def order(t):
    """the order of the words does not matter, capitals and punctuation do not either"""
    compare_f1(t, [("blue red", "red blue"), ("Blue, red!", "red blue"), ("the blue", "Blue")])
