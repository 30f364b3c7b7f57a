"""SQuAD's file: what is read, and one clear line for every file that cannot be used."""

import json
import os
import pathlib
import re

import pytest
from squad_examples import question, squad_json, write

from minimobilebert.tasks.squad_data import Answer, read_ids, read_squad, single_question, split_by_article

DATA = os.environ.get("MINIMOBILEBERT_DATA")


def test_a_file_of_version_1(tmp_path):
    file = write(tmp_path / "a.json", squad_json(question(), question("r", "what?", [("the ship", 0), ("ship", 4)])))
    found = read_squad(file, training=True)
    assert found.contexts == ["the ship sails."] and found.articles == [0]
    assert (found.version, found.training) == ("1.1", True)
    assert found.questions[1] == ("r", "Ships", 0, "what?", (Answer("the ship", 0), Answer("ship", 4)), False)


@pytest.mark.parametrize(
    ("version", "more"), [("v2.0", {}), ("1.1", {"is_impossible": True}), (None, {"is_impossible": True})]
)
def test_a_file_of_version_2_is_known_by_its_name_or_its_fields(tmp_path, version, more):
    value = squad_json(question(answers=[], **more), question("r"), version=version)
    found = read_squad(write(tmp_path / "a.json", value))
    assert found.version == "2.0" and [q.is_impossible for q in found.questions] == [True, False]


def test_a_mark_at_the_beginning_of_the_file_is_no_text(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(squad_json(question())), encoding="utf-8-sig")
    assert len(read_squad(tmp_path / "a.json").questions) == 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "found a list, expected an object with 'data'"),
        ({"version": "1.1"}, "found no 'data', expected a list"),
        ({"data": {}}, "data: found an object, expected a list"),
        ({"data": []}, "found no question"),
        ({"data": [7]}, "data[0]: found a whole number, expected an object with 'paragraphs'"),
        ({"data": [{"title": 3, "paragraphs": []}]}, "data[0]: title: found a whole number, expected text"),
        ({"data": [{"paragraphs": [{"qas": []}]}]}, "data[0].paragraphs[0]: found no 'context', expected text"),
        ({"data": [{"paragraphs": [{"context": "a \ud800", "qas": []}]}]}, "context: found half a character at 2"),
        (squad_json(question(id=None)), "data[0].paragraphs[0].qas[0]: found no 'id', expected text"),
        (squad_json(question(id=5)), "qas[0]: id: found a whole number, expected text"),
        (squad_json(question(), question()), "data[0].paragraphs[0]: id q: found a second time"),
        (squad_json(question(question=None)), "id q: found no 'question', expected text"),
        (squad_json(question(answers=())), "id q: found 0 answers, expected at least one"),
        (squad_json(question(answers=(), is_impossible=False)), "id q: found 0 answers, expected at least one"),
        (squad_json(question(is_impossible=True)), "id q: found 1 answers, expected none: is_impossible is true"),
        (squad_json(question(is_impossible=0)), "id q: is_impossible: found a whole number, expected true or false"),
        (squad_json(question() | {"answers": {"text": ["ship"]}}), "id q: answers: found an object, expected a list"),
        (squad_json(question() | {"answers": [{"answer_start": 4}]}), "id q: found no 'text', expected text"),
        (squad_json(question() | {"answers": [{"text": 9}]}), "id q: text: found a whole number, expected text"),
    ],
)
def test_a_file_of_another_shape_is_one_line_with_its_place(tmp_path, value, words):
    file = write(tmp_path / "a.json", value)
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        read_squad(file)
    assert str(error.value).startswith(f"{file}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "line 1: found an empty file"),
        (b" \n", "found an empty file, expected JSON"),
        (json.dumps(squad_json(question())).encode()[:-3], "line 1: found the end: Expecting"),
        ('{"data": "é"}'.encode("latin-1"), "found byte 0xe9 at byte 10, expected text in UTF-8"),
        (b"\xef\xbb\xbf" + '{"data": "é"}'.encode("latin-1"), "found byte 0xe9 at byte 13"),
        ('{"data": 1}'.encode("utf-16"), "found byte 0xff at byte 0"),
        (b"[" * 200_000, "nested too deeply"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, content, words):
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        read_squad(file)
    assert str(error.value).startswith(f"{file}: ")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (("ship", 5), "id q: found 'hip ' at answer_start 5, expected the answer 'ship'"),
        (("sails.", -6), "id q: found 'the sh' at answer_start -6"),  # Python would count from the end
        (("sails. And", 9), "id q: found 'sails.' at answer_start 9"),
        (("ship", 99), "id q: found '' at answer_start 99"),
        (("", 4), "id q: found an answer without a letter"),
        ((" ", 3), "id q: found an answer without a letter"),
        (("ship", "4"), "id q: answer_start: found text, expected a whole number"),
        (("ship", True), "id q: answer_start: found true or false, expected a whole number"),
        (("ship", 4.0), "id q: answer_start: found 4.0, expected a whole number"),
    ],
)
def test_answers_have_to_stand_in_the_context_for_training_only(tmp_path, answer, words):
    file = write(tmp_path / "a.json", squad_json(question(answers=[answer]), question("r")))
    with pytest.raises(ValueError, match=re.escape(words)):
        read_squad(file, training=True)
    assert [q.id for q in read_squad(file, training=True, leave_out=["q"]).questions] == ["r"]
    assert read_squad(file).questions[0].answers[0].text == answer[0]


