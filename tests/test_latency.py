"""`latency`: names and refusals, the arithmetic of its table, rows in the form of bench, equal outputs on all sides."""

import importlib.util
import json
import os
import pathlib
import shutil
import xml.dom.minidom

import numpy as np
import pytest
from fine_tuning_data import BERT, MOBILE, no_dropout, write_model

from minimobilebert.bench import latency, latency_models, measure
from minimobilebert.bench.latency_memory import memory_of_text
from minimobilebert.bench.latency_models import MODELS, PAPER, lengths_of, libraries_of, names_of, sides_of
from minimobilebert.bench.latency_parts import PARTS, seconds_of_parts
from minimobilebert.bench.latency_table import bar_of_parts, chart, format_report
from minimobilebert.bench.measure import KEYS, Timing, check_same, time_together
from minimobilebert.bench.models import Subject
from minimobilebert.bench.sides import OURS, OURS_INT8
from minimobilebert.cli import main
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.model.parameters import count_parameters, parameter_shapes

MORE = ("ours_disk", "theirs_disk", "ours_memory", "paper_milliseconds", "ours_low", "ours_high")
needs_compare = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("torch", "transformers", "onnx", "onnxruntime")),
    reason="needs the extra compare: make setup EXTRAS=compare",
)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Tiny models under names of the paper, and a folder with the models `bert` and `mobile`."""
    monkeypatch.setattr(measure, "LEAST", 0.0)
    monkeypatch.setattr(measure, "REST", 0.0)
    monkeypatch.setattr(measure, "SETTLE", 0.0)
    tiny = {"mobilebert": no_dropout(MOBILE), "bert-base": no_dropout(BERT)}
    monkeypatch.setattr(latency_models, "MODELS", MODELS | tiny)
    monkeypatch.setattr(latency_models, "PAPER", tuple(tiny))
    write_model(tmp_path / "bert", no_dropout(BERT))
    write_model(tmp_path / "mobile", no_dropout(MOBILE), head="pretraining", seed=2)
    return tmp_path


def run(capsys, *words):
    """-> exit code, stdout, stderr; the models of `small` unless others are named"""
    named = words and not words[0].startswith("--")
    code = main(["latency", *([] if named else ["paper"]), "--turns", "1", "--length", "9", *words])
    return code, *capsys.readouterr()


def test_the_paper_s_table_7_has_four_names():
    kinds = {
        (MODELS[name].normalization_type, MODELS[name].hidden_act)
        for name in PAPER if name not in ("bert-base", "mobilebert-tiny")
    }  # fmt: skip
    assert kinds == {(norm, act) for norm in ("layer_norm", "no_norm") for act in ("gelu_tanh", "relu")}
    base = MODELS["mobilebert"]
    assert all(
        MODELS[name].replace(normalization_type="no_norm", hidden_act="relu") == base
        for name in ("mobilebert-no-opt", "mobilebert-layernorm-relu", "mobilebert-nonorm-gelu")
    )


def test_rows_have_the_form_of_bench(small, capsys):
    code, out, _ = run(capsys, "--json", "--threads", "1", "--against", "none", "--memory")
    rows = json.loads(out)
    assert code == 0 and all(tuple(row) == KEYS + MORE for row in rows)
    assert [(row["name"], row["precision"], row["against"]) for row in rows] == [
        ("mobilebert", "bfloat16", "ours"), ("mobilebert", "int8", "ours"),
        ("bert-base", "bfloat16", "ours"), ("bert-base", "int8", "ours"),
        *(pair for name, other in (("mobilebert", "bert-base"), ("bert-base", "mobilebert")) for pair in (
            *((name, precision, f"{other} ours") for precision in ("float32", "bfloat16", "int8")),
            (name, "bfloat16", f"{other} ours bfloat16"), (name, "int8", f"{other} ours int8"),
        )),
    ]  # fmt: skip
    for row in rows:
        assert row["shape"] == "1 x 9" and row["unit"] == "ms" and row["threads"] == 1
        assert row["ratio"] == pytest.approx(row["theirs"] / row["ours"])  # one turn
        assert row["ours_low"] == row["ours_high"] == pytest.approx(row["ours"])
        assert row["paper_milliseconds"] == {"mobilebert": 62, "bert-base": 342}[row["name"]]
        assert row["ours_memory"] is None or row["ours_memory"] >= 0
    sizes = {(row["name"], row["precision"]): row["ours_disk"] for row in rows}
    for name in ("mobilebert", "bert-base"):
        assert sizes[name, "bfloat16"] == sizes[name, "float32"]  # rounded when the engine packs them
        assert sizes[name, "float32"] / 4 < sizes[name, "int8"] < sizes[name, "float32"] / 2
    assert rows[0]["theirs_disk"] == sizes["mobilebert", "float32"]


def test_peak_memory_is_that_of_the_model():
    """The weights, the engine's copy, and while it is made its pieces; not what was freed before."""
    config = no_dropout(BERT).replace(hidden_size=512, embedding_size=512, intermediate_size=2048, num_hidden_layers=4)
    subject, threads = Subject(config, 9), 1
    for params, size in ((subject.params, 1.0), (subject.params_int8, 0.25)):
        found = memory_of_text(params, config, 9, "float32", threads)
        if found is None or not pathlib.Path("/proc/self/clear_refs").exists():
            pytest.skip("this system does not report the peak")
        weights = size * 4 * count_parameters(parameter_shapes(config))
        assert 1.7 * weights < found < 3.5 * weights + 8e6


