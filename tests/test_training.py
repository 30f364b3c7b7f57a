"""Optimisers, schedules, checkpoints and the loop."""

import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from thread_counts import threads
from toy_training import toy

from minimobilebert.kernels.runtime import memory
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.support.errors import TrainingDiverged
from minimobilebert.training.adamw import AdamW
from minimobilebert.training.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from minimobilebert.training.clipping import clip_by_global_norm
from minimobilebert.training.lamb import LAMB
from minimobilebert.training.schedules import Constant, WarmupLinearDecay, progressive_multiplier

ROOT = pathlib.Path(__file__).resolve().parents[1]
SHAPES = {"a.weight": (5, 3), "a.bias": (5,), "LayerNorm.weight": (3,), "empty.weight": (0, 4)}


def random_dict(rng, shapes=SHAPES, dtype=np.float64):
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}


# ---- optimisers


def test_adamw_is_its_formula_for_100_steps(backend):
    rng = np.random.default_rng(1)
    params = random_dict(rng)
    w = {name: array.copy() for name, array in params.items()}
    m, v = ({name: np.zeros(shape) for name, shape in SHAPES.items()} for _ in range(2))
    optimizer = AdamW(params, weight_decay=0.1)
    for t in range(1, 101):
        grads, lr = random_dict(rng), 0.01 / t
        optimizer.step(params, grads, lr)
        for name, g in grads.items():
            if name == "a.weight":
                w[name] *= 1 - lr * 0.1
            m[name] = 0.9 * m[name] + 0.1 * g
            v[name] = 0.999 * v[name] + 0.001 * g * g
            w[name] -= lr * (m[name] / (1 - 0.9**t)) / (np.sqrt(v[name] / (1 - 0.999**t)) + 1e-8)
    for name in params:
        # 100 updates, each rounded a few times at 1e-16
        np.testing.assert_allclose(params[name], w[name], rtol=1e-12, atol=1e-13)


def test_adamw_of_a_large_parameter_equals_numpy_and_any_thread_count():
    """Above the size where threads start, the two back ends and one or two threads agree."""
    pytest.importorskip("numba", reason="numba is not installed")

    def result(name):
        rng = np.random.default_rng(2)
        params = {"w.weight": rng.normal(size=(300, 401)).astype(np.float32)}
        optimizer = AdamW(params)
        with use_backend(name):
            for _ in range(3):
                optimizer.step(params, {"w.weight": rng.normal(size=(300, 401)).astype(np.float32)}, 1e-2)
        return params["w.weight"]

    two = result("numba")
    with threads(1):
        one = result("numba")
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(two, result("numpy"), rtol=2e-6, atol=2e-7)  # float32, other order of operations


