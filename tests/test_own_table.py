"""Tables of the reader's own: however a spreadsheet wrote them, they are read right or refused in one line.

What the other end must see is computed with Python's csv and codecs, not with the code that is tested.
"""

import csv
import dataclasses
import errno
import io
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from documents import ROOT
from fine_tuning_data import BERT, NAMES, THINGS, no_dropout, write_model
from hypothesis import given
from hypothesis import strategies as st

from minimobilebert.cli import main
from minimobilebert.finetuning import table_prediction
from minimobilebert.finetuning.jobs import TaskFiles
from minimobilebert.finetuning.run import run
from minimobilebert.finetuning.table_evaluation import evaluate, format_evaluation
from minimobilebert.finetuning.table_prediction import predict
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.tasks.class_scores import class_scores, confusion_matrix, macro_f1
from minimobilebert.tasks.metrics import f1
from minimobilebert.tasks.own_table import TableTexts, classes_of, read_texts, split
from minimobilebert.text.table_files import open_table, rows_of
from minimobilebert.training.model_folder import load_model, save_model

FAST = {"learning_rate": 3e-3, "batch_size": 8, "weight_decay": 0.0, "epochs": 6}


def write(path, rows, separator=",", encoding="utf-8", ending="\r\n"):
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator=ending).writerows(rows)
    path.write_bytes(text.getvalue().encode(encoding))
    return str(path)


def fields(path, encoding=None):
    table = open_table(path, encoding)
    return [table.columns, *(row.fields for row in rows_of(table))]


def meals(count=60, seed=1):
    """Who eats: names of the first half are one class, those of the second the other."""
    rng, rows = np.random.default_rng(seed), []
    for number in range(count):
        who = int(rng.integers(len(NAMES)))
        text = f"{NAMES[who]} eats {THINGS[int(rng.integers(len(THINGS)))]} today {number % 7 * 'tea '}"
        rows.append([number, text, "early" if who < len(NAMES) // 2 else "late", who / len(NAMES)])
    return [["", "meal", "class", "number"], *rows]


FIELD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
ROWS = st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(FIELD, min_size=n, max_size=n), min_size=1, max_size=5))


@given(rows=ROWS, separator=st.sampled_from(",;\t|"), encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_what_csv_writes_is_read(tmp_path_factory, rows, separator, encoding):
    rows = [["text", "b", "c", "d"][: len(rows[0])], *rows]
    if len(rows[0]) == 1:
        rows = [[f"x{field}"] for (field,) in rows]  # a row of one empty field is an empty line
        rows[0] = ["text"]
    path = write(tmp_path_factory.mktemp("table") / "a.csv", rows, separator, encoding)
    assert fields(path) == rows


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp949", "이 영화는 정말 재미있고 배우들의 연기도 훌륭했다"),
        ("cp932", "この映画はとても面白くて、俳優の演技も素晴らしかった"),
        ("gb18030", "这部电影非常有趣，演员的表演也很出色"),
        ("cp1251", "Этот фильм очень интересный, и актёры играют прекрасно"),
        ("cp1252", "Le film était très drôle, et les acteurs étaient élégants"),
        ("utf-16", "Grüße, 이 영화"),
        ("utf-8", "é 이 ф 面"),
    ],
)
def test_encodings_are_found_out(tmp_path, capsys, encoding, text):
    rows = [["id", "review"], *([str(n), f'{text} "{n}"\nend'] for n in range(50))]
    path = write(tmp_path / "reviews.csv", rows, encoding=encoding)
    assert fields(path) == rows
    said = capsys.readouterr().err
    assert (f"read as {encoding}, a guess" in said) == (encoding not in ("utf-16", "utf-8"))
    if encoding.startswith("cp"):
        assert fields(path, encoding) == rows and not capsys.readouterr().err


def test_a_late_byte_of_another_encoding_is_found(tmp_path, capsys):
    rows = [["review"], *([f"plain {n} {'x' * 90}"] for n in range(30_000)), ["이 영화는 재미있다"] * 2]
    rows[-1] = rows[-1][:1]
    assert fields(write(tmp_path / "a.csv", rows, encoding="cp949"))[-1] == ["이 영화는 재미있다"]
    assert "read as cp949" in capsys.readouterr().err