def test_ratios_are_those_of_the_same_turn():
    """The machine halves its speed in the second and third turn; the ratios do not notice."""
    config = no_dropout(MOBILE)
    case = latency.case_of("mobile", Subject(config, 9))
    slow = np.array([1.0, 2.0, 2.0])
    timings = {
        "first": {OURS: Timing(4.0 * slow, 0.5), OURS_INT8: Timing(2.0 * slow, 0.5)},
        "mobile": {OURS: Timing(slow, 0.5), OURS_INT8: Timing(0.5 * slow, 0.5)},
    }
    measured = latency._measured(case, 1, timings["mobile"], {OURS: 40, OURS_INT8: 10})
    assert [(one.side, one.tokens, one.ratio, one.disk) for one in measured] == [
        (OURS, 9, 1.0, 40), (OURS_INT8, 9, 2.0, 10),
    ]  # fmt: skip
    rows = latency.rows_across([case._replace(name="first"), case], 1, timings)
    assert [(row["precision"], row["against"], row["ratio"], row["ratio_low"], row["ratio_high"]) for row in rows] == [
        ("float32", "first ours", 4.0, 4.0, 4.0), ("int8", "first ours", 8.0, 8.0, 8.0),
        ("int8", "first ours int8", 4.0, 4.0, 4.0),
    ]  # fmt: skip


def test_the_report_shows_what_was_measured(tmp_path):
    measured = [
        latency.Measured("mobilebert", OURS, 128, 1, np.array([0.03, 0.04, 0.05]), 1.0, 98_000_000),
        latency.Measured("mobilebert", OURS_INT8, 128, 1, np.array([0.02, 0.02, 0.02]), 2.0, 25_000_000),
        latency.Measured("mobilebert", OURS, 128, 2, np.array([9.0]), 1.0, 98_000_000),
    ]
    parts = [{"name": "mobilebert", "side": OURS, "tokens": 128, "threads": 1,
              **dict(zip(PARTS, (0.1, 0.5, 0.1, 0.1, 0.1, 0.1), strict=True))}]  # fmt: skip
    report = latency.Report([], measured, parts, {("mobilebert", OURS): 205_000_000}, {"mobilebert": 24_581_888})
    text = format_report(report)
    lines = [line.split() for line in text.splitlines()]
    assert ["mobilebert", "float32", "minimobilebert", "128", "1", "40.0", "35.0-45.0", "1.00", "98.0", "62"] in lines
    assert ["mobilebert", "int8", "minimobilebert", "128", "1", "20.0", "20.0-20.0", "2.00", "25.0"] in lines
    assert ["mobilebert", "24,581,888", "25.3M", "98.0", "25.0", "3.92", "205"] in lines
    assert [line.count("#") for line in chart(report)] == [0, 40, 20]  # the first number of threads only
    shares = next(line for line in lines if line[:1] == ["mobilebert"] and "50%" in line)
    assert shares[-1] == "eeee" + 20 * "D" + "AAAA" + "NNNN" + "FFFF" + "...."


def test_a_bar_of_parts_is_always_as_long():
    rng = np.random.default_rng(3)
    for _ in range(50):
        bar = bar_of_parts(dict(zip(PARTS, rng.exponential(size=len(PARTS)) ** 3, strict=True)))
        assert len(bar) == 40 and list(bar) == sorted(bar, key="eDANF.".index)