def test_lamb_is_the_released_formula(backend):
    rng = np.random.default_rng(3)
    params = random_dict(rng)
    params["zero.weight"] = np.zeros((2, 2))
    w = {name: array.copy() for name, array in params.items()}
    m = {name: np.zeros_like(array) for name, array in params.items()}
    v = {name: np.zeros_like(array) for name, array in params.items()}
    optimizer = LAMB(params)
    for _ in range(20):
        grads = {name: rng.normal(size=array.shape) for name, array in params.items()}
        optimizer.step(params, grads, 0.01)
        for name, g in grads.items():
            m[name] = 0.9 * m[name] + 0.1 * g
            v[name] = 0.999 * v[name] + 0.001 * g * g
            u = m[name] / (np.sqrt(v[name]) + 1e-6)
            ratio = 1.0
            if name in ("a.weight", "zero.weight"):
                u = u + 0.01 * w[name]
                if np.sqrt((w[name] ** 2).sum()) > 0:
                    ratio = np.sqrt((w[name] ** 2).sum()) / np.sqrt((u**2).sum())
            w[name] = w[name] - 0.01 * ratio * u
    for name in params:
        np.testing.assert_allclose(params[name], w[name], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kind", [AdamW, LAMB])
def test_frozen_parameters_stay_bit_for_bit(backend, kind):
    rng = np.random.default_rng(4)
    params = random_dict(rng, dtype=np.float32)
    optimizer = kind(params)
    optimizer.step(params, random_dict(rng, dtype=np.float32), 0.1)
    before = {name: array.copy() for name, array in params.items()}
    state = {name: array.copy() for name, array in optimizer.state().items()}
    multipliers = dict.fromkeys(params, 0.0) | {"a.bias": 1.0}
    optimizer.step(params, random_dict(rng, dtype=np.float32), 0.1, multipliers)
    for name in params:
        assert np.array_equal(params[name], before[name]) == (name != "a.bias" or not params[name].size)
    for name, array in optimizer.state().items():
        assert np.array_equal(array, state[name]) == (not name.endswith("a.bias"))


@pytest.mark.parametrize("kind", [AdamW, LAMB])
def test_multipliers_scale_the_learning_rate(backend, kind):
    rng = np.random.default_rng(5)
    first, grads = random_dict(rng), random_dict(rng)
    scaled, plain = ({name: array.copy() for name, array in first.items()} for _ in range(2))
    kind(scaled).step(scaled, grads, 0.1, dict.fromkeys(first, 0.25))
    kind(plain).step(plain, grads, 0.025)
    for name in first:
        np.testing.assert_array_equal(scaled[name], plain[name])


# ---- clipping and schedules


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100.0))
def test_clipping_bounds_the_norm_and_leaves_the_gradients(seed, limit):
    grads = random_dict(np.random.default_rng(seed))
    before = {name: g.copy() for name, g in grads.items()}
    norm, factor = clip_by_global_norm(grads, limit)
    assert norm == pytest.approx(np.linalg.norm(np.concatenate([g.ravel() for g in before.values()])), rel=1e-12)
    assert factor == pytest.approx(min(1.0, limit / norm), rel=1e-12)
    for name in grads:
        np.testing.assert_array_equal(grads[name], before[name])


@pytest.mark.parametrize("kind", [AdamW, LAMB])
def test_an_update_with_a_factor_is_one_with_smaller_gradients(backend, kind):
    rng = np.random.default_rng(2)
    scaled, grads = random_dict(rng), random_dict(rng)
    plain = {name: array.copy() for name, array in scaled.items()}
    one, two = kind(scaled), kind(plain)
    for _ in range(3):
        one.step(scaled, grads, 0.1, None, 0.25)
        two.step(plain, {name: 0.25 * g for name, g in grads.items()}, 0.1)
    for name in scaled:
        np.testing.assert_allclose(scaled[name], plain[name], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 1, 1001, 1 << 16, (1 << 17) + 77])
def test_the_norm_of_small_and_large_gradients(backend, size, dtype):
    """Beside math.fsum, which rounds once; sizes around those at which the kernel starts threads and chunks."""
    x = np.random.default_rng(size).normal(size=(2, size)).astype(dtype)
    for layout in (x[0], x.T[:, 1], x.T):
        exact = math.fsum(float(value) ** 2 for value in layout.flat)
        norm, _ = clip_by_global_norm({"w": layout}, 1.0)
        # n additions of positive numbers in float32 lose at most a few units in the last place of the partial sums.
        assert norm == pytest.approx(math.sqrt(exact), rel={np.float32: 1e-5, np.float64: 1e-13}[dtype])


def test_clipping_reports_a_norm_that_is_not_finite():
    grads = {"a": np.array([1.0, np.nan])}
    norm, factor = clip_by_global_norm(grads, 1.0)
    assert np.isnan(norm) and factor == 1.0


def test_warmup_linear_decay_by_hand():
    schedule = WarmupLinearDecay(0.4, 10, 100, end_fraction=0.1)
    assert [schedule(0), schedule(5)] == [0.0, pytest.approx(0.2)]
    assert schedule(10) == pytest.approx(0.4 * (0.9 * 0.9 + 0.1))
    assert schedule(55) == pytest.approx(0.4 * (0.45 * 0.9 + 0.1))
    assert schedule(100) == schedule(1000) == pytest.approx(0.04)


def test_progressive_multiplier_by_hand():
    """The released run: base rate 0.0015, 10,000 steps a layer."""

    def rate(step, layer):
        return 0.0015 * progressive_multiplier(step, layer, 10_000)

    peak = max(rate(step, 5) for step in range(50_000, 60_001))
    assert peak == pytest.approx(0.00448, rel=1e-3)
    assert rate(59_999, 5) == pytest.approx(0.00405, rel=1e-2)
    assert rate(60_001 + 5_000, 5) == pytest.approx(0.00045 * (0.9 + 0.1 * 0.5**0.5), rel=2e-3)  # a tenth, later on
    assert rate(50_000, 5) == rate(60_000, 5) == 0.0  # every phase starts from 0
    assert rate(49_999, 5) == 0.0  # not yet its turn


