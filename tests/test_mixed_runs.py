"""Options that would be ignored, and folders that hold something else: refused in one line, and nothing is changed."""

import argparse
import json

import pytest
from damaged_runs import TINY, quick, without_seconds
from fine_tuning_data import BERT, no_dropout, write_glue, write_model

from minimobilebert.cli import main, make_parser
from minimobilebert.commands.options import file_name
from minimobilebert.support.files import write_json
from minimobilebert.training.model_folder import load_model, save_model

PATHS = {"FOLDER", "FILE", "DIR", "SUBMISSION"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    write_model(folder / "bert", no_dropout(BERT))
    write_glue(folder / "glue", count=8)
    return folder


def run(*words):
    with quick():
        return main([str(word) for word in words])


def fine_tune(folder, out, *more):
    options = ["--data", folder / "glue", "--model", folder / "bert", "--epochs", "1", "--batch", "8", *more]
    return run("finetune", "--task", "sst2", "--out", out, *options)


def refused(capsys, code, *words):
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if line.startswith("minimobilebert")]
    assert code == 2 and len(lines) == 1 and "Traceback" not in err, err
    assert all(word in lines[0] for word in words), lines[0]


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _actions(parser):
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)
        else:
            yield action


def test_every_option_for_a_file_refuses_an_empty_name(capsys):
    paths = [action for action in _actions(make_parser()) if action.metavar in PATHS]
    assert len(paths) > 30 and all(action.type is file_name for action in paths)
    for words in (["train-tiny", "--out", ""], ["train-tiny", "--text", ""], ["squad", "--leave-out", ""]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 2 and "found nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, found",
    [
        (["glue", "--tasks", "sst2,sst2"], "sst2 twice"),
        (["glue", "--tasks", ","], "no name"),
        (["glue", "--tasks", "sst2,"], "no name"),
        (["train-tiny", "--set", "seed=3"], "found seed"),
        (["seeds", "--seeds", "1,2", "--set", "seed=3"], "found seed"),
        (["ablate", "--set", "seed=3"], "found seed"),
        (["sweep", "--rates", "0.004,4e-3"], "twice"),
        (["sweep", "--rates", "0.004,0.0040000001"], "differ"),
        (["sweep", "--rates", "0.0_4"], "'0.0_4'"),
        (["seeds", "--seeds", "1,\u0663"], "'\u0663'"),
        (["train-tiny", "--set", "batch_size=1_0"], "'1_0'"),
        (["finetune", "--task", "sst2", "--search", "lr=1e-5,1.0000001e-5"], "differ"),
    ],
)
def test_options_that_would_count_twice_or_not_at_all(folder, tmp_path, capsys, words, found):
    data = ["--data", folder / "glue", "--model", folder / "bert"] if words[0] in ("glue", "finetune") else []
    out = ["--out", tmp_path / "out"] if words[0] != "sweep" else []
    refused(capsys, run(*words, *data, *out), found)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--task", "sst2", "--train-file", "x"],
        ["--task", "sst2", "--dev-file", "x"],
        ["--task", "rte", "--split-articles", "1"],
        ["--task", "rte", "--leave-out", "x"],
        ["--task", "rte", "--stride", "7"],
        ["--task", "sst2", "--max-query", "7"],
        ["--task", "squad1", "--split-articles", "1", "--dev-file", "x"],
    ],
)
@pytest.mark.parametrize("command", ["finetune", "evaluate"])
def test_files_that_the_task_would_ignore(folder, tmp_path, capsys, command, words):
    out = ["--out", tmp_path / "out"] if command == "finetune" else []
    spans = ["--max-length", "40", "--max-query", "12", "--stride", "10"] if "squad1" in words else []
    given = [*words, "--data", folder / "glue", "--model", folder / "bert", *spans, *out]
    refused(capsys, run(command, *given), words[-2], "expected")
    assert not (tmp_path / "out").exists()


COMMANDS = {
    "finetune": lambda folder, out: fine_tune(folder, out),
    "search": lambda folder, out: fine_tune(folder, out, "--search", "lr=1e-3", "batch=8", "epochs=1"),
    "glue": lambda folder, out: run("glue", "--tasks", "sst2", "--data", folder / "glue", "--model", folder / "bert",
                                    "--seeds", "1", "--epochs", "1", "--out", out),
    "train-tiny": lambda folder, out: run("train-tiny", "--out", out, "--set", *TINY.split()),
    "seeds": lambda folder, out: run("seeds", "--seeds", "1", "--out", out, "--set", *TINY.split()),
    "ablate": lambda folder, out: run("ablate", "--seeds", "1", "--out", out, "--set", *TINY.split()),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_with_a_model_is_not_written_into(folder, tmp_path, capsys, name):
    out = tmp_path / "model"
    write_model(out)
    before = contents(tmp_path)
    refused(capsys, COMMANDS[name](folder, out), "vocab.txt", "another folder")
    assert contents(tmp_path) == before


def test_a_run_and_a_table_do_not_share_a_folder(folder, tmp_path, capsys):
    one, several = tmp_path / "one", tmp_path / "several"
    assert fine_tune(folder, one) == 0 and COMMANDS["search"](folder, several) == 0
    before = contents(tmp_path)
    capsys.readouterr()
    for name in ("search", "glue", "seeds", "ablate"):
        refused(capsys, COMMANDS[name](folder, one), "config.json", "another folder")
    for name in ("finetune", "train-tiny"):
        refused(capsys, COMMANDS[name](folder, several), "summary.json", "another folder")
    assert contents(tmp_path) == before


def test_a_finished_run_notices_another_configuration_of_the_same_weights(folder, tmp_path, capsys):
    saved = load_model(folder / "bert")
    save_model(tmp_path / "bert", *saved[:2], saved.tokenizer)
    options = ["--model", tmp_path / "bert"]
    assert fine_tune(folder, tmp_path / "run", *options) == 0
    (tmp_path / "bert").rename(tmp_path / "before")
    save_model(tmp_path / "bert", saved.params, saved.config.replace(layer_norm_eps=1e-3), saved.tokenizer)
    capsys.readouterr()
    refused(capsys, fine_tune(folder, tmp_path / "run", *options), "other contents")


def test_the_best_of_fewer_points_has_its_weights(folder, tmp_path, capsys):
    """The first search keeps one point's weights only; the second one's best is the other point."""
    both = fine_tune(folder, tmp_path, "--search", "lr=1e-3,2e-3", "batch=8", "epochs=1")
    points = {path.parent.name: json.loads(path.read_bytes()) for path in tmp_path.glob("*/summary.json")}
    (lost,) = (tmp_path / name for name in points if not (tmp_path / name / "checkpoint-final.npz").exists())
    lr = lost.name.split("-batch")[0].removeprefix("lr-")
    assert both == 0 and fine_tune(folder, tmp_path, "--search", f"lr={lr}", "batch=8", "epochs=1") == 0
    again = json.loads((lost / "summary.json").read_bytes())
    assert without_seconds(again) == without_seconds(points[lost.name]) and load_model(lost).head == "classification"


def test_no_file_gets_a_number_that_its_reader_refuses(tmp_path):
    write_json(tmp_path / "x.json", {"a": 1.0})
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="x.json"):
            write_json(tmp_path / "x.json", {"a": [value]})
    assert json.loads((tmp_path / "x.json").read_bytes()) == {"a": 1.0} and len(list(tmp_path.iterdir())) == 1