def test_tabs_without_quotation_marks_around_fields(tmp_path, capsys):
    """Where marks are in pairs they are read as such; where not, they are letters. With commas it stays an error."""
    lines = ["text\tstars", '"it is" what it is\t1', 'an 11" record\t5', '" open\t1', "plain\t5"]
    (tmp_path / "a.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert fields(tmp_path / "a.tsv") == [line.split("\t") for line in lines]
    assert "found quotation marks that are not in pairs" in capsys.readouterr().err
    rows = [["text", "stars"], ['a\tb\n"c"', "1"]]
    assert fields(write(tmp_path / "b.tsv", rows, "\t")) == rows and not capsys.readouterr().err
    (tmp_path / "c.csv").write_text("\n".join(lines).replace("\t", ","), encoding="utf-8")
    with pytest.raises(ValueError, match=r"row 1 \(line 2\)"):
        fields(tmp_path / "c.csv")
    (tmp_path / "d.tsv").write_text("\n".join(lines) + "\nlonger\t1\t2\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"row 1 \(line 2\)"):  # neither way
        fields(tmp_path / "d.tsv")


WRITTEN = {  # of each file: its name, separator, encoding, line ends
    "comma": ("a.csv", ",", "utf-8", "\r\n"), "semicolon": ("a.csv", ";", "utf-8-sig", "\r\n"), "tabs": ("a.tsv", "\t", "utf-16", "\n"),
    "Korean": ("a.csv", ",", "cp949", "\n"), "old Mac": ("a.csv", ",", "utf-8", "\r"), "bars": ("a.txt", "|", "utf-8", "\n\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_the_same_reviews_however_they_are_written(tmp_path, name):
    """An index column without a name, a third column, line ends inside of a text, missing texts and labels, 200 labels."""
    file, separator, encoding, ending = WRITTEN[name]
    text = '이 영화는 "정말" 재미있다,;\t|' + ("" if encoding == "cp949" else " \N{SNOWMAN}")
    rows = [[n, f"{text} {n}" + ("\nend" if n % 3 else ""), f"topic {n % 200}", "x"] for n in range(600)]
    rows[5][1], rows[7][2], rows[8][2] = " ", "", "NaN"
    path = write(tmp_path / file, [["", "review", "stars", "more"], *rows], separator, encoding, ending)
    texts = read_texts(open_table(path), "review", label="stars")
    expected = [row for n, row in enumerate(rows) if n not in (5, 7, 8)]
    assert texts.firsts == [row[1].strip() for row in expected] and texts.labels == [row[2] for row in expected]
    assert len(classes_of(texts.labels, path)) == 200


@pytest.mark.parametrize("encoding", ["base64", "rot13", "undefined", "klingon"])
def test_what_is_no_encoding_of_texts_is_one_line(tmp_path, encoding):
    with pytest.raises(ValueError, match=f"--encoding: found '{encoding}', expected one that Python knows"):
        open_table(write(tmp_path / "a.csv", [["t", "y"], ["a", "1"]]), encoding)


def test_excel_says_its_separator(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'sep=;\r\nid;text,with,commas\r\n\r\n1;"a;b"\r\n')
    assert fields(tmp_path / "a.csv") == [["id", "text,with,commas"], ["1", "a;b"]]


def test_json_lines(tmp_path):
    lines = [{"text": "a\nb", "n": 1, "good": True}, {"n": 2.5, "text": None}, {"text": "ü", "good": False, "n": None}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n", encoding="utf-8")
    assert fields(tmp_path / "a.jsonl") == [
        ["text", "n", "good"], ["a\nb", 1, True], [None, 2.5, None], ["ü", None, False]
    ]  # fmt: skip
    texts = read_texts(open_table(tmp_path / "a.jsonl"), "text", label="good")
    assert texts.firsts == ["a\nb", "ü"] and texts.labels == ["true", "false"]
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "b", "more": 1}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"row 2 \(line 2\): found 'more', expected only names of the first row"):
        fields(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "found an empty file"),
        (b"\n\r\n", "found an empty file"),
        (b"a,b\n1,2\n3\n", "row 2 (line 3): found 1 fields, expected 2"),
        (b'a,b\n1,"2\n3\n', "row 1 (line 3): unexpected end of data"),
        (b'a,b\n1,"2"x\n', "row 1 (line 2)"),
        (b"a,b\n" + b"1,2\n" * 2000 + b"1,\0\n", "line 2002: found a NUL character"),
        (b"a\0b", "found a NUL byte, expected text"),
        (b"a,b\n1,\x81\xff\x00\n", "expected"),
        (b"a,b\n1," + b"x" * 200_000, "row 1 (line 2): found a field of more than 131,072 characters"),
        (b"PK\x03\x04xl", "found a spreadsheet (or a zip file), expected CSV"),
        ("caf\u00e9,b\n1,\u00fc\n2,".encode() + b"x\xff\n", "line 3: found byte 0xff at byte 16, expected UTF-8"),
        (b"a,b\n1," + b"x" * 2_000_000, "line 2: found 1,048,576 characters"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path, content, words):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ValueError) as caught:
        fields(tmp_path / "a.csv")
    assert words in str(caught.value) and "\n" not in str(caught.value) and "a.csv" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[1]\n", b'{"a": [1]}\n', b'{"a": 1', b'{"a": NaN}', b'{"a": 1, "a": 2}'])
def test_what_are_no_json_lines_is_one_line(tmp_path, content):
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.jsonl"):
        fields(tmp_path / "a.jsonl")


def test_names_of_columns_may_have_blanks_around_them(tmp_path):
    path = write(tmp_path / "a.csv", [[" t", "y ", "z"], ["a", "1", "2"]])
    texts = read_texts(open_table(path), "t", label="y")
    assert (texts.firsts, texts.labels) == (["a"], ["1"])
    path = write(tmp_path / "b.csv", [["t", " t", "y"], ["a", "b", "1"]])
    assert read_texts(open_table(path), "t", label="y").firsts == ["a"]  # the exact name is preferred
    with pytest.raises(ValueError, match=r"b\.csv: line 1: found no column 'x' among t, t, y"):
        read_texts(open_table(path), "x", label="y")


def test_json_lines_may_be_called_json_but_a_list_is_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"t": "a", "y": 1}\n{"t": "b", "y": 2}\n', encoding="utf-8")
    assert fields(tmp_path / "a.json") == [["t", "y"], ["a", 1], ["b", 2]]
    (tmp_path / "a.json").write_text('[{"t": "a", "y": 1}]', encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.json: found a JSON list, expected CSV, TSV or JSON lines"):
        fields(tmp_path / "a.json")


def test_one_damaged_byte_makes_no_other_encoding(tmp_path):
    """The rest is UTF-8 with letters beyond ASCII, or ASCII: no guess from a few bytes."""
    for word, damage in (("caf\u00e9 ", b"\xff"), ("plain ", b"\xff\xfe\x81")):
        text = "review\n" + f"{word * 9}\n" * 50
        (tmp_path / "a.csv").write_bytes(text.encode() + b"x" + damage + b"y\nend\n")
        with pytest.raises(ValueError, match=r"a\.csv: line 52: found byte 0xff at byte \d+, expected UTF-8, or --enc"):
            fields(tmp_path / "a.csv")


def test_rows_that_lack_something_are_left_out_and_counted(tmp_path, capsys):
    rows = [["t", "y"], ["a", "1"], [" ", "1"], ["b", ""], ["c", "NaN"], ["d", "n/a"], ["e", "2"]]
    texts = read_texts(open_table(write(tmp_path / "a.csv", rows)), "t", label="y")
    assert texts.firsts == ["a", "e"] and texts.labels == ["1", "2"]
    said = capsys.readouterr().err
    assert "rows without t, left out: 1" in said and "rows without y, left out: 3" in said


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([["t", "t", "y"], ["a", "b", "1"]], "found 2 columns 't' among t, t, y, expected one"),
        ([["x", "y"], ["a", "1"]], "found no column 't' among x, y, expected one"),
        ([["t", "y"], ["", "1"]], "found no row with t and y, expected some"),
    ],
)
def test_columns_that_are_not_there(tmp_path, rows, words):
    with pytest.raises(ValueError) as caught:
        read_texts(open_table(write(tmp_path / "a.csv", rows)), "t", label="y")
    assert words in str(caught.value)


