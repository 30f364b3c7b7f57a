"""Exact match and F1 against a second way to count them; thresholds against trying them; the command squad-score."""

import json
import os
import pathlib
import re
import string
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squad_examples import dataset, question, squad_json, write

from minimobilebert.cli import main
from minimobilebert.tasks.squad_data import Answer
from minimobilebert.tasks.squad_files import read_answers, read_null_odds
from minimobilebert.tasks.squad_scores import abstain, best_threshold, score_questions, squad_scores, words

DATA = os.environ.get("MINIMOBILEBERT_DATA")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Denver\tBroncos!", ["denver", "broncos"]),
        ("a an the A AN THE", []),
        ("them anthem theatre", ["them", "anthem", "theatre"]),
        ("the-ship", ["theship"]),  # punctuation goes before articles
        ("U.S.A.", ["usa"]),
        ("an—a", ["—"]),  # a dash that is not ASCII stays, and parts words
        ("a_the", ["athe"]),  # "_" is punctuation here
        ("éa a\u0301", ["éa", "\u0301"]),  # a mark is no letter: the article before it stands alone
        ("“The”", ["“", "”"]),
        ("$1,000.00", ["100000"]),
        ("İ", ["i̇"]),
        ("Straße", ["straße"]),  # lower case, not case folding
        ("\u00a0a\u2003b", ["b"]),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


def plain_words(text):
    """Character by character, without a pattern: letters, digits and "_" are what an article must not touch."""
    kept = [c for c in text.lower() if c not in string.punctuation]
    runs = []  # of characters that are all of words, or all not
    for c in kept:
        inside = c.isalnum() or c == "_"
        if runs and runs[-1][0] == inside:
            runs[-1][1].append(c)
        else:
            runs.append((inside, [c]))
    text = "".join(" " if inside and "".join(run) in ("a", "an", "the") else "".join(run) for inside, run in runs)
    return text.split()


def plain_scores(answer, golds, version):
    """Exact match and F1 = 2 shared / (words of the one + words of the other), as a fraction; the best over golds"""
    exact, best = 0, Fraction(0)
    for gold in golds:
        a, g = plain_words(answer), plain_words(gold)
        exact = max(exact, int(a == g))
        rest, shared = list(g), 0
        for word in a:
            if word in rest:
                rest.remove(word)
                shared += 1
        if version == "2.0" and (not a or not g):
            best = max(best, Fraction(int(a == g)))
        elif shared:
            best = max(best, Fraction(2 * shared, len(a) + len(g)))
    return exact, best


ODD = st.lists(
    st.sampled_from(["a", "an", "The", "ship", "SHIP", "ships", "ship", "x", ",", ".", "'s", "—", "É", "é", "日本", " ", "\u00a0", "_", "18", "ß"]),
    max_size=8,
).flatmap(lambda parts: st.sampled_from(["", " "]).map(lambda glue: glue.join(parts)))  # fmt: skip


@given(ODD, st.lists(ODD, min_size=1, max_size=3), st.sampled_from(["1.1", "2.0"]))
def test_scores_of_odd_answers(answer, golds, version):
    found = dataset(["c"], [(0, "?", ("x", 0))], version)
    asked = found.questions[0]._replace(answers=tuple(Answer(g, 0) for g in golds))
    score = score_questions(found._replace(questions=[asked]), {"q0": answer})[0]
    if version == "2.0":
        golds = [g for g in golds if plain_words(g)] or [""]
    exact, f1 = plain_scores(answer, golds, version)
    assert score.exact == exact
    assert score.f1 == pytest.approx(float(f1), rel=1e-15)  # a handful of roundings


def test_without_words_version_1_gives_no_f1():
    """The same answer "the" to the gold answer "The": exact in both, F1 of nothing shared is 0 in v1.1."""
    for version, f1 in (("1.1", 0.0), ("2.0", 100.0)):
        scores = squad_scores(dataset(["c"], [(0, "?", ("The", 0))], version), {"q0": "the"})
        assert (scores["exact"], scores["f1"]) == (100.0, f1)