def test_a_start_is_not_needed_for_scoring(tmp_path):
    file = write(tmp_path / "a.json", squad_json(question() | {"answers": [{"text": "ship"}]}))
    assert read_squad(file).questions[0].answers == (Answer("ship", None),)
    with pytest.raises(ValueError, match="id q: found no 'answer_start'"):
        read_squad(file, training=True)


def test_ids_to_leave_out_have_to_be_there(tmp_path):
    file = write(tmp_path / "a.json", squad_json(question()))
    with pytest.raises(ValueError, match="found no id x, which is to be left out"):
        read_squad(file, leave_out=["q", "x"])
    with pytest.raises(ValueError, match="found no question"):
        read_squad(file, leave_out=["q"])
    assert read_ids(write(tmp_path / "ids.json", ["q"])) == ["q"]
    for wrong in ({"q": 1}, ["q", 1]):
        with pytest.raises(ValueError, match="ids.json: .*found .*, expected a (list|text)"):
            read_ids(write(tmp_path / "ids.json", wrong))


def articles(tmp_path, count):
    value = {"data": []}
    for a in range(count):
        paragraphs = [{"context": f"the ship {a}-{p}", "qas": [question(f"{a}-{p}")]} for p in range(a + 1)]
        value["data"].append({"title": "Ships", "paragraphs": paragraphs})  # two articles may have one title
    return read_squad(write(tmp_path / "a.json", value), training=True)


@pytest.mark.parametrize("first", [1, 2, 3])
def test_a_split_by_article_keeps_every_text_on_one_side(tmp_path, first):
    whole = articles(tmp_path, 4)
    parts = split_by_article(whole, first)
    assert [q.id for part in parts for q in part.questions] == [q.id for q in whole.questions]
    assert not set(parts[0].contexts) & set(parts[1].contexts)
    assert max(parts[0].articles) == first - 1 and parts[1].articles[0] == 0
    for part in parts:
        assert all(part.contexts[q.context_number] == f"the ship {q.id}" for q in part.questions)
        assert (part.version, part.training) == ("1.1", True)


@pytest.mark.parametrize("first", [-1, 0, 4, 5])
def test_a_split_has_two_sides(tmp_path, first):
    with pytest.raises(ValueError, match=f"first: found {first} of 4 articles"):
        split_by_article(articles(tmp_path, 4), first)


def test_a_single_question():
    found = single_question("Who?", "A ship.")
    assert found.contexts == ["A ship."] and found.questions[0].question == "Who?" and found.version == "2.0"
    with pytest.raises(ValueError, match="passage: found nothing"):
        single_question("Who?", " \n")


@pytest.mark.skipif(DATA is None, reason="MINIMOBILEBERT_DATA is not set")
@pytest.mark.parametrize(
    ("name", "questions", "impossible", "version", "unsure"),
    [("dev-v1.1", 10_570, 0, "1.1", 1067), ("dev-v2.0", 11_873, 5_945, "2.0", 452), ("xquad.en", 1_190, 0, "1.1", 0)],
)
def test_the_real_files(name, questions, impossible, version, unsure):
    file = pathlib.Path(DATA) / "squad" / f"{name}.json"
    found = read_squad(file)
    assert len(found.questions) == questions and found.version == version
    assert sum(q.is_impossible for q in found.questions) == impossible
    leave_out = read_ids(file.with_suffix(".unsure-offsets.json")) if unsure else []
    assert len(read_squad(file, training=True, leave_out=leave_out).questions) == questions - unsure