def test_numbers_for_regression(tmp_path):
    path = write(tmp_path / "a.csv", [["t", "y"], ["a", "1.5"], ["b", "-2e3"], ["c", "inf"]])
    with pytest.raises(ValueError, match=r"row 3 \(line 4\): found 'inf' in y, expected a number"):
        read_texts(open_table(path), "t", label="y", regression=True)
    path = write(tmp_path / "b.csv", [["t", "y"], ["a", "1e300"]])
    with pytest.raises(ValueError, match=r"row 1 \(line 2\): found '1e300' in y, expected a number of float32"):
        read_texts(open_table(path), "t", label="y", regression=True)
    path = write(tmp_path / "a.csv", [["t", "y"], ["a", "1.5"]])
    with pytest.raises(ValueError, match=r"row 1 \(line 2\): found 'a' in t, expected a number"):
        read_texts(open_table(path), "y", label="t", regression=True)


def test_classes_are_in_order_and_of_a_number_that_makes_sense():
    assert classes_of(["10", "9", "10", "9"], "f") == ["9", "10"]
    assert classes_of(["b", "10", "b", "10"], "f") == ["10", "b"]
    assert len(classes_of([f"c{n % 200}" for n in range(1000)], "f")) == 200
    with pytest.raises(ValueError, match="f: found one label, 'a', in all rows"):
        classes_of(["a", "a"], "f")
    with pytest.raises(ValueError, match="f: found labels '1' and '1.0', expected one spelling"):
        classes_of(["1", "2", "1.0", "2", "1", "1.0"], "f")
    with pytest.raises(ValueError, match="found 40 different labels in 50 rows"):
        classes_of([str(n % 40) for n in range(50)], "f")


