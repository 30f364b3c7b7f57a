"""Answers from logits, against loops over all pairs of places; the files; one question."""

import json
import math
import os
import pathlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from squad_examples import CHARACTERS, TOKENIZER, dataset

from minimobilebert.tasks.squad_batches import SquadExamples
from minimobilebert.tasks.squad_data import read_squad, single_question
from minimobilebert.tasks.squad_decoding import choose_answer
from minimobilebert.tasks.squad_decoding import decode as decode_rows
from minimobilebert.tasks.squad_features import make_features
from minimobilebert.tasks.squad_files import read_answers, read_null_odds, write_answers
from minimobilebert.tasks.squad_scores import squad_scores
from minimobilebert.tasks.squad_search import best_answers
from minimobilebert.text.wordpiece import WordPieceTokenizer

DATA = os.environ.get("MINIMOBILEBERT_DATA")
CONTEXT = "the ships (18 of 20), japanese, sail to the ships."


def decode(features, starts, ends, **numbers):
    return decode_rows(features, zip(starts, ends, strict=True), **numbers)


def by_hand(context, query, max_length, stride, starts, ends, n_best, longest, null):
    """Every window, every start, every end, in that order; Python's sort keeps the order of equal scores."""
    offsets = TOKENIZER.encode_with_offsets(context)[1]
    room = max_length - 3 - query
    windows, first = [], 0
    while True:
        windows.append((first, min(len(offsets), first + room)))
        if windows[-1][1] == len(offsets):
            break
        first += min(stride, room)

    def most_context(piece, own):
        def context_in(window):
            return min(piece - window[0], window[1] - 1 - piece) + 0.01 * (window[1] - window[0])

        return own == max((w for w in windows if w[0] <= piece < w[1]), key=context_in)  # the first of equal ones

    found = []
    for w, window in enumerate(windows):
        for i in range(*window):
            for j in range(i, min(i + longest, window[1])):
                if most_context(i, window):
                    s, e = (logits[w][2 + query + p - window[0]] for logits, p in ((starts, i), (ends, j)))
                    found.append((context[offsets[i][0] : offsets[j][1]], float(s), float(e)))
    found.sort(key=lambda c: -(c[1] + c[2]))
    texts = {}
    for candidate in found:
        texts.setdefault(candidate[0], candidate)
    found = list(texts.values())[:n_best]
    if null:
        s, e = min(((float(starts[w][0]), float(ends[w][0])) for w in range(len(windows))), key=sum)
        found = sorted([*found, ("", s, e)], key=lambda c: -(c[1] + c[2]))
    total = sum(math.exp(s + e) for _, s, e in found)
    return [(text, s, e, math.exp(s + e) / total) for text, s, e in found]


@given(
    # The second: the same words in window after window.
    st.text(alphabet=CHARACTERS + "    É\u0301", min_size=1, max_size=40) | st.text(alphabet="ab ", min_size=12, max_size=40),
    st.integers(9, 30), st.integers(1, 9), st.integers(1, 25), st.integers(1, 12), st.booleans(), st.booleans(), st.integers(0, 999),
)  # fmt: skip
def test_the_best_answers(context, max_length, stride, n_best, longest, null, ties, seed):
    if not TOKENIZER.encode(context):
        context += "a"
    version = "2.0" if null else "1.1"
    features = make_features(dataset([context], [(0, "who", ("a", 0))], version), TOKENIZER, max_length, stride, 3)
    rng = np.random.default_rng(seed)
    # Whole numbers: many equal scores.
    starts, ends = (rng.integers(-2, 3, (2, features.counts.windows, max_length)) if ties
                    else rng.normal(0, 2, (2, features.counts.windows, max_length)))  # fmt: skip
    found = best_answers(features, 0, starts, ends, n_best=n_best, max_answer_length=longest)
    expected = by_hand(context, 3, max_length, stride, starts, ends, n_best, longest, null)
    assert [(c.text, c.start_logit, c.end_logit) for c in found] == [e[:3] for e in expected]
    # Sums of at most 26 exponentials, added in another order.
    np.testing.assert_allclose([c.probability for c in found], [e[3] for e in expected], rtol=1e-13)
    assert all(c.text == context[c.start : c.stop] for c in found)


