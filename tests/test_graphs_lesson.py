"""Lesson 21's program: norms and activations node by node, and in the engine."""

import ast
import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from minimobilebert.bench.latency_models import MODELS
from minimobilebert.course.shared.manifest import load
from minimobilebert.course.teacher.edition import write_edition
from minimobilebert.interop.onnx.folder import build
from minimobilebert.interop.onnx.graph import Graph
from minimobilebert.interop.onnx.interpreter import run_checked
from minimobilebert.kernels.runtime.threads import get_num_threads, set_threads
from minimobilebert.model.parameters import init_parameters, parameter_shapes

PROGRAM = pathlib.Path(__file__).resolve().parents[1] / "lessons" / "21_graphs" / "node_by_node.py"

# As `python PROGRAM`; but an editable installation of the project must not lend what an edition leaves out.
START = """import runpy, sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")"""


@pytest.fixture
def program(monkeypatch):
    monkeypatch.setitem(os.environ, "OPENBLAS_NUM_THREADS", "1")  # what it sets, taken back
    spec = importlib.util.spec_from_file_location("node_by_node", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    threads = get_num_threads()
    yield module
    set_threads(threads)


def test_it_prints_nodes_and_times_of_four_models(program, monkeypatch, capsys):
    configs = [config for config, _ in program.MODELS.values()]
    named = ("mobilebert-no-opt", "mobilebert-layernorm-relu", "mobilebert-nonorm-gelu", "mobilebert")
    assert configs == [MODELS[name] for name in named]
    small = {
        name: (config.replace(num_hidden_layers=1, vocab_size=50), paper)
        for name, (config, paper) in program.MODELS.items()
    }
    monkeypatch.setattr(program, "MODELS", small)
    assert program.main(["--length", "4", "--turns", "2"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == "nodes node by node, ms of the last engine, ms of the last paper, ms of the last".split()
    assert [row[:15].strip() for row in rows] == list(small)
    nodes = [int(row[15:].split()[0].replace(",", "")) for row in rows]
    assert nodes[0] > nodes[1] > nodes[3] and nodes[0] > nodes[2] > nodes[3]
    for (config, _), count in zip(small.values(), nodes, strict=True):
        params = init_parameters(parameter_shapes(config, None), config, np.random.default_rng(1))
        assert len(build(params, config).nodes) == count
    assert rows[-1].split()[-1] == rows[-1].split()[4] == "1.00" and rows[0].split()[-1] == "3.10"


@pytest.mark.parametrize("words", [["--length", "513"], ["--length", "0"], ["--turns", "x"]])
def test_bad_numbers_are_one_line(program, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        program.main(words)
    said = capsys.readouterr()
    assert stopped.value.code == 2 and not said.out and "expected" in said.err.splitlines()[-1]


def test_a_missing_function_of_an_edition_is_one_line(program, monkeypatch, capsys):
    def missing(graph, given):
        raise NotImplementedError("task 21.1 (Run a graph): write it")

    monkeypatch.setattr(program, "run", missing)
    monkeypatch.setattr(program, "sides_of", lambda config, batch: (0, ()))
    with pytest.raises(SystemExit) as stopped:
        program.main([])
    said = capsys.readouterr()
    assert stopped.value.code == 2 and not said.out
    assert said.err.splitlines()[-1].endswith("one is missing: task 21.1 (Run a graph): write it")


def test_an_edition_whose_tasks_are_solved_runs_both_programs(tmp_path):
    """What an edition leaves out of the package must not be needed by what it asks a student to run."""
    write_edition(load(), ["21"], tmp_path / "edition", record=False)
    folder = tmp_path / "edition" / "lessons" / "21_graphs"
    code = (PROGRAM.parent / "solutions.py").read_text(encoding="utf-8")
    solved = {node.name: node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)}
    for task in load().lesson("21").tasks:
        path = tmp_path / "edition" / task.file
        text = path.read_text(encoding="utf-8")
        stub = next(node for node in ast.parse(text).body if getattr(node, "name", "") == task.name)
        lines = text.splitlines()
        lines[stub.lineno - 1 : stub.end_lineno] = ast.unparse(solved[task.name]).splitlines()
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "edition"), "MINIMOBILEBERT_BACKEND": "numpy"}
    for words in (["walkthrough.py"], ["node_by_node.py", "--length", "2", "--turns", "1"]):
        start = [sys.executable, "-c", START, str(folder / words[0]), *words[1:]]
        done = subprocess.run(start, cwd=tmp_path / "edition", env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert re.search(r"NoNorm, ReLU +1,675|431 nodes", done.stdout)


@pytest.mark.parametrize(("operation", "inputs", "attributes", "words"), [
    ("Add", ["x", "int64 1"], {}, "node y, Add: found inputs of the types float32 and int64, expected one type"),
    ("ReduceMean", ["x", "int64 1"], {"keepdims": 1}, "node y, ReduceMean: .* positional argument"),
    ("Slice", ["x"], {"starts": [0], "ends": [1], "axes": [0]}, "node y, Slice: .* positional"),
    ("LayerNormalization", ["x"], {}, "node y: found the operation LayerNormalization, expected one of OPERATIONS"),
])  # fmt: skip
def test_an_error_names_the_node(operation, inputs, attributes, words):
    """Attributes are no arrays and arrays are no attributes, as in the standard."""
    graph = Graph()
    graph.input("x", np.float32, [2])
    graph.number(1, np.int64)
    graph.node("Abs", ["x"], "before")
    graph.output("found", graph.node(operation, inputs, "y", **attributes), np.float32, [2])
    with pytest.raises(ValueError, match=words):
        run_checked(graph, {"x": np.ones(2, np.float32)})
