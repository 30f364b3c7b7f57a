"""`ablate`: every row of the tables has a run of its own, the paper's figures stand beside it, and it goes on after a stop."""

import json

import numpy as np
import pytest

from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.kernels.runtime.precision import current_precision
from minimobilebert.pipeline import ablate
from minimobilebert.pipeline.ablate import run
from minimobilebert.pipeline.ablation_report import format_ablations, mean_and_spread
from minimobilebert.pipeline.ablations import FULL, RUNS, TABLES
from minimobilebert.pipeline.latency import block_latencies
from minimobilebert.pipeline.settings import TinySettings, settings_from_strings
from minimobilebert.support import terminal
from minimobilebert.support.timing import times_in_turns
from minimobilebert.training.checkpoints import load_checkpoint

SMALL = {
    "vocab_size": "120", "sequence_length": "16", "batch_size": "4", "max_predictions": "3",
    "evaluation_batches": "1", "teacher_steps": "3", "transfer_steps_per_layer": "2", "distillation_steps": "3",
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two seeds of very small runs on made-up text -> text folder, output folder, summary."""
    folder = tmp_path_factory.mktemp("ablate")
    text = folder / "text"
    text.mkdir()
    rng = np.random.default_rng(1)
    words = "the sea was calm and grey ; nobody spoke until a bird cried over our bows".split()
    for number in range(6):
        lines = [" ".join(rng.choice(words, 8)) + "." for _ in range(40)]
        (text / f"{number}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with use_backend("numpy"), pytest.MonkeyPatch.context() as patch:
        # Full-size models, 40 times each, would be half a minute; their median is not what is tested here.
        patch.setattr(ablate, "block_latencies", lambda name, tokens: block_latencies(name, tokens, turns=1))
        summary = run(seeds=(1, 2), out=folder / "out", text=text, settings=SMALL)
    return text, folder / "out", summary


def test_every_run_is_measured_for_every_seed(finished):
    _, out, summary = finished
    assert set(summary["scores"]) == {"teacher", *RUNS}
    for scores in summary["scores"].values():
        assert len(scores["mlm_loss"]) == 2 and np.isfinite(scores["mlm_loss"]).all()
    different = {tuple(summary["scores"][name]["mlm_loss"]) for name in RUNS}
    assert len(different) == len(RUNS)  # no two runs are the same by mistake
    assert json.loads((out / "summary.json").read_text()) == summary
    assert (out / "ablations.svg").read_text().startswith("<svg")


def test_all_variants_start_from_the_same_teacher_and_differ_only_in_what_they_say(finished):
    _, out, _ = finished
    for name, changes in RUNS.items():
        found = json.loads((out / "seed-1" / name / "config.json").read_text())
        base = json.loads((out / "seed-1" / "teacher" / "config.json").read_text())
        assert {key: value for key, value in found.items() if value != base[key]} == (changes or {})


def test_every_run_trains_in_the_precision_that_was_asked_for_and_scores_are_float32(finished, tmp_path, monkeypatch):
    text, exact, _ = finished
    monkeypatch.setattr(ablate, "block_latencies", lambda name, tokens: block_latencies(name, tokens, turns=1))
    scored_in, evaluate = [], ablate.evaluate_pretraining

    def noted(*arguments):
        scored_in.append(current_precision())
        return evaluate(*arguments)

    monkeypatch.setattr(ablate, "evaluate_pretraining", noted)
    with use_backend("numpy"):
        run(seeds=(1,), out=tmp_path / "out", text=text, settings={**SMALL, "precision": "bfloat16"})
    assert scored_in == ["float32"] * (1 + len(RUNS)) and current_precision() == "float32"
    for checkpoint in sorted((exact / "seed-1").glob("*/*/checkpoint-final.npz")):
        rounded = tmp_path / "out" / checkpoint.relative_to(exact)
        both = [load_checkpoint(path)[0] for path in (checkpoint, rounded)]
        assert any(not np.array_equal(value, both[1][name]) for name, value in both[0].items()), checkpoint


def test_it_goes_on_where_it_stopped(finished, capsys, monkeypatch):
    monkeypatch.setattr(terminal, "SHORT", 0.0)  # a line for every stage, however short
    text, out, summary = finished
    (out / "seed-2" / "joint" / "result.json").unlink()
    (out / "seed-2" / "joint" / "student" / "checkpoint-final.npz").unlink()
    with use_backend("numpy"):
        again = run(seeds=(1, 2), out=out, text=text, settings=SMALL)
    assert again == summary
    bars = [line for line in capsys.readouterr().err.splitlines() if "/3 (100 %)" in line]
    assert len(bars) == 1  # only the distillation of that one run was trained again


def test_other_settings_do_not_mix_with_a_run(finished):
    text, out, _ = finished
    with pytest.raises(ValueError, match="found a run with teacher_steps = 3, expected teacher_steps = 4"):
        run(seeds=(1,), out=out, text=text, settings={**SMALL, "teacher_steps": "4"})


def test_tables_hold_the_papers_figures_beside_ours(finished):
    lines = format_ablations(finished[2]).splitlines()
    rows = {line.split(" | ")[0].strip("| "): line for line in lines if line.startswith("|")}
    assert rows["joint (JKT)"].endswith("| 83.5 | 90.5 | 87.5 | 92 | 89.7 |")
    assert rows["LayerNorm & ReLU"].endswith("| 167 | 0.87 |")
    assert sum(len(table.rows) for table in TABLES.values()) == 11
    assert {row.run for table in TABLES.values() for row in table.rows} == set(RUNS)
    assert all(table.rows[-1].run == FULL for table in TABLES.values())


def test_changes_are_real_settings():
    for changes in RUNS.values():
        settings_from_strings(1, {name: str(value) for name, value in (changes or {}).items()})
        assert all(getattr(TinySettings(), name) != value for name, value in (changes or {}).items())


def test_mean_and_spread():
    assert mean_and_spread([1.0, 3.0]) == (2.0, pytest.approx(2.0**0.5))
    assert mean_and_spread([4.0]) == (4.0, 0.0)


def test_models_take_turns():
    calls = []
    times = times_in_turns({name: lambda name=name: calls.append(name) for name in "ab"}, 3)
    assert calls == list("aabbababab")
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3}


def test_latencies_are_ratios_to_the_first_kind():
    with use_backend("numpy"):
        latencies = block_latencies("classroom-student", 8, turns=3)
    assert list(latencies) == ["layer_norm-gelu", "layer_norm-relu", "no_norm-gelu", "no_norm-relu"]
    assert latencies["layer_norm-gelu"]["ratio"] == 1.0
    assert all(one["ratio_low"] <= one["ratio"] <= one["ratio_high"] for one in latencies.values())