def one(context=CONTEXT, version="2.0", **numbers):
    features = make_features(dataset([context], [(0, "who?", ("the", 0))], version), TOKENIZER, **numbers)
    return features, *np.zeros((2, features.counts.windows, int(features.lengths.max())))


def test_an_answer_is_the_text_as_it_was_written():
    features, starts, ends = one("The ÉCOLE (“Japanese”) sails.")
    text = "ÉCOLE (“Japanese"
    batch = SquadExamples(features).batch(np.array([0]))
    pieces = [TOKENIZER.vocab[i] for i in batch.input_ids[0]]
    starts[0, pieces.index("e")], ends[0, pieces.index("##ese")] = 5, 5
    best = best_answers(features, 0, starts, ends)[0]
    assert best[:5] == (text, 4, 20, 5.0, 5.0)


def test_the_question_and_the_separators_are_no_answer():
    features, starts, ends = one("ship")
    starts[0], ends[0] = 9, 9
    starts[0, -2], ends[0, -2] = 0, 0  # the only piece
    found = best_answers(features, 0, starts, ends, null=False)
    assert [c.text for c in found] == ["ship"] and found[0].score == 0


def test_a_start_counts_only_where_it_has_most_context():
    features, starts, ends = one("a b c d e f g h", max_length=11, stride=2, max_query=4)
    assert features.window_spans.tolist() == [[0, 4], [2, 6], [4, 8]]
    starts[1, 6] = ends[1, 6] = 9  # "c" again, at the edge of the second window
    assert best_answers(features, 0, starts, ends, null=False)[0].score == 0
    starts[1, 7] = ends[1, 7] = 9  # "d" has a piece to its left here
    assert best_answers(features, 0, starts, ends, null=False)[0].text == "d"


def test_no_answer_scores_what_its_worst_window_says():
    features, starts, ends = one("a b c d e f g h", max_length=11, stride=2, max_query=4)
    starts[:, 0], ends[:, 0] = [3, 1, 2], [0, 1, 9]
    found = best_answers(features, 0, starts, ends)
    assert found[0][:5] == ("", 0, 0, 1.0, 1.0)
    assert choose_answer(found) == ("", 2.0)
    assert choose_answer(found, null_threshold=2.0) == ("a", 2.0)  # only above the threshold
    assert choose_answer(found, null_threshold=1.99) == ("", 2.0)


def test_version_1_has_no_null():
    features, starts, ends = one(version="1.1")
    starts[0, 0] = 100
    found = decode(features, starts, ends)
    assert found.null_odds is None and found.answers["q0"] and all(c.text for c in found.n_best["q0"])


@pytest.mark.parametrize(("version", "score"), [("1.1", 0.0), ("2.0", 3.0)])
def test_a_context_without_a_piece_has_no_answer(version, score):
    features = make_features(dataset([" \u200b"], [(0, "who?", ("\u200b", 1))], version), TOKENIZER)
    logits = np.full((1, 8), 1.5)
    assert features.counts.answers_lost == 1
    found = best_answers(features, 0, logits, logits)
    assert [(c.text, c.probability) for c in found] == [("", 1.0)] and choose_answer(found) == ("", score)


def test_the_same_words_do_not_fill_the_list():
    features, starts, ends = one("a " * 100 + "b")
    starts[0, 6:106] = 5 + np.arange(100) / 100  # a hundred times "a", each better than "b"
    found = best_answers(features, 0, starts, ends, n_best=3, max_answer_length=1, null=False)
    assert [c.text for c in found] == ["a", "b"]


