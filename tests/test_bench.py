"""`bench`: the statistics with known times, rows of the agreed form, what is left out, and the ladder's rungs."""

import importlib.util
import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from fine_tuning_data import MOBILE, no_dropout, write_glue, write_model

from minimobilebert.bench import arguments, libraries, measure, run
from minimobilebert.bench.block import block
from minimobilebert.bench.distilling import distillation, distillation_of_vectors
from minimobilebert.bench.ladder import chart, ladder, write_chart
from minimobilebert.bench.measure import KEYS, Case, check_same, compared
from minimobilebert.bench.memory import memory_of_step, peak_bytes
from minimobilebert.bench.models import inference
from minimobilebert.bench.products import nonorm_layers, products, products_bfloat16, relu_layers
from minimobilebert.bench.products_int8 import linear_int8
from minimobilebert.bench.run import PARTS, Part
from minimobilebert.bench.sides import OURS_BFLOAT16, TORCH_BFLOAT16, library_of, ours_in, precision_of
from minimobilebert.bench.table import format_rows, summaries
from minimobilebert.bench.training import step_of, training
from minimobilebert.cli import main
from minimobilebert.config import preset
from minimobilebert.finetuning.jobs import TaskFiles
from minimobilebert.finetuning.run import run as fine_tune
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.kernels.runtime.jit import get_num_threads
from minimobilebert.kernels.runtime.precision import current_precision
from minimobilebert.kernels.teaching.ladder import RUNGS, climb
from minimobilebert.kernels.teaching.peak import multiply_again
from minimobilebert.ops.bfloat16 import rounded
from minimobilebert.support.timing import calls_for, first_calls, quartiles, times_in_turns

