"""The report of fine-tuning: what it counts is what loops count, and the page is whole, safe and always the same."""

import html.parser
import json
import re

import numpy as np
import pytest
from fine_tuning_data import BERT, no_dropout, write_model
from hypothesis import given
from hypothesis import strategies as st

from minimobilebert.cli import main
from minimobilebert.finetuning import run as run_module
from minimobilebert.finetuning.details import class_details, question_details, regression_details
from minimobilebert.finetuning.report import write_evaluation_report, write_run_report
from minimobilebert.support.extras import MissingExtra
from minimobilebert.tasks.squad_data import Answer, SquadDataset, SquadQuestion
from minimobilebert.tasks.squad_decoding import SquadAnswers
from minimobilebert.tasks.squad_search import Candidate

NASTY = "<script>alert('1')</script> & \"</td>\" \N{SNOWMAN} <b>"
VOID = {"meta", "br", "img", "hr", "input", "link"}


class Page(html.parser.HTMLParser):
    """Every tag is closed in its turn; keeps attributes and texts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data):
        self.texts.append(data)


def checked(path):
    """The page, which refers to nothing outside of itself"""
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags[:2] == ["html", "head"] and "script" not in page.tags and "link" not in page.tags
    for name, value in page.attributes:
        assert name.startswith("xmlns") or "://" not in (value or ""), (name, value)
        assert name not in ("src", "href", "xlink:href") or value.startswith(("#", "data:")), value
    assert not re.search(r"url\((?!#)|@import", text)
    return page


@given(seed=st.integers(0, 2**32), rows=st.integers(1, 60), classes=st.integers(2, 6))
def test_classes_are_counted_as_by_hand(seed, rows, classes):
    rng = np.random.default_rng(seed)
    logits, labels = 3 * rng.normal(size=(rows, classes)), rng.integers(0, classes, rows)
    texts = [f"text {n}" for n in range(rows)]
    found = class_details(logits, labels, [f"c{n}" for n in range(classes)], (texts, None))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    guesses, sure = shares.argmax(axis=1), shares.max(axis=1)
    assert sum(one["rows"] for one in found["calibration"]) == rows
    right = sum(one["rows"] * one["accuracy"] for one in found["calibration"])
    assert right == pytest.approx(np.trace(found["confusion"])) == pytest.approx((guesses == labels).sum())
    assert sum(one["rows"] * one["confidence"] for one in found["calibration"]) == pytest.approx(sure.sum())
    wrong = sorted((-sure[n], n) for n in range(rows) if guesses[n] != labels[n])[:10]
    assert [one["text"] for one in found["worst"]] == [texts[n] for _, n in wrong]
    for one, (confidence, n) in zip(found["worst"], wrong, strict=True):
        assert one["confidence"] == pytest.approx(-confidence)
        assert (one["label"], one["prediction"]) == (f"c{labels[n]}", f"c{guesses[n]}")


def test_numbers_and_pairs():
    labels = np.array([1.0, 2.0, 3.0, 4.0], np.float32)
    predictions = np.array([1.5, 2.0, 0.0, 4.25], np.float32)
    found = regression_details(predictions, labels, (list("abcd"), list("efgh")))
    assert found["points"] == [[1.0, 1.5], [2.0, 2.0], [3.0, 0.0], [4.0, 4.25]]
    assert found["worst"][0] == {"text": "c", "text_b": "g", "label": 3.0, "prediction": 0.0}
    assert len(regression_details(*np.zeros((2, 9000)), (["x"] * 9000, None))["points"]) == 2000


def questions(version="2.0"):
    none = "" if version == "2.0" else "tea"
    made = [
        ("a", "What is it?", "a ship"),
        ("b", "What was it?", "tea"),
        ("c", "Who?", none),
        ("d", "In a way?", "ada"),
    ]
    asked = [SquadQuestion(i, "", 0, q, (Answer(text, 0),) if text else (), not text) for i, q, text in made]
    return SquadDataset(asked, ["a ship"], [0], version, False)


def candidates(**texts):
    return {name: [Candidate(text, 0, 1, 0.0, score, 1.0)] for name, (text, score) in texts.items()}


def test_questions_by_their_first_word_and_the_surest_wrong_answers():
    best = candidates(a=("ship", 5.0), b=("salt", 2.0), c=("ben", 7.0), d=("leo", 9.0))
    odds = {"a": -1.0, "b": -2.0, "c": -3.0, "d": 4.0}
    answers = SquadAnswers({name: found[0].text for name, found in best.items()}, best, odds)
    found = question_details(questions(), answers, threshold=0.0)
    rows = {one["name"]: (one["rows"], one["exact"], one["f1"]) for one in found["questions"]}
    assert rows == {"what": (2, 50.0, 50.0), "who": (1, 0.0, 0.0), "other": (1, 0.0, 0.0)}
    assert [one["text"] for one in found["worst"]] == ["In a way?", "Who?", "What was it?"]
    assert [(one["label"], one["prediction"]) for one in found["worst"]] == [("ada", ""), ("", "ben"), ("tea", "salt")]


def test_the_page_of_an_evaluation(tmp_path):
    rng = np.random.default_rng(1)
    classes = [NASTY, "b", "c"]
    found = class_details(rng.normal(size=(40, 3)), rng.integers(0, 3, 40), classes, ([NASTY] * 40, [NASTY * 99] * 40))
    pages = []
    for name in ("one.html", "two.html"):
        write_evaluation_report(tmp_path / name, NASTY, {"dev": {"scores": {"accuracy": 0.5}, "rows": 40, **found}})
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]
    page = checked(tmp_path / "one.html")
    assert page.texts.count(NASTY) >= 10 + 1 + 2  # ten mistakes, the row of the class, both sides of the matrix
    assert page.tags.count("svg") == 1 and "Expected calibration error" in " ".join(page.texts)
    assert len(pages[0]) < 200_000  # long texts are cut


def test_many_classes_are_a_list_of_confusions(tmp_path):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 200, 1000)
    logits = 4 * np.eye(200)[labels] + rng.normal(size=(1000, 200))
    logits[labels == 7] = np.eye(200)[9]  # all of class 7 are taken for 9
    found = class_details(logits, labels, [f"class {n}" for n in range(200)], (["x"] * 1000, None))
    write_evaluation_report(tmp_path / "a.html", "m", {"dev": {"scores": {}, "rows": 1000, **found}})
    texts = checked(tmp_path / "a.html").texts
    place = texts.index("The most frequent confusions:")
    assert texts[place + 4 : place + 7] == ["class 7", "class 9", str((labels == 7).sum())]


def test_the_page_of_numbers_and_that_of_questions(tmp_path):
    rng = np.random.default_rng(1)
    numbers = regression_details(*rng.normal(size=(2, 3000)), ([NASTY] * 3000, None))
    best = candidates(a=("ship", 5.0), b=(NASTY, 2.0), c=("ben", 7.0), d=("leo", 9.0))
    answers = SquadAnswers({name: found[0].text for name, found in best.items()}, best, None)
    asked = question_details(questions("1.1"), answers, threshold=0.0)
    for name, found in (("numbers", numbers), ("questions", asked)):
        write_evaluation_report(tmp_path / f"{name}.html", "m", {"dev": {"scores": {"f1": 1.0}, "rows": 3000, **found}})
        page = checked(tmp_path / f"{name}.html")
        assert NASTY in page.texts
    text = " ".join(checked(tmp_path / "numbers.html").texts)
    assert "2,000 of 3,000 rows are shown" in text
    assert (tmp_path / "numbers.html").stat().st_size < 400_000


def summary(**scores):
    evaluations = [
        {"step": 2 * n, "selection": None if n == 1 else 0.5, "epoch": n, "seconds": 1.0,
         "scores": {split: {"accuracy": 0.1 * n, "f1": 0.2} for split in scores or ("dev",)}}
        for n in (1, 2, 3)
    ]  # fmt: skip
    return {
        "task": "table", "best": evaluations[1], "evaluations": evaluations, "rows": 9, "steps": 6,
        "settings": {"start_model": f"a/{NASTY}", "text": NASTY, "seed": 1, "rows": None, "contents": {"a": "b"}},
        "seconds": {"reading": 1.0, "training": 2.0, "evaluation": 3.0},
    }  # fmt: skip


def test_the_page_of_a_run(tmp_path):
    lines = [{"step": n, "loss": 1 / n, "learning_rate": 0.1} for n in range(1, 7)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = class_details(np.eye(2), np.array([0, 1]), ["a", "b"], (["x", "y"], None))
    details = {split: {"scores": {"accuracy": 1.0}, "rows": 2, **found} for split in ("dev_matched", "dev_mismatched")}
    pages = []
    for _ in range(2):
        write_run_report(tmp_path, summary(dev_matched=1, dev_mismatched=1), details)
        pages.append((tmp_path / "report.html").read_bytes())
    assert pages[0] == pages[1]
    page = checked(tmp_path / "report.html")
    assert page.tags.count("svg") == 2 + 2 and page.texts.count("No mistake.") == 2
    assert "dev_mismatched f1" in page.texts


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    write_model(folder / "bert", no_dropout(BERT))
    rows = "".join(f"{'ada ben'.split()[n % 2]} eats {n} <b>tea</b>,{n % 2}\n" for n in range(40))
    (folder / "table.csv").write_text("text,label\n" + rows, encoding="utf-8")
    return folder


def finetune(folder, out):
    words = [
        "--data",
        str(folder / "table.csv"),
        "--text",
        "text",
        "--label",
        "label",
        "--epochs",
        "1",
        "--batch",
        "16",
    ]
    return main(["finetune", *words, "--model", str(folder / "bert"), "--out", str(out)])


def test_finetune_and_evaluate_write_pages(folder, tmp_path, capsys):
    assert finetune(folder, tmp_path / "run") == 0
    checked(tmp_path / "run" / "report.html")
    assert "report.html" in json.loads((tmp_path / "run" / "manifest.json").read_text())["files"]
    report = tmp_path / "page.html"
    words = ["evaluate", "--model", str(tmp_path / "run"), "--data", str(folder / "table.csv"), "--report", str(report)]
    assert main(words) == 0
    page = checked(report)
    assert "dev: 40 rows" in page.texts and "Evaluation of run" in page.texts


def test_without_matplotlib_a_run_ends_and_says_so(folder, tmp_path, monkeypatch, capsys):
    def missing():
        raise MissingExtra("matplotlib is not installed; it comes with the extra 'plots'")

    monkeypatch.setattr(run_module, "pyplot", missing)
    assert finetune(folder, tmp_path / "run") == 0
    assert "note: no report.html: matplotlib is not installed" in capsys.readouterr().err
    assert not (tmp_path / "run" / "report.html").exists() and (tmp_path / "run" / "summary.json").exists()
    monkeypatch.setattr("minimobilebert.support.drawing.pyplot", missing)
    assert main(["evaluate", "--model", str(tmp_path / "run"), "--report", str(tmp_path / "a.html")]) == 2
    assert "matplotlib is not installed" in capsys.readouterr().err