def test_names_and_means():
    found = dataset(["c"], [(0, "?", ("a big ship", 0)), (0, "?", ("18", 0)), (0, "?", None)], "2.0")
    scores = squad_scores(found, {"q0": "ship", "q1": "18", "q2": "x"})
    assert scores == {
        "exact": 100 / 3, "f1": pytest.approx(100 * (2 / 3 + 1) / 3), "total": 3,
        "HasAns_exact": 50.0, "HasAns_f1": pytest.approx(100 * (2 / 3 + 1) / 2), "HasAns_total": 2,
        "NoAns_exact": 0.0, "NoAns_f1": 0.0, "NoAns_total": 1,
    }  # fmt: skip
    assert list(squad_scores(dataset(["c"], [(0, "?", None)], "2.0"), {"q0": ""})) == [
        "exact", "f1", "total", "NoAns_exact", "NoAns_f1", "NoAns_total",
    ]  # fmt: skip
    assert squad_scores(found._replace(questions=found.questions[:2], version="1.1"), {"q1": "18"}) == {
        "exact": 50.0, "f1": 50.0, "total": 2,
    }  # fmt: skip


def answered(has, texts):
    found = dataset(["c"], [(0, "?", ("ship", 0) if h else None) for h in has], "2.0")
    return found, {f"q{n}": text for n, text in enumerate(texts) if text is not None}


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(["", "ship", "a big ship", "x", None]), st.integers(-3, 3)),
        min_size=1,
        max_size=9,
    )
)
def test_the_best_threshold_is_the_best_of_all(rows):
    """Odds made different by the place in the file, so that equal ones need no rule; then every threshold is tried."""
    found, answers = answered([r[0] for r in rows], [r[1] for r in rows])
    odds = {f"q{n}": row[2] + n / 16 for n, row in enumerate(rows)}
    scores = score_questions(found, answers)
    for name in ("exact", "f1"):
        best, threshold = best_threshold(scores, odds, name)
        tried = {limit: sum(getattr(s, name) for s in abstain(scores, odds, limit)) for limit in odds.values()}
        none = sum(getattr(s, name) for s in abstain(scores, odds, -9))
        most = max(none, *tried.values())
        assert best == pytest.approx(100 * most / len(rows), abs=1e-12)  # sums of 9 numbers up to 1
        assert threshold == 0.0 if most == none else tried[threshold] == pytest.approx(most, abs=1e-12)


def test_equal_odds_are_taken_one_by_one_in_the_order_of_their_file():
    """No threshold parts the two, but the official program looks between them."""
    found, answers = answered([True, False], ["ship", "x"])
    scores = score_questions(found, answers)
    assert best_threshold(scores, {"q0": 0.5, "q1": 0.5}, "exact") == (100.0, 0.5)
    assert best_threshold(scores, {"q1": 0.5, "q0": 0.5}, "exact") == (50.0, 0.0)


def test_an_answer_without_words_still_loses_where_there_is_none():
    """As in the official program: "the" scores 1 for no answer, but counts as an answer for the best threshold."""
    found, answers = answered([False], ["the"])
    scores = squad_scores(found, answers, {"q0": 0.0})
    assert scores["exact"] == 100.0 and (scores["best_exact"], scores["best_exact_thresh"]) == (100.0, 0.0)
    found, answers = answered([False, True], ["the", "ship"])
    assert squad_scores(found, answers, {"q0": 0.0, "q1": 1.0})["best_exact"] == 50.0


@pytest.mark.parametrize(("threshold", "exact"), [(1.0, 50.0), (0.99, 100.0), (-5.0, 50.0)])
def test_odds_above_the_threshold_are_no_answer(threshold, exact):
    found, answers = answered([True, False], ["ship", "x"])
    assert squad_scores(found, answers, {"q0": -1.0, "q1": 1.0}, threshold)["exact"] == exact


def test_the_threshold_is_1_by_default_and_the_best_one_does_not_depend_on_it():
    found, answers = answered([True, False], ["ship", "x"])
    assert squad_scores(found, answers, {"q0": 0.5, "q1": -1.0})["exact"] == 50.0
    scores = squad_scores(found, answers, {"q0": 0.5, "q1": 2.0}, -9.0)
    assert (scores["exact"], scores["best_exact"], scores["best_exact_thresh"]) == (50.0, 100.0, 0.5)


def test_a_question_without_a_prediction_scores_0_whatever_the_odds():
    found, answers = answered([False, False], [None, ""])
    scores = squad_scores(found, answers, {"q0": 9.0, "q1": 9.0})
    assert scores["exact"] == scores["best_exact"] == scores["NoAns_f1"] == 50.0


def test_odds_that_cannot_be_used():
    found, answers = answered([True, False], ["ship", ""])
    with pytest.raises(ValueError, match="null odds: found none for 1 of 2 questions \\(first: id q1\\)"):
        squad_scores(found, answers, {"q0": 1.0, "other": 2.0})
    with pytest.raises(ValueError, match="null odds: found some for a dataset where every question has an answer"):
        squad_scores(found._replace(version="1.1"), answers, {"q0": 1.0, "q1": 1.0})