def test_the_parts_are_those_of_the_model():
    config = no_dropout(MOBILE)
    subject = Subject(config, 9)
    with use_backend("numba"):
        for params in (subject.params, subject.params_int8):
            found = seconds_of_parts(params, config, subject.arrays, runs=2)
            assert tuple(found) == PARTS and all(value > 0.0 for value in found.values())


def test_models_of_folders_in_both_precisions(small, capsys):
    assert main(["quantize", str(small / "mobile"), "--out", str(small / "eight")]) == 0
    capsys.readouterr()
    models = [str(small / name) for name in ("bert", "mobile", "eight")]
    words = ["--threads", "1", "--against", "none"]
    code, out, _ = run(capsys, *models, *words)
    assert code == 0
    rows = [line.split()[:3] for line in out.split("\n\n")[0].splitlines()]
    assert rows[2:] == [[name, precision, "minimobilebert"] for name, precision in (
        *((name, precision) for name in ("bert", "mobile") for precision in ("float32", "bfloat16", "int8")),
        ("eight", "int8"))]  # fmt: skip
    code, out, _ = run(capsys, str(small / "eight"), "--threads", "1", "--against", "none")
    assert code == 0 and "in 8 bits" in out
    folder = latency.load_models({"mobile": small / "mobile", "eight": small / "eight"})
    whole, small_one = (Subject(config, 9, params) for config, params in folder.values())
    assert np.array_equal(whole.engine_int8(*whole.arrays), small_one.engine_int8(*whole.arrays))
    assert np.array_equal(
        whole.params["mobilebert.embeddings.position_embeddings.weight"],
        folder["mobile"][1]["mobilebert.embeddings.position_embeddings.weight"],
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mobilbert"], "latency: found 'mobilbert', expected a model folder or one of paper, bert-base,"),
        (["mobilebert", "paper"], "latency: found mobilebert twice"),
        (["{0}/bert", "{0}/../{1}/bert"], "twice"),
        (["{0}/bert", "{0}/bert/checkpoint-final.npz"], "twice"),
        (["{0}"], "expected a model"),
        (["--length", "0"], "--length: found 0, expected a whole number between 1 and"),
        (["--length", "9,"], "--length: found ''"),
        (["--length", "9,9"], "--length: found 9 twice"),
        (["--length", "9" * 5000], "--length: found '999"),
        (["--threads", "1,1"], "--threads: found 1 twice"),
        (["--threads", "²"], "--threads: found '²', expected a whole number between 1 and"),
        (["--against", "torch,torch"], "--against: found torch twice"),
        (["--length", "-3"], "--length: found -3"),
        (["--length", "²"], "--length: found '²'"),
        (["--length", "49"], "--length: found 49, expected at most 48, the positions of mobilebert"),
        (["--threads", "0"], "--threads: found 0, expected a whole number between 1 and"),
        (["--against", "numpy"], "--against: found 'numpy', expected torch, onnxruntime or none"),
        (["--against", ""], "--against: found ''"),
        (["--svg", "{0}"], "{0}"),
        (["--svg", "{0}/none/x.svg"], "found no folder"),
    ],
)
def test_what_cannot_be_measured_is_one_line(words, message, small, capsys):
    if "--svg" in words:
        pytest.importorskip("matplotlib", reason="needs the extra plots: make setup EXTRAS=plots")
    words = [word.format(small, small.name) for word in words]
    code, out, err = run(capsys, *words, "--against", "none") if "--against" not in words else run(capsys, *words)
    lines = err.splitlines()
    assert code == 2 and out == "" and len(lines) == 1 and message.format(small) in lines[0]


def test_the_numpy_back_end_is_not_what_is_measured(small, capsys):
    with use_backend("numpy"):
        code, _, err = run(capsys, "--against", "none")
    assert code == 2 and "back end 'numpy'" in err


def test_names():
    assert list(names_of(["paper", "bert-large"])) == [*PAPER, "bert-large"] and names_of(["bert-base"]) == {
        "bert-base": MODELS["bert-base"]
    }
    assert lengths_of("384,128") == [128, 384]
    assert libraries_of(None) == ["torch", "onnxruntime"] and libraries_of("none") == []
    assert libraries_of("onnxruntime,torch") == ["torch", "onnxruntime"]


