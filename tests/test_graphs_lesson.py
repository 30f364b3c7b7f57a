"""Lesson 21's program: norms and activations node by node, and in the engine."""

import importlib.util
import os
import pathlib

import numpy as np
import pytest

from minimobilebert.bench.latency_models import MODELS
from minimobilebert.interop.onnx.folder import build
from minimobilebert.kernels.runtime.threads import get_num_threads, set_threads
from minimobilebert.model.parameters import init_parameters, parameter_shapes

PROGRAM = pathlib.Path(__file__).resolve().parents[1] / "lessons" / "21_graphs" / "node_by_node.py"


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
    small = {name: MODELS[name].replace(num_hidden_layers=1, vocab_size=50) for name, _ in program.NAMES.values()}
    monkeypatch.setattr(program, "MODELS", small)
    assert program.main(["--length", "4", "--turns", "2"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == "nodes node by node, ms of the last engine, ms of the last paper, ms of the last".split()
    assert [row[:15].strip() for row in rows] == list(program.NAMES)
    nodes = [int(row[15:].split()[0].replace(",", "")) for row in rows]
    assert nodes[0] > nodes[1] > nodes[3] and nodes[0] > nodes[2] > nodes[3]
    for (model, _), count in zip(program.NAMES.values(), nodes, strict=True):
        config = small[model]
        params = init_parameters(parameter_shapes(config, None), config, np.random.default_rng(1))
        assert len(build(params, config).nodes) == count
    assert rows[-1].split()[-1] == rows[-1].split()[4] == "1.00" and rows[0].split()[-1] == "3.10"


@pytest.mark.parametrize("words", [["--length", "513"], ["--length", "0"], ["--turns", "x"]])
def test_bad_numbers_are_one_line(program, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        program.main(words)
    said = capsys.readouterr()
    assert stopped.value.code == 2 and not said.out and "expected" in said.err.splitlines()[-1]