@given(seed=st.integers(0, 2**31), count=st.integers(30, 200), classes=st.integers(2, 4), texts=st.integers(5, 200))
def test_the_split_keeps_equal_texts_together_and_shares_of_classes(seed, count, classes, texts):
    rng = np.random.default_rng(seed)
    firsts = [f"text {int(n)}" for n in rng.integers(0, texts, count)]
    table = TableTexts(firsts, None, [str(len(t) * int(t[5:]) % classes) for t in firsts])
    train, dev = split(table, seed)
    assert sorted([*train, *dev]) == list(range(count)) and len(dev)
    assert not {firsts[n] for n in train} & {firsts[n] for n in dev}
    assert [list(part) for part in split(table, seed)] == [list(train), list(dev)]
    for name in set(table.labels):
        different = len({t for t, label in zip(firsts, table.labels, strict=True) if label == name})
        kept = len({firsts[n] for n in dev if table.labels[n] == name})
        assert kept == max(round(0.1 * different), 1 if different > 1 else 0)


def test_scores_of_classes_are_those_of_each_class_against_the_others():
    rng = np.random.default_rng(3)
    found, labels = rng.integers(0, 4, (2, 50))
    confusion = confusion_matrix(found, labels, 5)  # nobody is of class 4
    for label in range(5):
        for prediction in range(5):
            assert confusion[label, prediction] == sum((labels == label) & (found == prediction))
    precision, recall, f1s = class_scores(confusion)
    for c in range(5):
        assert f1s[c] == pytest.approx(f1(found == c, labels == c), abs=1e-12)
        assert precision[c] == pytest.approx((labels[found == c] == c).mean() if c in found else 0.0)
        assert recall[c] == pytest.approx((found[labels == c] == c).mean() if c in labels else 0.0)
    assert macro_f1(confusion) == pytest.approx(f1s.mean(), abs=1e-12)
    assert macro_f1(confusion_matrix(labels, labels, 4)) == 1.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own-table")
    write_model(folder / "bert", no_dropout(BERT))
    write(folder / "meals.csv", meals())
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    """A model that has learnt the classes of the meals -> its folder"""
    files = TaskFiles(str(folder / "meals.csv"), text="meal", label="class")
    run(task="table", model=str(folder / "bert"), out=folder / "run", files=files, **FAST)
    return folder / "run"