# ---- checkpoints


def small_checkpoint(path):
    arrays = {"w": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.zeros((0,)), "n": np.array(7)}
    save_checkpoint(path, arrays, {"step": 3, "configuration": {"x": 1}})
    return arrays


def test_checkpoint_comes_back_as_it_was(tmp_path):
    arrays = small_checkpoint(tmp_path / "c.npz")
    loaded, metadata = load_checkpoint(tmp_path / "c.npz")
    assert metadata == {"step": 3, "configuration": {"x": 1}}
    assert set(loaded) == set(arrays)
    for name in arrays:
        assert loaded[name].dtype == arrays[name].dtype
        np.testing.assert_array_equal(loaded[name], arrays[name])
    assert os.listdir(tmp_path) == ["c.npz"]


def test_a_checkpoint_cut_anywhere_is_refused(tmp_path):
    small_checkpoint(tmp_path / "c.npz")
    data = (tmp_path / "c.npz").read_bytes()
    for length in range(0, len(data), 41):
        (tmp_path / "cut.npz").write_bytes(data[:length])
        with pytest.raises(CheckpointError, match="cut.npz"):
            load_checkpoint(tmp_path / "cut.npz")


def test_an_edited_checkpoint_is_refused_or_harmless(tmp_path):
    """Flip one bit in every 7th byte: either the file is refused, or (unused zip fields) it still holds the same."""
    arrays = small_checkpoint(tmp_path / "c.npz")
    data = bytearray((tmp_path / "c.npz").read_bytes())
    refused = 0
    for place in range(0, len(data), 7):
        changed = bytearray(data)
        changed[place] ^= 4
        (tmp_path / "edited.npz").write_bytes(changed)
        try:
            loaded, metadata = load_checkpoint(tmp_path / "edited.npz")
        except CheckpointError:
            refused += 1
            continue
        assert metadata["step"] == 3
        assert set(loaded) == set(arrays) and all(np.array_equal(loaded[n], arrays[n]) for n in arrays)
    assert refused > len(data) / 7 / 2


def test_a_pickle_is_never_loaded(tmp_path):
    np.savez(tmp_path / "evil.npz", w=np.array([{"a": 1}], dtype=object))
    with pytest.raises(CheckpointError, match="evil.npz"):
        load_checkpoint(tmp_path / "evil.npz")


def test_a_full_disk_keeps_the_previous_checkpoint(tmp_path):
    """A limit on file size stands for the full disk: the write fails half-way."""
    path = tmp_path / "c.npz"
    small_checkpoint(path)
    code = f"""
        import resource, signal, numpy as np
        from minimobilebert.training.checkpoints import save_checkpoint
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            save_checkpoint({str(path)!r}, {{"w": np.zeros(100_000)}}, {{"step": 4}})
        except OSError as error:
            print(error)
    """
    found = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True)
    assert "c.npz" in found.stdout and "intact" in found.stdout, found.stderr
    assert load_checkpoint(path)[1]["step"] == 3
    assert os.listdir(tmp_path) == ["c.npz"]


# ---- the loop