def test_a_window_full_of_the_same_words_hides_nothing():
    """The four best spans of the first window are all "a"; its "c" is still better than the second window's "b"."""
    features, starts, ends = one("a a a a a c b b b b", max_length=13, stride=6, max_query=4)
    starts[0, 6:12], starts[1, 6:10] = [10, 9, 8, 7, 6, 5], 1
    found = best_answers(features, 0, starts, ends, n_best=2, max_answer_length=1, null=False)
    assert [c.text for c in found] == ["a", "c"]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_logits_have_to_be_finite_and_enough(wrong):
    features, starts, ends = one()
    ends[0, 3] = wrong
    with pytest.raises(ValueError, match="end logits of id q0: found a number that is not finite"):
        decode(features, starts, ends)
    with pytest.raises(ValueError, match="start logits of id q0: found shape "):
        decode(features, starts[:, :-1], ends)
    longer = np.full((1, 400), np.nan)  # what stands at the padding is not read
    longer[0, : features.lengths[0]] = 0
    decode(features, longer, longer)


@pytest.mark.parametrize("name", ["n_best", "max_answer_length"])
def test_lengths_have_to_be_positive(name):
    with pytest.raises(ValueError, match=f"{name}: found 0, expected at least 1"):
        decode(*one(), **{name: 0})


def test_large_scores_do_not_overflow():
    features, starts, ends = one()
    starts[0, 6] = 1e300
    assert (
        best_answers(features, 0, starts, ends)[0].probability == 1 / 20
    )  # shared by the 20 best, which all begin there


def test_the_files_of_answers(tmp_path):
    contexts = [CONTEXT, "é 18"]
    features = make_features(dataset(contexts, [(0, "who?", ("the", 0)), (1, "?", ("18", 2))], "2.0"), TOKENIZER)
    rng = np.random.default_rng(1)
    found = decode(features, *rng.normal(0, 3, (2, 2, 40)))
    paths = write_answers(tmp_path / "new", found)
    assert [p.name for p in paths] == ["predictions.json", "nbest_predictions.json", "null_odds.json"]
    assert read_answers(paths[0]) == found.answers and read_null_odds(paths[2]) == found.null_odds
    lists = json.loads(paths[1].read_text(encoding="utf-8"))
    for name, candidates in found.n_best.items():
        assert [list(entry) for entry in lists[name]] == [["text", "probability", "start_logit", "end_logit"]] * len(
            candidates
        )
        assert [tuple(e.values()) for e in lists[name]] == [
            (c.text, c.probability, c.start_logit, c.end_logit) for c in candidates
        ]
    assert len(write_answers(tmp_path / "old", found._replace(null_odds=None))) == 2


def test_one_question_about_one_passage():
    features = make_features(single_question("Who?", "The Ship sails."), TOKENIZER)
    logits = np.zeros((1, 20))
    logits[0, 7] = 4
    best = best_answers(features, 0, logits, logits, null=False)[0]
    assert best[:3] == ("Ship", 4, 8)


@pytest.mark.skipif(DATA is None, reason="MINIMOBILEBERT_DATA is not set")
def test_labels_as_logits_are_the_answers_of_a_real_file():
    """xquad: 1,190 questions; one answer ends inside a piece ("(2,70" of "(2,700")."""
    folder = pathlib.Path(DATA)
    found = read_squad(folder / "squad" / "xquad.en.json", training=True)
    features = make_features(found, WordPieceTokenizer.load(folder / "bert-uncased-vocab.txt"), max_length=256)
    starts, ends = np.zeros((2, features.counts.windows, 256))
    for logits, places in ((starts, features.starts), (ends, features.ends)):
        logits[np.arange(len(logits)), places] = 9.0  # where the answer is not in the window, at [CLS]
    answers = decode(features, starts, ends, max_answer_length=64).answers
    wrong = [q.id for q in found.questions if answers[q.id] != q.answers[0].text]
    assert len(wrong) == features.counts.answers_wider == 1
    assert squad_scores(found, answers)["exact"] == pytest.approx(100 * 1189 / 1190)