def test_folders_of_one_name_are_told_apart(tmp_path):
    paths = [str(write_model(tmp_path / name / "student", no_dropout(BERT))) for name in ("a", "b")]
    assert names_of(paths) == {path: pathlib.Path(path) for path in paths}
    assert list(names_of(paths[:1])) == ["student"]


def test_a_side_that_computes_something_else_is_not_timed():
    case = latency.case_of("mobile", Subject(no_dropout(MOBILE), 9))
    hidden = {side: case.build(side, 1)() for side in (OURS, OURS_INT8)}
    check_same(case, hidden)
    with pytest.raises(ValueError, match=r"mobile 1 x 9: found a relative difference .*ours int8"):
        check_same(case, hidden | {OURS_INT8: hidden[OURS_INT8][:, ::-1]})


@needs_compare
@pytest.mark.filterwarnings("ignore")
def test_pytorch_is_left_out_where_transformers_cannot_build_the_model(small, capsys):
    tiny = no_dropout(MOBILE).replace(key_query_shared_bottleneck=False)
    write_model(small / "paper", tiny)
    code, out, err = run(capsys, str(small / "paper"), str(small / "bert"), "--threads", "1", "--json")
    against = {(row["name"], row["against"]) for row in json.loads(out)}
    assert code == 0 and "left out: torch for paper. " in err
    assert (
        ("bert", "torch") in against and ("paper", "onnxruntime int8") in against and ("paper", "torch") not in against
    )


@needs_compare
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "config",
    [
        no_dropout(MOBILE),
        no_dropout(MOBILE).replace(normalization_type="layer_norm", hidden_act="gelu_tanh"),
        no_dropout(BERT),
    ],
)
def test_all_sides_compute_the_same(config, monkeypatch):
    """`time_together` compares the outputs of all sides; a wrong one would end it."""
    case = latency.case_of("model", Subject(config, 9))
    sides = sides_of(libraries_of(None))
    monkeypatch.setattr(measure, "LEAST", 0.0)
    timings = time_together([case], 1, sides, turns=2)["model"]
    assert list(timings) == [
        OURS,
        "torch",
        "onnxruntime",
        "ours bfloat16",
        "torch bfloat16",
        OURS_INT8,
        "torch int8",
        "onnxruntime int8",
    ]
    results = {side: np.asarray(case.build(side, 1)()) for side in timings}
    for side in ("torch int8", "onnxruntime int8"):
        difference = np.abs(results[side] - results[OURS]).max() / np.abs(results[OURS]).max()
        assert 1e-4 < difference < 0.1  # rounded to 8 bits, but the same model
    subject = Subject(config, 9)
    disk = {side: subject.bytes_on_disk(side) for side in timings}
    assert disk["onnxruntime"] > disk[OURS] > disk[OURS_INT8]


NAMES = ["\u65e5\u672c", "cost$\\frac$", "a\x01b\x1b[31m", '<i>&"é', os.fsdecode(b"caf\xe9")]


@pytest.mark.skipif(os.name != "posix", reason="names that Windows does not have")
@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_folder_is_drawn(name, small, capsys):
    """matplotlib takes what is between two "$" as TeX, and draws no half characters; XML has no control characters."""
    pytest.importorskip("matplotlib", reason="needs the extra plots: make setup EXTRAS=plots")
    shutil.copytree(small / "bert", small / name)
    words = [str(small / name), "--against", "none", "--threads", "1"]
    code, _, err = run(capsys, *words, "--svg", str(small / "chart.svg"))
    assert code == 0, err
    shown = {NAMES[2]: "a\ufffdb\ufffd[31m", NAMES[4]: "caf\\xe9"}.get(name, name)
    drawn = xml.dom.minidom.parse(str(small / "chart.svg")).getElementsByTagName("text")
    assert any(text.firstChild.data.startswith(shown) for text in drawn)
    (small / "pairs.tsv").write_text("a\tb\ts\nada eats\tben eats\t3\nada\tben\t2\nada tea\tben tea\t1\n")
    words = [str(small / name), "--measure", str(small / "pairs.tsv"), "--columns", "a,b,s"]
    assert main(["pareto", *words, "--svg", str(small / "chart.svg")]) == 0
    drawn = xml.dom.minidom.parse(str(small / "chart.svg")).getElementsByTagName("text")
    assert any(text.firstChild.data.startswith(f"{shown} (") for text in drawn)