TINY = {
    "vocab_size": 50, "hidden_size": 16, "embedding_size": 8, "intra_bottleneck_size": 8, "intermediate_size": 16,
    "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 16,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
TINY_MODEL = preset("mobilebert", **TINY)
TINY_BERT = preset("bert-base", **{**TINY, "embedding_size": 16})

# The same parts with tiny shapes, for the tests that run them.
SMALL = {
    "matmul_forward": Part(lambda name: products(name, (5, 8), ((7, 3),)), 2, 0.1),
    "matmul_dx": Part(lambda name: products(name, (5,), ((7, 3),)), 1, 0.1),
    "matmul_dw": Part(lambda name: products(name, (5,), ((7, 3),)), 1, 0.1),
    "matmul_bfloat16": Part(lambda name: products_bfloat16(name, (5,), ((7, 3),)), 3, 0.1),
    "linear_int8": Part(lambda name: linear_int8(name, (5,), ((7, 3),)), 1, 0.1),
    "linear_relu": Part(lambda name: relu_layers(name, (5,), (7, 3)), 1, 0.1),
    "linear_residual_nonorm": Part(lambda name: nonorm_layers(name, (5,), (7, 3)), 1, 0.1),
    "attention_forward": Part(lambda name: run.attention(name, 1, (6,)), 1, 0.1),
    "attention_forward_backward": Part(lambda name: run.attention(name, 1, (6,), backward=True), 1, 0.1),
    "block_forward": Part(lambda name: block(name, batch=2, tokens=5, **TINY), 1, 0.1),
    "block_forward_backward": Part(lambda name: block(name, batch=2, tokens=5, backward=True, **TINY), 1, 0.1),
    "inference_mobilebert": Part(lambda name: inference(name, TINY_MODEL, 7, ("bert-base", TINY_BERT)), 1, 0.1),
    "inference_bert_base": Part(lambda name: inference(name, TINY_BERT, 7), 1, 0.1),
    "train_mobilebert": Part(lambda name: training(name, TINY_MODEL, (3, 8)), 1, 0.1),
    "train_classroom_1": Part(lambda name: training(name, TINY_MODEL, (3, 8)), 1, 0.1),
    "train_classroom_2": Part(lambda name: training(name, TINY_MODEL, (3, 8)), 1, 0.1),
    "distil_minilm": Part(lambda name: distillation(name, TINY_BERT, (3, 8)), 1, 0.1),
    "distil_minilm_vectors": Part(lambda name: distillation_of_vectors(name, TINY_BERT, (3, 8)), 1, 0.1),
    "ladder": Part(lambda name: ladder(name, (5, 7, 3)), 5, 0.1),
}  # fmt: skip


@pytest.fixture
def small(monkeypatch):
    """`bench` with tiny shapes, no minimal duration, and a peak that is not measured."""
    monkeypatch.setattr(run, "PARTS", SMALL)
    monkeypatch.setattr(measure, "LEAST", 0.0)
    monkeypatch.setattr(measure, "REST", 0.0)
    monkeypatch.setattr(measure, "SETTLE", 0.0)
    monkeypatch.setattr(run, "measure_peak", lambda threads: 1e11 * threads)
    if importlib.util.find_spec("threadpoolctl") is None:  # these tests are not about how fast NumPy is
        monkeypatch.setattr(libraries, "_threads_of_environment", get_num_threads)
    monkeypatch.setattr(run, "memory_of_step", lambda name, side, threads: 10**6 * len(side))


class FakeClock:
    """Time that passes only when a function says how long it took."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def taking(self, *durations):
        """A function whose calls take these seconds, again and again."""
        state = {"call": 0}

        def function():
            self.now += durations[state["call"] % len(durations)]
            state["call"] += 1

        return function


def test_times_come_from_the_clock_and_leave_out_what_is_not_timed():
    clock, rests, steps = FakeClock(), [], []
    functions = {"a": clock.taking(100.0, 1.0, 2.0, 4.0, 1.0, 2.0, 4.0), "b": clock.taking(3.0)}
    seconds = times_in_turns(
        functions, 2, warm=1, calls={"a": 2, "b": 1}, settle=0.0, rest=7.0, step=lambda: steps.append(1), clock=clock,
        sleep=rests.append,
    )  # fmt: skip
    assert seconds["a"].tolist() == [3.0, 3.0]  # 100 was the warm-up and 1 the settling call
    assert seconds["b"].tolist() == [3.0, 3.0]
    assert rests == [7.0] * 4 and len(steps) == 2


def test_a_slow_machine_gets_fewer_turns():
    for limit, made in ((0.0, 3), (9.0, 5), (1e9, 20), (None, 20)):
        clock = FakeClock()
        seconds = times_in_turns({"a": clock.taking(2.0)}, 20, warm=1, limit=limit, clock=clock)
        assert seconds["a"].tolist() == [2.0] * made


def test_first_calls_are_apart():
    clock = FakeClock()
    seconds, results = first_calls({"a": clock.taking(9.0), "b": lambda: 5}, clock)
    assert seconds == {"a": 9.0, "b": 0.0} and results == {"a": None, "b": 5}


def test_short_calls_are_repeated():
    clock = FakeClock()
    functions = {"short": clock.taking(9.0, 5.0, 0.5, 0.7), "long": clock.taking(7.0)}  # 9 settles it
    assert calls_for(functions, 2.0, clock=clock) == {"short": 4, "long": 1}


def test_settling_takes_its_seconds_and_one_call_at_least():
    for settle, calls in ((None, 0), (0.0, 1), (3.9, 2), (4.0, 2), (4.1, 3)):
        clock = FakeClock()
        times_in_turns({"a": clock.taking(2.0)}, 1, warm=0, settle=settle, clock=clock)
        assert clock.now == 2.0 * (calls + 1), settle  # and one that is timed


def test_quartiles():
    assert quartiles([1.0, 2.0, 3.0, 4.0, 50.0]) == (2.0, 3.0, 4.0)


def _case(unit, work=0.0):
    return Case("name", "3 x 4", unit, work, ("numpy", "torch"), None)


def test_a_ratio_is_the_median_of_the_turns_ratios_and_above_one_when_ours_is_faster():
    # The machine halves its speed in the second and third turn; the ratio does not notice.
    seconds = {"ours": [1.0, 2.0, 2.0], "numpy": [3.0, 6.0, 6.0], "torch": [0.5, 1.0, 2.0]}
    seconds = {side: np.array(values) for side, values in seconds.items()}
    numpy, torch = compared(_case("ms"), 2, seconds, {"ours": 8.0, "numpy": 3.5, "torch": 0.1})
    assert numpy.data == {
        "name": "name", "shape": "3 x 4", "threads": 2, "against": "numpy", "ours": 2000.0, "theirs": 6000.0,
        "unit": "ms", "ratio": 3.0, "ratio_low": 3.0, "ratio_high": 3.0, "precision": "float32", "fastest_of": ["numpy"],
    }  # fmt: skip
    assert (torch.data["ratio_low"], torch.data["ratio"], torch.data["ratio_high"]) == (0.5, 0.5, 0.75)
    assert (numpy.first_ours, numpy.first_theirs, numpy.seconds) == (8.0, 3.5, 2.0)


def _both_precisions():
    """A case as in training.py: each side in float32 and in bfloat16."""
    also = ((OURS_BFLOAT16, ("torch", TORCH_BFLOAT16)), (OURS_BFLOAT16, ("ours",)))
    return _case("ms")._replace(against=("numpy", "torch", TORCH_BFLOAT16), also=also)


def test_our_bfloat16_is_compared_with_the_faster_one_of_pytorch():
    case = _both_precisions()
    assert case.sides() == ["ours", "numpy", "torch", "torch bfloat16", "ours bfloat16"]
    first = dict.fromkeys(case.sides(), 0.0)
    # The median decides, not the fastest turn.
    for medians, best in (((4.0, 3.0), "torch bfloat16"), ((3.0, 4.0), "torch")):
        seconds = {"ours": 2.0, "numpy": 9.0, "torch": medians[0], "torch bfloat16": medians[1], "ours bfloat16": 1.0}
        seconds = {side: np.array([value, value, 0.1]) for side, value in seconds.items()}
        rows = [row.data for row in compared(case, 1, seconds, first)]
        assert [(row["precision"], row["against"], row["ratio"]) for row in rows] == [
            ("float32", "numpy", 4.5), ("float32", "torch", medians[0] / 2), ("float32", "torch bfloat16", medians[1] / 2),
            ("bfloat16", best, 3.0), ("bfloat16", "ours", 2.0),
        ]  # fmt: skip
        assert [len(row["fastest_of"]) for row in rows] == [1, 1, 1, 2, 1]
        lines = format_rows(compared(case, 1, seconds, first), {1: 1e9}).splitlines()
        assert [f"{best}, at its best" in line for line in lines[2:7]] == [False, False, False, True, False]
    # Where a side is missing, its rows are missing too, and the best of one is that one.
    del seconds["numpy"], seconds["torch bfloat16"]
    rows = [row.data for row in compared(case, 1, seconds, first)]
    assert [(row["precision"], row["against"]) for row in rows] == [
        ("float32", "torch"), ("bfloat16", "torch"), ("bfloat16", "ours"),
    ]  # fmt: skip
    assert [row["fastest_of"] for row in rows] == [["torch"], ["torch"], ["ours"]]


def test_names_of_sides():
    assert (library_of("torch bfloat16"), precision_of("torch bfloat16")) == ("torch", "bfloat16")
    assert (library_of("bert-base"), precision_of("bert-base")) == ("bert-base", "float32")
    assert (ours_in("float32"), ours_in("bfloat16")) == ("ours", "ours bfloat16")


@pytest.mark.parametrize(
    ("unit", "work", "ours"), [("GFLOP/s", 6e9, 3.0), ("tokens/s", 400.0, 200.0), ("ms", 0.0, 2e3)]
)
def test_units(unit, work, ours):
    seconds = {"ours": np.array([2.0]), "numpy": np.array([4.0])}
    (row,) = compared(_case(unit, work), 1, seconds, {"ours": 0.0, "numpy": 0.0})
    assert row.data["ours"] == ours and row.data["ratio"] == 2.0
    faster = row.data["theirs"] / ours if unit == "ms" else ours / row.data["theirs"]
    assert faster == pytest.approx(2.0)


def test_different_results_are_not_timed():
    same, other = np.ones(3), np.array([1.0, 1.0, 1.1])
    check_same(_case("ms"), {"ours": same, "numpy": same.copy(), "torch": None})
    for wrong in (other, np.array([1.0, np.nan, 1.0]), np.ones(4)):
        with pytest.raises(ValueError, match=r"name 3 x 4: found .*torch"):
            check_same(_case("ms"), {"ours": same, "torch": wrong})


def test_bfloat16_may_differ_by_its_own_rounding_and_by_no_more():
    case, exact = _both_precisions(), np.ones(3)
    check_same(
        case, {"ours": exact, OURS_BFLOAT16: exact * (1 + 3 * 2.0**-9), TORCH_BFLOAT16: exact * (1 - 3 * 2.0**-9)}
    )
    for side, wrong, limit in (("torch", 1 + 3 * 2.0**-9, "1e-03"), (TORCH_BFLOAT16, 1.02, "1e-02"),
                               (OURS_BFLOAT16, 0.98, "1e-02")):  # fmt: skip
        with pytest.raises(ValueError, match=rf"to {side}, expected at most {limit} \({precision_of(side)}\)"):
            check_same(case, {"ours": exact, side: exact * wrong})


def test_summaries():
    rows = [
        compared(_case("ms")._replace(shape=shape), 1, {"ours": np.ones(1), "numpy": np.array([theirs])},
                 {"ours": 1.0, "numpy": 1.0})[0]
        for shape, theirs in (("a", 2.0), ("b", 0.5), ("c", 8.0))
    ]  # fmt: skip
    assert summaries(rows) == [("name", "float32", "numpy", 1, pytest.approx(2.0), 0.5, "b", 3)]
    assert "geometric mean" in format_rows(rows, {1: 1e9})
    assert "nothing to compare" in format_rows([], {})


def test_the_best_of_several_is_one_summary_whichever_was_faster():
    rows, first = [], dict.fromkeys(_both_precisions().sides(), 0.0)
    for shape, medians in (("a", (4.0, 2.0)), ("b", (8.0, 9.0))):
        seconds = {OURS_BFLOAT16: 1.0, "ours": 2.0, "torch": medians[0], TORCH_BFLOAT16: medians[1]}
        seconds = {side: np.array([value]) for side, value in seconds.items()}
        rows += compared(_both_precisions()._replace(shape=shape, against=()), 1, seconds, first)
    assert summaries(rows) == [
        ("name", "bfloat16", "torch, at its best", 1, pytest.approx(4.0), 2.0, "a", 2),
        ("name", "bfloat16", "ours", 1, pytest.approx(2.0), 2.0, "a", 2),
    ]


def bench(capsys, *words):
    """-> exit code, stdout, stderr"""
    code = main(["bench", "--turns", "1", *words])
    return code, *capsys.readouterr()


def test_the_names_are_the_same_everywhere():
    assert list(PARTS) == list(arguments.NEEDS) == list(SMALL)


def test_rows_of_all_parts(small, capsys, monkeypatch):
    """Against NumPy and our BERT_BASE; with other libraries there would be more rows of the same form."""
    monkeypatch.setattr(libraries, "load", lambda wanted: [])
    code, out, _ = bench(capsys, "--json")
    rows = json.loads(out)
    assert code == 0 and {row["name"] for row in rows} == set(PARTS)
    memory = ("ours_memory", "theirs_memory")
    with_memory = [row for row in rows if row["name"] == "train_mobilebert" and row["against"] == "ours"]
    assert all(tuple(row) == KEYS + (memory if row in with_memory else ()) for row in rows) and with_memory
    places = [tuple(row[key] for key in ("name", "shape", "threads", "precision", "against")) for row in rows]
    assert len(set(places)) == len(places)
    assert {row["threads"] for row in rows} == {1, arguments.all_threads()}
    assert {(row["precision"], row["against"]) for row in rows} == {
        ("float32", "numpy"), ("float32", "bert-base"), ("bfloat16", "ours"), ("int8", "ours"),
    }  # fmt: skip
    assert {row["name"] for row in rows if row["precision"] == "bfloat16"} == {
        "matmul_bfloat16", "train_mobilebert", "train_classroom_1", "train_classroom_2",
        "distil_minilm", "distil_minilm_vectors",
    }  # fmt: skip
    assert {row["name"] for row in rows if row["precision"] == "int8"} == {"distil_minilm_vectors", "linear_int8"}
    assert current_precision() == "float32"
    for row in rows:
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
        faster = row["theirs"] / row["ours"] if row["unit"] == "ms" else row["ours"] / row["theirs"]
        assert row["ratio"] == pytest.approx(faster)  # one turn: the ratio is that of the two figures


@pytest.fixture
def torch(monkeypatch):
    """PyTorch, which computes in bfloat16 on every processor, if only slowly on some."""
    pytest.importorskip("transformers", reason="needs the extra compare: make setup EXTRAS=compare")
    monkeypatch.setattr(libraries, "has_pairs", lambda: True)
    return pytest.importorskip("torch", reason="needs the extra compare: make setup EXTRAS=compare")


def test_rows_beside_torch(small, torch, capsys):
    names = "linear_relu,linear_residual_nonorm,attention_forward,attention_forward_backward,block_forward"
    code, out, _ = bench(capsys, "--json", "--threads", "1", "--only", names, "--only", "block_forward_backward")
    rows = json.loads(out)
    assert code == 0 and {(row["name"], row["against"]) for row in rows} == {
        (name, side) for name in [*names.split(","), "block_forward_backward"] for side in ("numpy", "torch")
    }  # fmt: skip
    assert not any("ours_memory" in row for row in rows)


def test_rows_beside_torch_in_both_precisions(small, torch, capsys):
    code, out, _ = bench(capsys, "--json", "--threads", "1", "--only",
                         "train_mobilebert,distil_minilm,distil_minilm_vectors,matmul_bfloat16")  # fmt: skip
    rows = json.loads(out)
    assert code == 0
    training, distilling, vectors = (
        [row for row in rows if row["name"] == name]
        for name in ("train_mobilebert", "distil_minilm", "distil_minilm_vectors")
    )
    both = ["torch", "torch bfloat16"]
    assert [(row["precision"], row["fastest_of"]) for row in vectors[5:]] == [
        ("int8", ["torch", "torch int8"]), ("int8", ["ours"]),
    ]  # fmt: skip
    for found in (training, distilling, vectors[:5]):
        assert [(row["precision"], row["fastest_of"]) for row in found] == [
            ("float32", ["numpy"]), ("float32", both[:1]), ("float32", both[1:]), ("bfloat16", both),
            ("bfloat16", ["ours"]),
        ]  # fmt: skip
    times = {row["against"]: row["theirs"] for row in training[1:3]}
    assert training[3]["theirs"] == max(times.values()) == times[training[3]["against"]]  # in tokens a second
    # The peak memory of each side: the length of its name, as `small` has it.
    assert [(row.get("ours_memory"), row.get("theirs_memory")) for row in training] == [
        (None, None), *((10**6 * len(ours_in(row["precision"])), 10**6 * len(row["against"])) for row in training[1:]),
    ]  # fmt: skip
    products = [row for row in rows if row["name"] == "matmul_bfloat16"]
    assert [(row["precision"], row["fastest_of"]) for row in products] == 3 * [
        ("bfloat16", ["ours"]),
        ("bfloat16", both),
    ]
    assert [row["shape"] for row in products[::2]] == [f"{layout}, 5 x 7 x 3" for layout in ("x W^T", "dy W", "dy^T x")]


def test_dense_layers_in_8_bits_beside_torch(small, torch, capsys):
    code, out, _ = bench(capsys, "--json", "--threads", "1", "--only", "linear_int8")
    rows = [(row["precision"], row["fastest_of"]) for row in json.loads(out)]
    assert code == 0 and rows == [("int8", ["ours"]), ("int8", ["torch", "torch int8"])]


def test_a_processor_without_bfloat16_leaves_only_pytorch_s_out(small, torch, capsys, monkeypatch):
    monkeypatch.setattr(libraries, "has_pairs", lambda: False)
    code, out, err = bench(capsys, "--json", "--threads", "1", "--only", "train_classroom_1")
    rows = [(row["precision"], row["against"], row["fastest_of"]) for row in json.loads(out)]
    assert code == 0 and rows == [
        ("float32", "numpy", ["numpy"]), ("float32", "torch", ["torch"]), ("bfloat16", "torch", ["torch"]),
        ("bfloat16", "ours", ["ours"]),
    ]  # fmt: skip
    assert "left out: torch bfloat16. This processor has no instructions for it" in err


def test_the_sides_compute_in_the_precision_of_their_name(torch):
    steps = {side: step_of(TINY_MODEL, 3, 8, side, 1)() for side in ("ours", OURS_BFLOAT16, "torch", TORCH_BFLOAT16)}
    steps = {side: np.array(measure._arrays(result)) for side, result in steps.items()}
    for library in ("ours", "torch"):
        difference = np.abs(steps[f"{library} bfloat16"] / steps[library] - 1)
        assert (difference > 1e-5).any() and (difference < measure.TOLERANCES["bfloat16"]).all()
    assert steps["torch"] == pytest.approx(steps["ours"], rel=1e-5)
    assert current_precision() == "float32"

    for case in products_bfloat16(rows=(6,), layers=((7, 3),)):
        results = {side: measure._arrays(case.build(side, 1)())[0] for side in ("ours", OURS_BFLOAT16, "torch")}
        a, b = case.build.args
        assert np.allclose(results["ours"], a @ b, rtol=1e-5, atol=1e-6)
        assert np.allclose(results[OURS_BFLOAT16], rounded(a) @ rounded(b), rtol=1e-5, atol=1e-6)
        assert np.allclose(results["torch"], a @ b, rtol=1e-5, atol=1e-6)
        theirs = case.build(TORCH_BFLOAT16, 1)()
        assert theirs.dtype == torch.bfloat16 and a.dtype == b.dtype == np.float32
        check_same(case, {"ours": results["ours"], TORCH_BFLOAT16: theirs})
        assert np.allclose(theirs.float(), results[OURS_BFLOAT16], rtol=2.0**-8, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_pytorch_fine_tunes_in_the_precision_of_the_run(torch, tmp_path):
    from minimobilebert.bench.finetuning_torch import train_torch

    model, glue = write_model(tmp_path / "model", no_dropout(MOBILE)), write_glue(tmp_path / "glue")
    types, linear = {}, torch.nn.functional.linear

    def watched(x, *others):
        types[precision].add((torch.is_grad_enabled(), linear(x, *others).dtype))
        return linear(x, *others)

    for precision in ("float32", "bfloat16"):
        types[precision] = set()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.nn.functional, "linear", watched)
            summary = fine_tune(
                task="sst2", model=model, out=tmp_path / precision, files=TaskFiles(data=glue), trainer=train_torch,
                epochs=1, batch_size=8, precision=precision,
            )  # fmt: skip
        assert summary["settings"]["precision"] == precision
    evaluation = (False, torch.float32)
    assert types == {"float32": {(True, torch.float32), evaluation}, "bfloat16": {(True, torch.bfloat16), evaluation}}


def test_each_variable_that_slows_a_side_down_is_a_line(small, capsys, monkeypatch):
    for name in libraries.HANDICAPS:
        monkeypatch.delenv(name, raising=False)
    words = ("--json", "--threads", "1", "--only", "matmul_forward")
    assert "warning" not in bench(capsys, *words)[2] and libraries.handicaps({"HOME": "/", "OMP_NUM_THREADS": ""}) == []
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    monkeypatch.setenv("MINIMOBILEBERT_SIMD", "avx2")
    code, out, err = bench(capsys, *words)
    assert code == 0 and json.loads(out)
    assert [line for line in err.splitlines() if "warning" in line] == [
        "warning: found OPENBLAS_CORETYPE=Prescott: NumPy's OpenBLAS runs the kernels for that processor, not those for"
        " this one",
        "warning: found MINIMOBILEBERT_SIMD=avx2: our matrix products use the register tile for that instruction set",
    ]
    assert err.splitlines()[0].startswith("warning")
    lines = libraries.handicaps(dict.fromkeys(libraries.HANDICAPS, "1"))
    assert len(lines) == len(libraries.HANDICAPS)
    for name, line in zip(libraries.HANDICAPS, lines, strict=True):
        assert line.startswith(f"warning: found {name}=1: ")
        assert any(whom in line for whom in ("NumPy", "PyTorch", "our ")), name


def test_the_register_tile_and_the_blas_kernels_are_what_their_variables_say():
    """The claims about our own variable and, with threadpoolctl, about OpenBLAS's: in a process of its own."""
    code = ("from minimobilebert.kernels.gemm.tiles import PATH; from minimobilebert.bench.libraries import _blas;"
            "print(PATH); print((_blas() or {}).get('architecture'))")  # fmt: skip
    environment = {**os.environ, "MINIMOBILEBERT_SIMD": "plain", "OPENBLAS_CORETYPE": "Haswell"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    path, architecture = done.stdout.split()
    assert path == "plain"
    if architecture != "None" and platform.machine().lower() in ("x86_64", "amd64"):
        assert architecture == "Haswell"


def test_missing_libraries_leave_their_rows_out_and_say_so(small, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    code, out, err = bench(capsys, "--json", "--threads", "1", "--only", "linear_relu")
    assert code == 0 and {row["against"] for row in json.loads(out)} == {"numpy"}
    (line,) = [line for line in err.splitlines() if "left out" in line]
    assert "torch" in line and "make setup EXTRAS=compare" in line


def test_without_threadpoolctl_numpy_takes_part_where_its_threads_are_the_wanted_ones(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    assert libraries.set_all_threads(1, ["numpy"]) == ["numpy"]
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    assert libraries.set_all_threads(1, ["numpy", "bert-base"]) == ["bert-base"]
    assert "left out: numpy" in capsys.readouterr().err
    monkeypatch.undo()
    libraries.set_all_threads(arguments.all_threads(), ["numpy"])


def test_table_and_ladder(small, capsys, tmp_path):
    code, out, err = bench(capsys, "--only", "ladder,matmul_forward", "--svg", str(tmp_path / "ladder.svg"))
    assert code == 0 and "% of peak" in out and "processor:" in err
    bars = [line for line in out.splitlines() if line.endswith("#")]
    assert [line.split("  ")[0] for line in bars][:3] == list(RUNGS)
    assert len(bars) == 4 + (arguments.all_threads() > 1)
    svg = (tmp_path / "ladder.svg").read_text(encoding="utf-8")
    assert svg.startswith("<svg") and "register blocking" in svg


def test_a_bar_is_as_long_as_its_figure(tmp_path):
    rows = [
        compared(_case("GFLOP/s", 1e9 * speed)._replace(name="ladder", shape=f"1 x 2 x 3, {rung}"), 1,
                 {"ours": np.ones(1), "numpy": np.ones(1)}, {"ours": 1.0, "numpy": 1.0})[0]
        for rung, speed in (("naive", 2.0), ("loop order", 20.0), ("packed", 100.0))
    ]  # fmt: skip
    lines = chart(rows, {1: 200e9}).splitlines()[1:]
    assert [line.count("#") for line in lines] == [1, 10, 50]
    assert [line.split("%")[0].split()[-1] for line in lines] == ["1", "10", "50"]
    assert chart([], {}) == ""
    write_chart(tmp_path / "chart.svg", rows, {1: 200e9})
    assert "peak, 1 thread" in (tmp_path / "chart.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "matmul_forwards"], "--only: found 'matmul_forwards', expected one of matmul_forward,"),
        (["--only", "ladder,"], None),
        (["--threads", "0"], "--threads: found 0, expected a whole number between 1 and"),
        (["--threads", "1,x"], "--threads: found 'x'"),
        (["--only", "linear_relu", "--svg", "x.svg"], "--svg: found no ladder"),
    ],
)
def test_unusable_arguments_are_one_line(words, message, small, capsys, monkeypatch):
    code, _, err = bench(capsys, *words, "--json")
    if message is None:
        assert code == 0
    else:
        assert code == 2 and message in err and len(err.splitlines()) == 1


def test_the_numpy_back_end_is_not_what_is_measured(capsys):
    with use_backend("numpy"):
        code, _, err = bench(capsys, "--only", "ladder")
    assert code == 2 and "back end 'numpy'" in err


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rungs_are_exact_to_rounding(rung, dtype):
    rng = np.random.default_rng(1)
    for m, k, n in ((1, 1, 1), (0, 3, 2), (3, 0, 2), (3, 2, 0), (2, 4, 8), (7, 9, 5), (5, 13, 33), (1, 6, 17)):
        a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
        found, wide = climb(rung, a, b), a.astype(np.float64) @ b.astype(np.float64)
        bound = (k + 2) * np.finfo(dtype).eps * (np.abs(a).astype(np.float64) @ np.abs(b))
        assert found.dtype == dtype and found.shape == (m, n) and (np.abs(found - wide) <= bound).all()


def test_peak_counts_its_operations():
    assert multiply_again(2, 3) == 3 * multiply_again(2, 1) == 6 * multiply_again(1, 1) > 0


def test_memory_of_a_step_is_measured_in_a_process_of_its_own():
    taken = memory_of_step("train_classroom_1", "ours", 1)
    assert taken is None or 1e6 < taken < 2e9


def test_peak_memory_grows_with_what_is_used():
    before = peak_bytes()
    if before is None:
        pytest.skip("this system does not say")
    kept = np.ones(64 << 20, np.uint8)
    assert peak_bytes() >= before and kept.size
