"""The whole pipeline, very small: from a folder of text to the report, killed and resumed, and fed with nonsense."""

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from minimobilebert.pipeline import strategies
from minimobilebert.pipeline.settings import settings_from_strings
from minimobilebert.training.checkpoints import load_checkpoint

ROOT = pathlib.Path(__file__).resolve().parents[1]
SMALL = {
    "vocab_size": 120, "sequence_length": 24, "batch_size": 8, "max_predictions": 4, "evaluation_batches": 2,
    "teacher_steps": 6, "transfer_steps_per_layer": 3, "distillation_steps": 5,
}  # fmt: skip
SUBJECTS = "the captain|a young sailor|her sister|the old president|my neighbour|the congress|a white whale".split("|")
VERBS = "saw|praised|forgot|followed|feared|wrote to|waited for".split("|")
TIMES = "at dawn|in the winter|before the war|without a word|for many years|on the third day".split("|")


def write_text(folder, documents=6, sentences=40):
    """A folder of small made-up documents."""
    rng = np.random.default_rng(1)
    folder.mkdir()
    for number in range(documents):
        lines = [
            f"{rng.choice(SUBJECTS).capitalize()} {rng.choice(VERBS)} {rng.choice(SUBJECTS)} {rng.choice(TIMES)}."
            for _ in range(sentences)
        ]
        (folder / f"document-{number}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def command(text, out, *arguments, seed=3, small=SMALL):
    settings = [f"{name}={value}" for name, value in small.items()]
    return [
        sys.executable, "-m", "minimobilebert", "train-tiny", "--text", str(text), "--out", str(out),
        "--seed", str(seed), "--set", *settings, *arguments,
    ]  # fmt: skip


def environment(**more):
    # The NumPy back end starts at once; what is tested here does not depend on the kernels.
    return {**os.environ, "MINIMOBILEBERT_BACKEND": "numpy", "OPENBLAS_NUM_THREADS": "1", **more}


def run(arguments, **more):
    return subprocess.run(arguments, cwd=ROOT, env=environment(**more), capture_output=True, text=True)


def result(out):
    """What must not depend on interruptions: everything in the summary but the times."""
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    del summary["seconds"]
    return summary


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One uninterrupted run -> text folder, run folder, completed process."""
    folder = tmp_path_factory.mktemp("pipeline")
    text = write_text(folder / "text")
    process = run(command(text, folder / "run"))
    assert process.returncode == 0, process.stderr
    return text, folder / "run", process


def test_a_run_leaves_a_summary_a_report_and_a_table(finished):
    _, out, process = finished
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    for model in ("teacher", "student", "student_from_scratch"):
        assert set(summary[model]) == {"parameters", "mlm_loss", "mlm_accuracy", "nsp_accuracy", "task_accuracy"}
        assert np.isfinite(summary[model]["mlm_loss"])
    assert summary["student"]["parameters"] == summary["student_from_scratch"]["parameters"]
    assert summary["seed"] == 3
    assert summary["steps"]["transfer"] + summary["steps"]["student"] == summary["steps"]["student_from_scratch"]
    assert set(summary["steps"]) <= set(summary["seconds"])
    assert f"{summary['student']['mlm_loss']:.3f}" in process.stdout
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") >= 5 and "data:image/png;base64," in page
    assert "http://" not in page.replace("http://www.w3.org", "") and "<script" not in page


def test_every_stage_has_a_metrics_line_for_its_last_step(finished):
    _, out, _ = finished
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    for stage, steps in summary["steps"].items():
        lines = [json.loads(line) for line in (out / stage / "metrics.jsonl").read_text().splitlines()]
        assert lines[-1]["step"] == steps
        assert all(np.isfinite(line["loss"]) for line in lines)


def test_what_was_copied_from_the_teacher_stays_frozen_during_transfer(finished):
    """Embeddings and heads end the transfer stage bit for bit as the teacher's; every block has been taught."""
    _, out, _ = finished
    teacher, transferred = (
        load_checkpoint(out / stage / "checkpoint-final.npz")[0] for stage in ("teacher", "transfer")
    )
    copied = [name for name in transferred if ".encoder." not in name and "embeddings.LayerNorm" not in name]
    assert len(copied) > 10
    for name in copied:
        np.testing.assert_array_equal(transferred[name], teacher[name])
    settings = settings_from_strings(3, {**{k: str(v) for k, v in SMALL.items()}})
    settings = dataclasses.replace(settings, vocab_size=len(teacher["cls.predictions.bias"]))
    before = strategies.student_before_transfer(settings, teacher)
    for layer in range(settings.student_config.num_hidden_layers):
        name = f"mobilebert.encoder.layer.{layer}.output.dense.weight"
        assert not np.array_equal(transferred[name], before[name])


def test_progressive_multipliers_teach_one_layer_at_a_time():
    config = settings_from_strings(1, {}).student_config
    multipliers = strategies.progressive_multipliers(config, 10)
    for step in range(40):
        by_layer = {int(n.split(".")[3]): m for n, m in multipliers(step).items() if ".encoder.layer." in n}
        others = [m for n, m in multipliers(step).items() if ".encoder.layer." not in n]
        assert not any(others)
        current = step // 10
        if step % 10:
            assert by_layer[current] > 1.0
            assert all(by_layer[layer] == pytest.approx(0.1 * by_layer[current]) for layer in range(current))
        assert all(by_layer[layer] == 0.0 for layer in range(current + 1, 4))


def test_a_finished_run_is_not_trained_again(finished):
    text, out, _ = finished
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/checkpoint-*.npz")}
    again = run(command(text, out))
    assert again.returncode == 0
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/checkpoint-*.npz")} == before


def test_killed_at_any_moment_it_goes_on_and_ends_with_the_same_numbers(finished, tmp_path):
    """kill -9 after ever longer times, each time starting again, until the run gets through.

    So two runs with the same seed have the same numbers, however they got there; below, another seed has others.
    """
    text, out, _ = finished
    other, kills = tmp_path / "run", 0
    for patience in [1.2, 2.1, 3.6, 60.0]:
        process = subprocess.Popen(
            command(text, other), cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + patience
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert process.returncode == 0
    assert kills >= 1
    assert result(other) == result(out)
    assert not list(other.rglob("*.tmp*"))


def one_line_error(process):
    assert process.returncode == 2, process.stderr
    assert "Traceback" not in process.stderr
    lines = [line for line in process.stderr.splitlines() if line.startswith("minimobilebert: error:")]
    assert len(lines) == 1 and process.stderr.rstrip().endswith(lines[0])
    return lines[0]


def test_a_folder_of_another_run_is_refused_and_both_are_named(finished):
    text, out, _ = finished
    before = (out / "config.json").read_bytes()
    line = one_line_error(run(command(text, out, seed=5)))
    assert "seed = 3" in line and "seed = 5" in line
    assert (out / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty.txt"),
        (b"fine text\x00 and then not", "NUL byte"),
        (b"caf\xe9 latin-1", "0xe9 at byte 3"),
        (b"One sentence only.", "at least"),
    ],
)
def test_unusable_text_is_one_clear_line_and_nothing_is_written(tmp_path, content, words):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "empty.txt").write_bytes(content)
    line = one_line_error(run(command(tmp_path / "text", tmp_path / "run")))
    assert words in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("teecher_steps=3", "unknown setting 'teecher_steps'"),
        ("teacher_steps=many", "teacher_steps: found 'many', expected a whole number"),
        ("teacher_steps=0", "teacher_steps: found 0"),
        ("teacher_steps", "NAME=VALUE"),
        ("sequence_length=3", "sequence_length: found 3"),
    ],
)
def test_unusable_settings_are_one_clear_line(finished, tmp_path, setting, words):
    text, _, _ = finished
    small = {k: v for k, v in SMALL.items() if k != setting.partition("=")[0]}
    line = one_line_error(run(command(text, tmp_path / "run", setting, small=small)))
    assert words in line
    assert not (tmp_path / "run").exists()


