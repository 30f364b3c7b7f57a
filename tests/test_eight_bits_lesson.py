"""Lesson 20's program for a real model: it rounds as the package does, prints its tables, and refuses in one line."""

import importlib.util
import pathlib

import numpy as np
import pytest
from fine_tuning_data import BERT, MOBILE, no_dropout, write_glue, write_model

from minimobilebert.cli import main
from minimobilebert.ops.quantized_linear import QuantizedWeight, quantize_weight, quantized_linear_forward

PROGRAM = pathlib.Path(__file__).resolve().parents[1] / "lessons" / "20_eight_bits" / "real_model.py"
FLOAT = np.float32


@pytest.fixture
def real_model():
    spec = importlib.util.spec_from_file_location("real_model", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def layer(seed=1):
    rng = np.random.default_rng(seed)
    x, weight = rng.normal(size=(2, 3, 40)).astype(FLOAT), quantize_weight(rng.normal(size=(5, 40)).astype(FLOAT))
    return x, weight, *(rng.normal(size=size).astype(FLOAT) for size in (5, (2, 3, 5)))


def test_a_scale_for_each_token_is_the_package_s_layer(real_model):
    x, weight, bias, residual = layer()
    x[1, 2] = 0.0
    rounding = real_model.Rounding({"w": weight}, real_model.TOKEN)
    for more in (None, residual):
        right = quantized_linear_forward(x, weight, bias, more)
        assert np.allclose(rounding(x, weight, bias, more), right, rtol=0, atol=1e-5 * np.abs(right).max())
    assert rounding.inputs == {}


def test_shared_scales(real_model):
    """One of a batch is as coarse as its largest number asks for; a fixed one cuts off what is larger."""
    x, bias = layer()[0], np.zeros(40, FLOAT)
    x[0, 0, 7] = 2000.0
    eye = QuantizedWeight(np.eye(40, dtype=np.int8), np.ones(40, FLOAT))
    one = real_model.Rounding({"w": eye}, real_model.BATCH, keep=True)
    y = one(x, eye, bias)
    assert np.array_equal(np.argwhere(y), [[0, 0, 7]]) and y[0, 0, 7] == pytest.approx(2000.0)
    assert np.array_equal(one.inputs["w"][0], x)
    y = real_model.Rounding({"w": eye}, real_model.FIXED, {"w": FLOAT(0.01)})(x, eye, bias)
    assert np.abs(y).max() == pytest.approx(1.27) and np.abs(y - np.clip(x, -1.27, 1.27)).max() < 0.00501


@pytest.mark.parametrize("config", [BERT, MOBILE], ids=["bert", "mobilebert"])
def test_real_model_prints_what_scales_cost(real_model, config, tmp_path, capsys):
    write_model(tmp_path / "model", no_dropout(config))
    write_glue(tmp_path / "glue")
    assert real_model.main([str(tmp_path / "model"), "--data", str(tmp_path / "glue")]) == 0
    printed = capsys.readouterr().out
    kinds = (real_model.TOKEN, real_model.BATCH, real_model.FIXED)
    assert all(printed.count(f"   {kind}  ") == 2 for kind in kinds)  # cosines, and correlations
    assert "that differ most between tokens" in printed and "64 sentences" in printed
    assert "Spearman's correlation on STS-B dev" in printed


@pytest.mark.parametrize("bad", ["missing", "in 8 bits", "no STS-B"])
def test_what_it_cannot_read_is_one_line(real_model, bad, tmp_path, capsys):
    folder = tmp_path / "model"
    if bad != "missing":
        write_model(folder, no_dropout(BERT))
    if bad == "in 8 bits":
        assert main(["quantize", str(folder), "--out", str(tmp_path / "small")]) == 0
        folder = tmp_path / "small"
    capsys.readouterr()
    words = ["--data", str(tmp_path / "nothing")] if bad == "no STS-B" else []
    assert real_model.main([str(folder), *words]) == 2
    said = capsys.readouterr()
    assert not said.out and len(said.err.splitlines()) == 1 and "expected" in said.err