@pytest.mark.parametrize(
    ("value", "words_of_answers", "words_of_odds"),
    [
        (
            [["q", "x"]],
            "found a list, expected an object",
            "found a list, expected an object",
        ),
        ({"q": 3}, "field q: found 3, expected a text", None),
        ({"q": None}, "field q: found null, expected a text", "field q: found null, expected a number"),
        ({"q": "x"}, None, "field q: found 'x', expected a number"),
        ({"q": True}, "field q: found true", "field q: found true, expected a number"),
        ({"q": float("nan")}, "line 1: found NaN", "line 1: found NaN, expected a finite number"),
        ({"q": float("inf")}, "line 1: found Infinity", "line 1: found Infinity, expected a finite"),
    ],
)
def test_files_of_another_shape(tmp_path, value, words_of_answers, words_of_odds):
    file = write(tmp_path / "p.json", value)
    for read, expected in ((read_answers, words_of_answers), (read_null_odds, words_of_odds)):
        if expected is None:
            assert read(file) == value
        else:
            with pytest.raises(ValueError, match=re.escape(f"{file}: {expected}")):
                read(file)


@pytest.fixture
def files(tmp_path):
    """A dataset of v2.0 form with three questions, answers to two of them and to one that is not there, and odds."""
    asked = [question("a"), question("b", answers=[], is_impossible=True), question("c", answers=[("the ship", 0)])]
    return (
        write(tmp_path / "data.json", squad_json(*asked, version="v2.0")),
        write(tmp_path / "predictions.json", {"a": "ship", "b": "", "z": "x"}),
        write(tmp_path / "odds.json", {"a": -2.5, "b": 3, "c": 0.5}),
    )


def test_the_command(files, capsys):
    data, predictions, odds = map(str, files)
    assert main(["squad-score", data, predictions]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[:4] == [
        "exact            66.666667",
        "f1               66.666667",
        "total             3",
        "HasAns_exact     50.000000",
    ]
    assert err.splitlines() == [
        "no prediction for 1 of 3 ids (first: c); they score 0",
        "no such question for 1 of 3 ids (first: z); left out",
    ]
    assert main(["squad-score", data, predictions, "--null-odds", odds, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["best_exact"] == scores["exact"] == 200 / 3 and scores["best_exact_thresh"] == -2.5
    assert main(["squad-score", data, predictions, "--null-odds", odds, "--null-threshold", "-3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["exact"] == 100 / 3


def test_the_command_refuses_files_it_cannot_use(files, tmp_path, capsys):
    data, predictions, _ = map(str, files)
    cut = tmp_path / "cut.json"
    cut.write_bytes(pathlib.Path(predictions).read_bytes()[:-4])
    other, short = write(tmp_path / "other.json", {"z": "x"}), write(tmp_path / "short.json", {"a": 1})
    for arguments, expected in (
        ([data, str(cut)], f"{cut}: line 1: "),
        ([str(cut), predictions], f"{cut}: line 1: "),
        ([predictions, predictions], f"{predictions}: found no 'data'"),
        ([data, str(other)], f"{other}: found no answer to a question of {data}"),
        ([data, str(tmp_path / "nothing")], "No such file"),
        ([data, predictions, "--null-odds", predictions], f"{predictions}: field a: found 'ship', expected a number"),
        ([data, predictions, "--null-odds", str(short)], "null odds: found none for 2 of 3 questions (first: id b)"),
    ):
        assert main(["squad-score", *arguments]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and err.startswith("minimobilebert: error: ") and expected in err


@pytest.mark.skipif(DATA is None, reason="MINIMOBILEBERT_DATA is not set")
@pytest.mark.parametrize(
    ("data", "predictions", "exact", "f1"),
    [
        ("dev-v1.1", "v1.1-logistic-regression", "40.141911", "50.981536"),
        ("dev-v2.0", "v2.0-bert-single", "78.741683", "81.775281"),
    ],
)
def test_published_answers_have_the_published_scores(data, predictions, exact, f1, capsys):
    folder = pathlib.Path(DATA) / "squad"
    assert main(["squad-score", str(folder / f"{data}.json"), str(folder / "predictions" / f"{predictions}.json")]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[:2] == [["exact", exact], ["f1", f1]]