def test_a_loss_that_explodes_ends_with_exit_code_1(finished, tmp_path):
    text, _, _ = finished
    process = run(command(text, tmp_path / "run", "teacher_learning_rate=1e30", "clip_norm=1e30"))
    assert process.returncode == 1
    assert "minimobilebert: failed: teacher: step" in process.stderr and "Traceback" not in process.stderr


def test_a_vocabulary_that_is_not_the_checkpoints_is_named(finished, tmp_path):
    text, sound, _ = finished
    out = shutil.copytree(sound, tmp_path / "run")
    (out / "summary.json").unlink()
    vocabulary = (out / "vocab.txt").read_text(encoding="utf-8").splitlines()
    vocabulary[-1] += "x"
    (out / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    assert "vocabulary" in one_line_error(run(command(text, out)))


def test_an_edited_checkpoint_is_noticed(finished, tmp_path):
    text, sound, _ = finished
    out = shutil.copytree(sound, tmp_path / "run")
    (out / "summary.json").unlink()
    checkpoint = out / "student" / "checkpoint-final.npz"
    data = bytearray(checkpoint.read_bytes())
    data[len(data) // 2] ^= 1
    checkpoint.write_bytes(data)
    assert str(checkpoint) in one_line_error(run(command(text, out)))


@pytest.mark.parametrize("strategy", ["joint", "auxiliary", "none"])
def test_every_strategy_runs_to_its_report(finished, tmp_path, strategy):
    text, other, _ = finished
    out = tmp_path / "run"
    process = run(command(text, out, f"strategy={strategy}", seed=4))
    assert process.returncode == 0, process.stderr
    assert (out / "report.html").exists()
    summary = result(out)
    assert summary["settings"]["strategy"] == strategy
    assert summary["teacher"] != result(other)["teacher"]  # of another seed
    for stage, steps in summary["steps"].items():
        assert json.loads((out / stage / "metrics.jsonl").read_text().splitlines()[-1])["step"] == steps
