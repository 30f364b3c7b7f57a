"""Texts of any length: memory and time grow with the text, not with its square; the answers stay the same."""

import functools
import os
import time
import tracemalloc

import numpy as np
import pytest
from fine_tuning_data import write_model
from squad_examples import TOKENIZER, dataset

from minimobilebert.cli import main
from minimobilebert.inference import answer as answering
from minimobilebert.inference.model import Model
from minimobilebert.tasks.squad_data import single_question
from minimobilebert.tasks.squad_features import make_features
from minimobilebert.tasks.squad_search import best_answers, best_answers_of_all
from minimobilebert.tasks.squad_windows import max_context, windows_of
from minimobilebert.tasks.tsv import read_rows
from minimobilebert.text.sentences import split_sentences
from minimobilebert.text.wordpiece import WordPieceTokenizer


def scores_of(batch):
    """Logits that depend on a row's pieces and places only, as a model's would -> [B, T, 2]"""
    places = np.arange(batch.input_ids.shape[1])
    return np.stack([np.sin(batch.input_ids * 7.0 + places), np.cos(batch.input_ids * 3.0 - places)], axis=2)


def peak_of(function):
    """Bytes that were in use together while the function ran, beyond those before"""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("most", [1, 3, 7, 1000])
def test_answers_do_not_depend_on_how_many_windows_are_in_memory(most):
    rng = np.random.default_rng(1)
    contexts = [" ".join(rng.choice(list("abcdefgh"), n)) for n in (1, 90, 30, 200)]
    asked = [(c, "who?", ("a", None)) for c in (1, 0, 3, 3, 2)]
    features = make_features(dataset(contexts, asked, "2.0", training=False), TOKENIZER, 24, 5, 4)
    rows = list(answering.span_scores_of(scores_of, features, batch_size=4))
    assert len(rows) == features.counts.windows > 60
    split = list(answering.span_scores_of(scores_of, features, batch_size=4, most=most))
    for one, other in zip(rows, split, strict=True):
        assert [a.tolist() for a in one] == [a.tolist() for a in other]
    starts, ends = zip(*rows, strict=True)
    for number, found in enumerate(best_answers_of_all(features, split)):
        assert found == best_answers(features, number, starts, ends)


def test_what_is_kept_grows_with_the_passage_only():
    """40,000 pieces took 2.5 GB: a table of windows by pieces, and every span's score of every window."""

    def search(pieces):
        features = make_features(single_question("who?", "a b c d " * (pieces // 4)), TOKENIZER)
        rows = ((np.zeros(384), np.arange(384.0)) for _ in range(features.counts.windows))
        assert len(list(best_answers_of_all(features, rows))[0]) == 21

    one, two = (peak_of(functools.partial(search, pieces)) for pieces in (8_000, 16_000))
    assert two < 2.2 * one and two < 16_000 * 400


def test_the_windows_of_a_whole_library():
    pieces = 2_000_000
    flags = max_context(pieces, windows := windows_of(pieces, 320, 128))
    owners = np.zeros(pieces, int)
    for (first, length), flag in zip(windows, flags, strict=True):
        owners[first : first + length] += flag
    assert (owners == 1).all()


@pytest.mark.parametrize("text", ["." * 100_000, "!?" * 50_000 + "x", ".)" * 50_000, "a." * 50_000, ". (" * 30_000])
def test_a_line_of_marks_is_read_at_once(text):
    start = time.process_time()
    assert "".join(split_sentences(text)).replace(" ", "") == text.replace(" ", "")
    assert time.process_time() - start < 5.0  # some milliseconds; it was an hour


UGLY = {
    "no blanks": "a" * 100_000,
    "long words": ("x" * 100_000 + " ") * 5,
    "marks": "a" + "\u0301" * 100_000,
    "marks that stay": "a" + "\u302e\u0315" * 50_000,
    "one piece again and again": "tea " * 3_000,
    "ideographs": "日本" * 1_500,
    "nothing to see": "\0\u200b" * 1_000 + "a",
}


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return Model.load(write_model(tmp_path_factory.mktemp("reader") / "qa", head="question-answering"))


@pytest.mark.parametrize("case", UGLY)
def test_passages_of_another_shape(reader, case):
    passage = UGLY[case]
    found = answering.answer(reader, "what does ada eat?", passage, top=3)
    assert found and all(row["text"] == passage[row["start"] : row["stop"]] for row in found)
    assert np.isfinite([row["score"] for row in found]).all()


def test_a_question_of_100_000_words_is_cut_and_this_is_said(reader, capsys):
    long = answering.answer(reader, "what does ada eat? " * 25_000, "ada eats tea.")
    assert "the question is too long and was cut to its beginning" in capsys.readouterr().err
    assert long == answering.answer(reader, "what does ada eat? " * 10, "ada eats tea.")


def test_a_passage_from_a_file(tmp_path, capsys):
    model = write_model(tmp_path / "qa", head="question-answering")
    passage = tmp_path / "passage.txt"
    passage.write_text(
        "\ufeffada eats tea. " * 100 + " " * 300_000, encoding="utf-8"
    )  # 300 KB: more than Linux takes as an argument
    command = ["answer", "--question", "what does ada eat?", "--model", model, "--json"]
    assert main([*command, "--passage-file", str(passage)]) == 0
    from_file = capsys.readouterr().out
    passage.write_bytes(b"ada \xff")
    assert main([*command, "--passage-file", str(passage)]) == 2
    assert f"{passage}: found byte 0xff at byte 4" in capsys.readouterr().err
    assert main([*command, "--passage-file", str(tmp_path)]) == 2
    assert f"{tmp_path}: found a folder, expected a file" in capsys.readouterr().err
    assert '"text"' in from_file


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("read", [WordPieceTokenizer.load, lambda path: list(read_rows(path))])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe: found a pipe, expected a file"):
        read(tmp_path / "pipe")
