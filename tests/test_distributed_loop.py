"""The training loop on several ranks: the bits of one process, resumed, refused and named."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import random_batch, random_parameters
from toy_ranks import CONFIG, LENGTHS, pretrain

from minimobilebert.distributed.communicator import WorkIsDone, current, farewell
from minimobilebert.distributed.owners import owners
from minimobilebert.distributed.reduction import REDUCTIONS
from minimobilebert.distributed.threads import run_ranks
from minimobilebert.training.adamw import AdamW
from minimobilebert.training.checkpoints import load_checkpoint
from minimobilebert.training.data_parallel import RanksDiffer, Sharing, check_same_parameters
from minimobilebert.training.loop import Records, UpdateRule, train
from minimobilebert.training.schedules import WarmupLinearDecay
from minimobilebert.training.sharded_optimizer import ShardedOptimizer


def _train(folder, *, ranks, parts=4, steps=12, reduction="deterministic", shards=False, stop=None, change=None):
    """Train on `ranks` threads -> the parameters of every rank; only rank 0 has `folder`"""

    def run():
        communicator = current()
        rng = np.random.default_rng(8)
        params = random_parameters(CONFIG, rng, dtype=np.float32)

        def batches(step):
            return random_batch(CONFIG, np.random.default_rng([4, step]), LENGTHS)

        def after(done, params):
            assert communicator.rank == 0
            if done == stop:
                raise RuntimeError("stopped by the test")

        configuration = {"a": 1}
        if change and communicator.rank == change[0]:
            configuration = change[1]
        train(
            "toy", pretrain, params, batches, total_steps=steps, seed=1,
            update_rule=UpdateRule(AdamW, WarmupLinearDecay(0.01, 2, steps), None, 1.0, Sharing(parts, reduction, True, shards)),
            records=Records(folder if communicator.rank == 0 else "/nowhere", configuration, 3, 0.0), after_step=after,
        )  # fmt: skip
        return params

    return run_ranks(ranks, run)


def _assert_same_parameters(found, expected):
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


@pytest.mark.parametrize(("ranks", "shards"), [(2, False), (3, False), (4, False), (2, True), (3, True)])
def test_training_on_ranks_has_the_bits_of_one_process(tmp_path, ranks, shards):
    expected = _train(tmp_path / "one", ranks=1)[0]
    for params in _train(tmp_path / "many", ranks=ranks, shards=shards):
        _assert_same_parameters(params, expected)
    lines = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("one", "many")]
    for one, many in zip(*lines, strict=True):
        one, many = json.loads(one), json.loads(many)
        assert many.pop("communication") > 0
        assert one.pop("seconds") and many.pop("seconds") and one == many


@pytest.mark.parametrize("shards", [False, True])
@pytest.mark.parametrize(("before", "after"), [(3, 1), (1, 4), (2, 3)])
def test_a_run_resumes_on_another_number_of_ranks(tmp_path, before, after, shards):
    expected = _train(tmp_path / "one", ranks=1)[0]
    with pytest.raises(RuntimeError, match="stopped by the test"):
        _train(tmp_path / "run", ranks=before, stop=7, shards=shards)
    for params in _train(tmp_path / "run", ranks=after, shards=shards):
        _assert_same_parameters(params, expected)
    for params in _train(tmp_path / "run", ranks=before):  # finished: read, not trained
        _assert_same_parameters(params, expected)
    stored, _ = load_checkpoint(tmp_path / "run" / "checkpoint-final.npz")
    _assert_same_parameters(stored, expected)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_ranks_stay_equal_with_every_reduction(tmp_path, reduction):
    first, second = (_train(tmp_path / str(i), ranks=3, reduction=reduction) for i in range(2))
    for params in [*first, *second]:
        _assert_same_parameters(params, first[0])


@given(sizes=st.lists(st.integers(1, 10**6), min_size=1, max_size=40), ranks=st.integers(1, 9))
def test_parameters_are_shared_out_evenly(sizes, ranks):
    """No rank owns more than its even share and one parameter."""
    owner = owners({f"p{i}": size for i, size in enumerate(sizes)}, ranks)
    load = [sum(size for i, size in enumerate(sizes) if owner[f"p{i}"] == rank) for rank in range(ranks)]
    assert sum(load) == sum(sizes) and max(load) <= sum(sizes) / ranks + max(sizes)


def test_a_rank_keeps_the_moments_of_its_own_parameters():
    params = random_parameters(CONFIG, np.random.default_rng(1), dtype=np.float32)

    def run():
        optimizer = ShardedOptimizer(AdamW, params)
        kept = {name.removeprefix("first.") for name in optimizer._optimizer.state() if name.startswith("first.")}
        return kept, optimizer.state()

    (first, state), (second, nothing) = run_ranks(2, run)
    assert first | second == set(params) and not first & second
    assert nothing == {} and set(state) == set(AdamW(params).state())


def test_fast_reduction_is_close_to_one_process(tmp_path):
    expected = _train(tmp_path / "one", ranks=1, steps=50)[0]
    found = _train(tmp_path / "fast", ranks=3, steps=50, reduction="fast")[0]
    norm = np.sqrt(sum(float((a.astype(np.float64) ** 2).sum()) for a in expected.values()))
    error = np.sqrt(sum(float(((found[n].astype(np.float64) - a) ** 2).sum()) for n, a in expected.items()))
    assert error < 1e-5 * norm


def test_a_rank_with_other_settings_is_named_before_training(tmp_path):
    with pytest.raises(ValueError, match=r"rank 1: found configuration\.a = 2, expected 1 as on rank 0"):
        _train(tmp_path / "run", ranks=3, change=(1, {"a": 2}))
    assert not list((tmp_path / "run").glob("*.npz"))


def test_more_ranks_than_parts_are_refused(tmp_path):
    with pytest.raises(ValueError, match="parts: found 2 with 3 ranks, expected at least one for each rank"):
        _train(tmp_path / "run", ranks=3, parts=2)


def test_a_finished_run_is_read_with_more_ranks_than_parts(tmp_path):
    """Rank 0 says farewell, because nothing is left to train: no rank may complain meanwhile."""

    def run():
        if current().rank == 0:
            return farewell(current())
        with pytest.raises(WorkIsDone):
            train(
                "toy", None, {}, None, total_steps=1, seed=1, update_rule=UpdateRule(AdamW, None, sharing=Sharing(2)),
                records=Records(tmp_path, {}),
            )  # fmt: skip

    run_ranks(3, run)


def test_different_parameters_are_found():
    def run():
        params = {"w": np.ones(3, np.float32)}
        check_same_parameters(params, 1)
        if current().rank == 2:
            params["w"][1] = np.nextafter(np.float32(1), np.float32(2))
        check_same_parameters(params, 100)

    with pytest.raises(RanksDiffer, match="step 100: found other parameters on rank 2"):
        run_ranks(3, run)


def test_ranks_learn_that_there_is_no_other_stage(tmp_path):
    """Rank 0 may be at the end of its command, because the run was finished, while others wait for a stage."""

    def run():
        if current().rank == 0:
            farewell(current())
            return "leader"
        try:
            params = {"w": np.ones(3, np.float32)}
            train(
                "toy", None, params, None, total_steps=1, seed=1, update_rule=UpdateRule(AdamW, None, sharing=Sharing(4)),
                records=Records(tmp_path, {}),
            )  # fmt: skip
        except WorkIsDone:
            return "done"

    assert run_ranks(3, run) == ["leader", "done", "done"]


def test_a_rank_with_fewer_stages_is_named(tmp_path):
    """Rank 0 has a stage more, as `distil --baseline` has: rank 1 will never come to it."""

    def run():
        if current().rank == 1:
            return farewell(current())
        params = {"w": np.ones(3, np.float32)}
        train(
            "toy", None, params, None, total_steps=1, seed=1, update_rule=UpdateRule(AdamW, None, sharing=Sharing(4)),
            records=Records(tmp_path / str(current().rank), {}),
        )  # fmt: skip

    with pytest.raises(ValueError, match="rank 1: found the end of its command, expected the stage toy as on rank 0"):
        run_ranks(3, run)