def test_a_table_is_learnt_scored_and_described(folder, trained):
    result = evaluate(model=trained, files=TaskFiles(None))
    assert result["rows"] == 6 and result["accuracy"] > 0.8
    assert [c["name"] for c in result["classes"]] == ["early", "late"]
    everything = evaluate(model=trained, files=TaskFiles(str(folder / "meals.csv")))
    assert (
        everything["rows"] == 60 == np.sum(everything["confusion"]) == sum(c["rows"] for c in everything["calibration"])
    )
    right = np.trace(everything["confusion"])
    assert everything["accuracy"] == pytest.approx(right / 60) and len(everything["worst"]) == min(10, 60 - right)
    assert "label \\ prediction" in format_evaluation(everything)


def test_a_table_that_has_changed_is_not_scored_as_if_it_had_not(folder, tmp_path):
    path = write(tmp_path / "meals.csv", meals())
    files = TaskFiles(path, text="meal", label="class")
    run(task="table", model=str(folder / "bert"), out=tmp_path / "run", files=files, **FAST | {"epochs": 1})
    write(tmp_path / "meals.csv", meals(61))
    with pytest.raises(ValueError, match=r"meals\.csv: found other contents than when .*run was trained"):
        evaluate(model=tmp_path / "run", files=TaskFiles(None))
    assert evaluate(model=tmp_path / "run", files=TaskFiles(path))["rows"] == 61


def test_predictions_are_added_to_the_rows(folder, trained, tmp_path):
    rows = meals(40, seed=2)
    rows[5][1] = ""
    path = write(tmp_path / "new.csv", rows, separator=";", encoding="utf-8-sig")
    found = list(csv.reader(io.StringIO(predict(model=trained, files=TaskFiles(path), out=tmp_path / "out.csv")
                                        .read_bytes().decode("utf-8-sig")), delimiter=";"))  # fmt: skip
    assert found[0] == ["", "meal", "class", "number", "prediction", "p(early)", "p(late)"]
    assert [row[:4] for row in found] == [[str(x) for x in row] for row in rows]
    assert found[5][4:] == ["", "", ""]
    for row in found[1:5] + found[6:]:
        early, late = map(float, row[5:])
        assert early + late == pytest.approx(1.0, abs=2e-6) and row[4] == ("early" if early > late else "late")
    assert np.mean([row[4] == row[2] for row in found[1:]]) > 0.7
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".out.csv.unfinished")] == []


def test_json_lines_stay_json_lines(trained, tmp_path):
    lines = [{"meal": row[1], "id": row[0]} for row in meals(5)[1:]] + [{"id": 7, "meal": None}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    out = predict(model=trained, files=TaskFiles(str(tmp_path / "a.jsonl")), out=tmp_path / "out.jsonl")
    found = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["prediction"] in ("early", "late") for row in found] == [True] * 5 + [False]
    assert found[-1]["prediction"] is None
    assert [(row["meal"], row["id"]) for row in found] == [(row["meal"], row["id"]) for row in lines]  # of their types