def metrics_without_times(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


@pytest.mark.parametrize("stop_after", [1, 3, 17, 39])
def test_resume_equals_no_interruption_bit_for_bit(tmp_path, stop_after):
    whole, _ = toy(tmp_path / "whole")
    with pytest.raises(RuntimeError):
        toy(tmp_path / "parts", stop_after=stop_after, checkpoint_seconds=0.0)
    assert list((tmp_path / "parts").glob("checkpoint-*.npz"))
    parts, result = toy(tmp_path / "parts")
    assert result.steps == 40
    for name in whole:
        np.testing.assert_array_equal(parts[name], whole[name])
    assert metrics_without_times(tmp_path / "parts") == metrics_without_times(tmp_path / "whole")
    assert np.array_equal(whole["frozen.weight"], np.ones(3))


def test_a_torn_newest_checkpoint_falls_back_to_the_one_before(tmp_path, capsys):
    whole, _ = toy(tmp_path / "whole")
    with pytest.raises(RuntimeError):
        toy(tmp_path / "torn", stop_after=20, checkpoint_seconds=0.0)
    (tmp_path / "torn" / "checkpoint-20.npz").write_bytes(b"PK\x03\x04 torn")
    parts, _ = toy(tmp_path / "torn")
    np.testing.assert_array_equal(parts["w.weight"], whole["w.weight"])
    assert "checkpoint-20.npz" in capsys.readouterr().err


def test_a_finished_stage_is_only_loaded(tmp_path):
    whole, first = toy(tmp_path / "run")
    again, second = toy(tmp_path / "run", stop_after=0)
    np.testing.assert_array_equal(again["w.weight"], whole["w.weight"])
    assert first.seconds == pytest.approx(second.seconds, abs=0.2)


def test_another_configuration_is_named_with_both_values(tmp_path):
    toy(tmp_path / "run")
    with pytest.raises(
        CheckpointError, match=r"checkpoint-final.npz: found a checkpoint with a.b = 1, expected a.b = 2"
    ):
        toy(tmp_path / "run", configuration={"a": {"b": 2}})


def test_a_loss_that_is_not_finite_stops_with_step_and_gradient(tmp_path):
    with pytest.raises(TrainingDiverged, match=r"toy: step 8: the loss is nan .* w.weight"):
        toy(tmp_path / "run", poison=7, checkpoint_seconds=0.0)
    assert load_checkpoint(tmp_path / "run" / "checkpoint-7.npz")[1]["step"] == 7


def toy_process(folder, pause):
    code = f"from toy_training import toy; toy({str(folder)!r}, pause={pause}, checkpoint_seconds=0.0)"
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "MINIMOBILEBERT_BACKEND": "numpy", "PYTHONPATH": path})  # fmt: skip


def wait_for_checkpoint(folder, process):
    deadline = time.monotonic() + 30.0
    while not list(folder.glob("checkpoint-*.npz")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.fixture
def numpy_as_in_the_process():
    """Both back ends round the sum in clipping differently; the process has NumPy, which starts at once."""
    with use_backend("numpy"):
        yield


@pytest.mark.usefixtures("numpy_as_in_the_process")
def test_ctrl_c_saves_and_the_same_call_goes_on(tmp_path):
    whole, _ = toy(tmp_path / "whole")
    process = toy_process(tmp_path / "run", pause=0.02)
    wait_for_checkpoint(tmp_path / "run", process)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=30)
    assert process.returncode != 0 and "resumes from here" in messages
    parts, _ = toy(tmp_path / "run")
    np.testing.assert_array_equal(parts["w.weight"], whole["w.weight"])


@pytest.mark.usefixtures("numpy_as_in_the_process")
def test_kill_at_random_moments_ends_with_the_same_bytes(tmp_path):
    whole, _ = toy(tmp_path / "whole")
    rng = np.random.default_rng(6)
    for _ in range(3):
        process = toy_process(tmp_path / "run", pause=0.01)
        wait_for_checkpoint(tmp_path / "run", process)
        time.sleep(float(rng.uniform(0.0, 0.2)))
        process.kill()
        process.communicate()
    parts, _ = toy(tmp_path / "run")
    np.testing.assert_array_equal(parts["w.weight"], whole["w.weight"])
    assert metrics_without_times(tmp_path / "run") == metrics_without_times(tmp_path / "whole")
    assert not list((tmp_path / "run").glob("*.tmp"))


def test_constant_schedule():
    assert Constant(0.3)(0) == Constant(0.3)(10**6) == 0.3


def test_a_finished_stage_leaves_no_memory_waiting(tmp_path, monkeypatch):
    """Each stage has arrays of other sizes: five runs one after the other would fill gigabytes that nobody uses."""

    def step_and_leave(optimizer, params, gradients, *others, step=AdamW.step):
        memory.empty(1 << 20, np.float32)
        step(optimizer, params, gradients, *others)

    monkeypatch.setattr(AdamW, "step", step_and_leave)
    toy(tmp_path)
    assert memory.memory_in_use()[1] == 0