def test_a_model_that_is_compared_with_nothing_has_a_row(small, capsys):
    """A quantised model has one side of ours: alone, it has nothing to be compared with."""
    assert main(["quantize", str(small / "bert"), "--out", str(small / "bert8")]) == 0
    capsys.readouterr()
    code, out, err = run(capsys, str(small / "bert8"), "--against", "none", "--threads", "1", "--json", "--memory")
    assert code == 0, err
    (row,) = json.loads(out)
    assert tuple(row) == KEYS + MORE and row["name"] == "bert8" and row["precision"] == "int8" and row["ours"] > 0
    assert row["against"] is row["theirs"] is row["ratio"] is row["fastest_of"] is None and row["ours_disk"] > 0


def test_every_side_has_a_row(small, capsys):
    """float32 is what the other precisions of a single model are compared with, and has a row of its own too."""
    assert main(["quantize", str(small / "bert"), "--out", str(small / "bert8")]) == 0
    capsys.readouterr()
    words = ["--against", "none", "--threads", "1", "--json", "--turns", "3"]
    code, out, err = run(capsys, str(small / "bert"), *words)
    assert code == 0, err
    rows = json.loads(out)
    assert [(row["precision"], row["against"]) for row in rows] == [
        ("bfloat16", "ours"), ("int8", "ours"), ("float32", None)]  # fmt: skip
    assert all(tuple(row) == KEYS + MORE and row["ours_low"] <= row["ours"] <= row["ours_high"] for row in rows)
    code, out, _ = run(capsys, str(small / "bert8"), str(small / "bert"), *words)
    sides = {(row["name"], row["precision"]) for row in json.loads(out)}
    assert sides == {("bert8", "int8"), *(("bert", precision) for precision in ("float32", "bfloat16", "int8"))}


def test_the_length_is_what_the_shortest_model_can_read(small, capsys, monkeypatch):
    write_model(small / "short", no_dropout(BERT).replace(max_position_embeddings=20))
    words = ["--turns", "1", "--threads", "1", "--against", "none", "--json"]
    assert main(["latency", str(small / "bert"), str(small / "short"), *words]) == 0
    out, err = capsys.readouterr()
    assert {row["shape"] for row in json.loads(out)} == {"1 x 20"}
    assert "texts of 20 tokens, the positions of short, instead of 128" in err.splitlines()
    assert main(["latency", str(small / "short"), *words, "--length", "21"]) == 2
    assert "--length: found 21, expected at most 20, the positions of short" in capsys.readouterr().err
    monkeypatch.setattr(latency, "LENGTH", 12)
    assert main(["latency", str(small / "short"), *words]) == 0
    out, err = capsys.readouterr()
    assert {row["shape"] for row in json.loads(out)} == {"1 x 12"} and "instead of" not in err


def _report(seconds):
    return latency.Report([], [latency.Measured("bert", OURS_INT8, 9, 1, np.array(seconds), None, 1)], [], {}, {})


@pytest.mark.parametrize(
    ("seconds", "notes"),
    [
        ([1.0] * 6, ["note: 6 turns, too few to tell small differences from chance"]),
        ([1.0], ["note: 1 turn, too few"]),
        ([1.0] * 7, []),
        ([1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0], ["note: quartiles more than 20% apart: bert minimobilebert int8. Is"]),
    ],
)
def test_times_that_say_little_are_marked(seconds, notes):
    found = [line for line in format_report(_report(seconds)).splitlines() if line.startswith("note: ")]
    assert len(found) == len(notes) and all(line.startswith(note) for line, note in zip(found, notes, strict=True))


def test_the_tables_of_ratios_say_what_is_compared(small, capsys):
    code, out, _ = run(capsys, "--threads", "1", "--against", "none")
    tables = {table.split("\n")[0]: table for table in out.split("\n\n")}
    same, other = tables["the same model on other sides"], tables["beside bert-base"]
    assert same.splitlines()[1].split() == ["model", "precision", "tokens", "threads", "minimobilebert", "float32"]
    assert other.splitlines()[1].split()[4:] == [
        word for precision in ("float32", "bfloat16", "int8") for word in ("minimobilebert", precision)
    ]
    assert code == 0 and "A cell: the time of bert-base on the column's side / the time of the row's model" in out
    assert "encoder MB" in out and "ours" not in out.split()