@pytest.mark.parametrize("damage", [None, "flip", "longer", "note"])
def test_an_interrupted_prediction_goes_on_with_the_same_bytes(trained, tmp_path, monkeypatch, capsys, damage):
    monkeypatch.setattr(table_prediction, "CHUNK", 8)
    path = write(tmp_path / "new.csv", meals(30, seed=3))
    files = TaskFiles(path)
    whole = predict(model=trained, files=files, out=tmp_path / "whole.csv").read_bytes()
    written, add = [], table_prediction._Output.add

    def stop_at_the_third(self, lines, cut):
        if len(written) == 2:
            self.file.write(b"half a row")
            self.file.flush()
            raise KeyboardInterrupt
        written.append(lines)
        add(self, lines, cut)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(table_prediction._Output, "add", stop_at_the_third)
        predict(model=trained, files=files, out=tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
    unfinished = tmp_path / ".out.csv.unfinished"
    if damage == "flip":
        content = bytearray(unfinished.read_bytes())
        content[20] ^= 1
        unfinished.write_bytes(content)
    elif damage == "longer":
        write(tmp_path / "new.csv", meals(30, seed=3) + [[99, "ada eats tea", "early", 0.5]])
    elif damage == "note":
        (tmp_path / ".out.csv.unfinished.json").unlink()
    capsys.readouterr()
    found = predict(model=trained, files=files, out=tmp_path / "out.csv").read_bytes()
    assert ("going on behind row 16" in capsys.readouterr().err) == (damage is None)
    assert found.startswith(whole) if damage == "longer" else found == whole


KILLED = """
import os, signal, sys
from minimobilebert.finetuning import table_prediction
from minimobilebert.finetuning.jobs import TaskFiles

model, table, out, when, number = sys.argv[1:]
calls, replace = [], os.replace

def replace_or_die(*names):  # of a note how far it is, and at the end of the output
    calls.append(names)
    for now in ("before", "after"):
        if now == when and len(calls) == int(number):
            os.kill(os.getpid(), signal.SIGKILL)
        if now == "before":
            replace(*names)

os.replace, table_prediction.CHUNK = replace_or_die, 8
table_prediction.predict(model=model, files=TaskFiles(table), out=out)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_after_kill_9_the_same_command_gives_the_same_bytes(trained, tmp_path, monkeypatch):
    """60 rows are 8 notes and the output: killed beside notes, before the output has its name, and right after that."""
    table = write(tmp_path / "new.csv", meals(60, seed=3))
    monkeypatch.setattr(table_prediction, "CHUNK", 8)
    with use_backend("numpy"):
        whole = predict(model=trained, files=TaskFiles(table), out=tmp_path / "whole.csv").read_bytes()
    environment = os.environ | {"MINIMOBILEBERT_BACKEND": "numpy", "PYTHONPATH": str(ROOT)}  # starts fast
    for when, number, row in (("before", 3, 0), ("after", 2, 16), ("before", 1, 32), ("before", 5, 32), ("after", 1, 60),
                              ("never", 0, 0)):  # fmt: skip
        words = [str(trained), table, str(tmp_path / "out.csv"), when, str(number)]
        done = subprocess.run([sys.executable, "-c", KILLED, *words], env=environment, capture_output=True, text=True)
        assert done.returncode == (0 if when == "never" else -signal.SIGKILL), done.stderr
        assert (f"going on behind row {row}" in done.stderr) == (row > 0)
    assert (tmp_path / "out.csv").read_bytes() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.csv", "out.csv", "whole.csv"]


def test_a_number_is_learnt_too(folder):
    files = TaskFiles(str(folder / "meals.csv"), text="meal", label="number", regression=True)
    summary = run(task="table", model=str(folder / "bert"), out=folder / "number", files=files, **FAST | {"epochs": 12})
    assert summary["best"]["scores"]["dev"]["pearson"] > 0.5
    found = evaluate(model=folder / "number", files=TaskFiles(str(folder / "meals.csv")))
    assert set(found) == {"rows", "pearson", "spearman"} and found["rows"] == 60
    out = predict(model=folder / "number", files=TaskFiles(str(folder / "meals.csv")), out=folder / "numbers.csv")
    rows = list(csv.reader(io.StringIO(out.read_bytes().decode())))
    assert rows[0][-1] == "prediction"
    assert np.corrcoef([float(r[-1]) for r in rows[1:]], [float(r[3]) for r in rows[1:]])[0, 1] > 0.8


def test_pairs_and_a_file_for_scoring(folder, tmp_path):
    rows = meals(24)
    write(tmp_path / "train.csv", [[*row, "tea today"] for row in rows[:1]] + [[*row, "tea today"] for row in rows[1:]])
    (tmp_path / "train.csv").write_text((tmp_path / "train.csv").read_text().replace("number,tea today", "number,b"))
    files = TaskFiles(str(tmp_path / "train.csv"), dev_file=str(tmp_path / "train.csv"), text="meal", text_b="b",
                      label="class")  # fmt: skip
    summary = run(task="table", model=str(folder / "bert"), out=tmp_path / "run", files=files, **FAST | {"epochs": 1})
    assert summary["rows"] == 24 and evaluate(model=tmp_path / "run", files=TaskFiles(None))["rows"] == 24
    other = dataclasses.replace(
        files, dev_file=write(tmp_path / "dev.csv", [["meal", "b", "class"], ["ada", "b", "x"]])
    )
    with pytest.raises(ValueError, match=r"dev\.csv: found label 'x', expected one of 'early', 'late'"):
        run(task="table", model=str(folder / "bert"), out=tmp_path / "no", files=other, **FAST)
    assert not (tmp_path / "no" / "config.json").exists()


def test_commands(folder, trained, tmp_path, capsys):
    table = str(folder / "meals.csv")
    assert main(["predict", "--model", str(trained), "--data", table, "--out", str(tmp_path / "a.csv")]) == 0
    assert main(["evaluate", "--model", str(trained), "--data", table, "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out[out.index("{") :])["rows"] == 60
    pipe, page = tmp_path / "pipe.csv", tmp_path / "page.html"
    os.mkfifo(pipe) if hasattr(os, "mkfifo") else pipe.mkdir()
    page.mkdir()
    for words, expected in (
        (["finetune", "--out", "x"], "--data: found none, expected a table"),
        (["finetune", "--data", table, "--out", "x"], "--text, --label: found no name"),
        (
            ["finetune", "--data", table, "--text", "meal", "--label", "meal", "--out", "x"],
            "expected different columns",
        ),
        (
            ["finetune", "--task", "rte", "--text", "meal", "--out", "x"],
            "--text: found it with rte, expected it with table",
        ),
        (["predict", "--data", table, "--out", str(tmp_path)], "found a folder, expected the name of a file"),
        (["predict", "--data", table, "--out", str(pipe)], "pipe.csv: found a"),
        (["predict", "--data", table, "--out", "a.csv.gz"], "expected a name without .gz"),
        (["predict", "--data", table, "--out", "a.jsonl"], "found a.jsonl for a table of CSV or TSV"),
        (["evaluate", "--data", table, "--report", table], "expected a name that ends in .html"),
        (["evaluate", "--data", table, "--report", str(page)], "page.html: found a folder, expected the name of a"),
        (["predict", "--data", table, "--out", table], "the table itself"),
        (["predict", "--data", table, "--out", "x", "--stride", "4"], "--stride: found it with table"),
        (["predict", "--out", "x"], "--data: found none, expected a table"),
        (["evaluate", "--data", table, "--dev-file", table], "--dev-file: found it for a trained model"),
        (["evaluate", "--data", table, "--leave-out", table], "--leave-out: found it with table"),
        (["evaluate", "--data", table, "--encoding", "klingon"], "--encoding: found 'klingon'"),
    ):
        model = trained if words[0] != "finetune" else folder / "bert"
        assert main([*words, "--model", str(model)]) == 2
        assert expected in capsys.readouterr().err


def test_two_classes_of_one_name_would_share_a_column(tmp_path, capsys):
    """Names come from the config.json of a Hugging Face folder, where nothing keeps them apart."""
    saved = load_model(write_model(tmp_path / "model", no_dropout(BERT), "classification", num_labels=3))
    save_model(tmp_path / "twice", saved.params, saved.config, saved.tokenizer, ["good", "bad", "good"])
    write(tmp_path / "table.csv", [["review"], ["ada eats figs"]])
    words = ["predict", "--data", str(tmp_path / "table.csv"), "--text", "review"]
    assert main([*words, "--model", str(tmp_path / "twice"), "--out", str(tmp_path / "answers.csv")]) == 2
    assert "found two classes with the name 'good'" in capsys.readouterr().err
    assert not [path for path in tmp_path.iterdir() if "answers" in path.name]


def test_a_full_disk_is_named(tmp_path, capsys, monkeypatch):
    model = write_model(tmp_path / "model", no_dropout(BERT), "classification", num_labels=2)
    write(tmp_path / "table.csv", [["review"], ["ada eats figs"]])

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(table_prediction.os, "fsync", full)
    answers = tmp_path / "answers.csv"
    words = ["predict", "--data", str(tmp_path / "table.csv"), "--text", "review", "--model", model]
    assert main([*words, "--out", str(answers)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("minimobilebert")]
    assert f"{answers}: cannot write (No space left on device); the same command goes on from here" in line
    assert not answers.exists()
