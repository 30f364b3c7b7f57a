"""Several ranks: the same sums in the same order as one process, and a training loop that knows it."""

import contextlib
import functools
import json
import pathlib
import shutil
import tempfile
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import CONFIGS, random_batch, random_parameters

from minimobilebert.commands import ranks as ranks_of_commands
from minimobilebert.distilling.texts import read_text
from minimobilebert.distributed import overlap as overlapping
from minimobilebert.distributed.communicator import WorkIsDone, broadcast, current, farewell, gather, gather_bytes
from minimobilebert.distributed.fixed_tree import nodes_inside, tree_sum
from minimobilebert.distributed.owners import owners
from minimobilebert.distributed.parts import usual_parts
from minimobilebert.distributed.reduction import REDUCTIONS, Numbers, Reduction, parts_of_rank
from minimobilebert.distributed.threads import run_ranks
from minimobilebert.distributed.whole_runs import in_turn, made_on_ranks
from minimobilebert.kernels.runtime.precision import use_precision
from minimobilebert.model.gradients import new_gradients
from minimobilebert.model.pretraining import pretraining_step
from minimobilebert.pipeline import seeds
from minimobilebert.support import locks
from minimobilebert.text import prepare as preparing
from minimobilebert.text.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer
from minimobilebert.training.adamw import AdamW
from minimobilebert.training.checkpoints import load_checkpoint
from minimobilebert.training.data_parallel import DataParallel, RanksDiffer, Sharing, check_same_parameters
from minimobilebert.training.loop import Records, UpdateRule, train
from minimobilebert.training.schedules import WarmupLinearDecay
from minimobilebert.training.sharded_optimizer import ShardedOptimizer

CONFIG = CONFIGS["mobilebert"].replace(hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.1)
LENGTHS = (9, 4, 7, 3, 8, 6, 5)


def _leaves(parts, length, seed):
    """Numbers of very different sizes, so that each order of additions has other bits: [parts, length] float32"""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(parts, length)) * 10.0 ** rng.integers(-4, 5, (parts, length))).astype(np.float32)


def _in_one_process(leaves):
    return tree_sum(0, len(leaves), lambda low, high: leaves[low].copy() if high - low == 1 else None)


@given(parts=st.integers(1, 40), first=st.integers(0, 40), stop=st.integers(0, 40))
def test_nodes_inside_are_disjoint_and_cover_the_parts(parts, first, stop):
    first, stop = sorted((min(first, parts), min(stop, parts)))
    nodes = nodes_inside(first, stop, 0, parts)
    assert [part for low, high in nodes for part in range(low, high)] == list(range(first, stop))


def test_the_order_of_additions_is_the_one_that_is_drawn():
    a, b, c, d, e = np.float32([1e8, 1.0, -1e8, 3.0, 5.0])
    expected = np.float32(np.float32(a + b) + np.float32(c + np.float32(d + e)))
    assert _in_one_process(np.float32([[a], [b], [c], [d], [e]]))[0] == expected


@settings(max_examples=25)
@given(
    parts=st.integers(1, 13), ranks=st.integers(1, 7), length=st.integers(1, 40), seed=st.integers(0, 2**32 - 1)
)  # fmt: skip
def test_every_number_of_ranks_has_the_bits_of_one_process(parts, ranks, length, seed):
    leaves = _leaves(parts, length, seed)

    def reduced():
        communicator = current()
        own = parts_of_rank(communicator.rank, communicator.size, parts)
        nodes = {node: _node(leaves, *node) for node in nodes_inside(*own, 0, parts)}
        return _sum(communicator, nodes, parts, length)

    expected = _in_one_process(leaves)
    for total in run_ranks(ranks, reduced):
        np.testing.assert_array_equal(total, expected)


def _sum(communicator, nodes, parts, length, how="deterministic"):
    return Reduction(communicator, nodes, Numbers(length, np.dtype(np.float32), parts, how)).wait()


def _node(leaves, low, high):
    return tree_sum(low, high, lambda a, b: leaves[a].copy() if b - a == 1 else None)


@pytest.mark.parametrize(("how", "tolerance"), [("fast", 1e-6), ("ring", 1e-6), ("bfloat16", 2.0**-7)])
def test_other_reductions_are_close_and_equal_on_all_ranks(how, tolerance):
    """fast, ring: float32, seven additions; bfloat16: a relative 2^-9 for each number that travels, twice on its way"""
    leaves = np.abs(_leaves(7, 31, 3))  # positive, so that nothing cancels

    def reduced():
        communicator = current()
        own = parts_of_rank(communicator.rank, communicator.size, 7)
        nodes = {node: _node(leaves, *node) for node in nodes_inside(*own, 0, 7)}
        return _sum(communicator, nodes, 7, 31, how)

    totals = run_ranks(3, reduced)
    np.testing.assert_allclose(totals[0], leaves.astype(np.float64).sum(axis=0), rtol=tolerance)
    for total in totals[1:]:
        np.testing.assert_array_equal(total, totals[0])


def test_bfloat16_halves_what_travels():
    sent = []

    def reduced(how):
        communicator = current()
        start = communicator.start
        communicator.start = lambda outgoing, incoming, tag: (
            sent.append(sum(array.nbytes for _, array in outgoing)), start(outgoing, incoming, tag))[1]  # fmt: skip
        nodes = {node: _leaves(1, 40, 1)[0] for node in nodes_inside(*parts_of_rank(communicator.rank, 2, 2), 0, 2)}
        _sum(communicator, nodes, 2, 40, how)

    traffic = {}
    for how in ("deterministic", "bfloat16"):
        sent.clear()
        run_ranks(2, functools.partial(reduced, how))
        traffic[how] = sum(sent)
    assert traffic["deterministic"] == 2 * traffic["bfloat16"] == 2 * 4 * 40  # 2 n (N - 1) / N numbers for each rank


def test_gather_and_broadcast():
    def run():
        communicator = current()
        assert [int(a[0]) for a in gather(communicator, np.array([communicator.rank]))] == [0, 1, 2]
        assert gather_bytes(communicator, b"x" * communicator.rank) == [b"", b"x", b"xx"]
        array = np.full((2, 3), float(communicator.rank))
        broadcast(communicator, [array])
        return array.sum()

    assert run_ranks(3, run) == [0.0, 0.0, 0.0]


# Steps


def _step(params, batch, step, rng, shares):
    return pretraining_step(params, CONFIG, batch, rng, shares)


def _gradients(parts, lengths=LENGTHS, overlap=True):
    """Those of the second step: what travels in which bucket is known after the first one"""
    rng = np.random.default_rng(8)
    params, batch = random_parameters(CONFIG, rng, dtype=np.float32), random_batch(CONFIG, rng, lengths)
    work = DataParallel(_step, 1, Sharing(parts, overlap=overlap))
    work.gradients(params, batch, 2)
    return work.gradients(params, batch, 3)


def _assert_equal(found, expected):
    assert found[0] == expected[0]
    assert list(found[1]) == list(expected[1])
    for name, gradient in found[1].items():
        np.testing.assert_array_equal(gradient, expected[1][name], err_msg=name)


@pytest.mark.parametrize(("overlap", "precision"), [(False, "float32"), (True, "float32"), (True, "bfloat16")])
@pytest.mark.parametrize(("parts", "ranks"), [(4, 1), (4, 2), (4, 3), (4, 4), (5, 2), (6, 6), (7, 3)])
def test_gradients_of_ranks_are_those_of_one_process_bit_for_bit(monkeypatch, parts, ranks, precision, overlap):
    monkeypatch.setattr(overlapping, "BUCKET_BYTES", 700)  # several tensors of a layer

    with use_precision(precision):  # of the process: threads that set it at the same time would leave it set
        expected = _gradients(parts, overlap=overlap)
        found = run_ranks(ranks, lambda: _gradients(parts, overlap=overlap))
    for each in found:
        _assert_equal(each, expected)


def test_gradients_travel_before_the_backward_pass_ends(monkeypatch):
    """The first bucket starts when the last layer is done: before the first layer's gradients are written."""
    monkeypatch.setattr(overlapping, "BUCKET_BYTES", 700)
    events, start = [], overlapping.GradientSum._start

    def noted_start(self, names, gradients):
        if current().rank == 1:
            events.append(names)
        return start(self, names, gradients)

    def noted_step(params, batch, step, rng, shares):
        losses, gradients = _step(params, batch, step, rng, shares)
        if current().rank == 1:
            events.append("end of the backward pass")
        return losses, gradients

    monkeypatch.setattr(overlapping.GradientSum, "_start", noted_start)
    rng = np.random.default_rng(8)
    params, batch = random_parameters(CONFIG, rng, dtype=np.float32), random_batch(CONFIG, rng, LENGTHS)

    def run():
        work = DataParallel(noted_step, 1, Sharing(4))
        for step in range(2):
            work.gradients(params, batch, step)

    run_ranks(2, run)
    second = events[events.index("end of the backward pass") + 3 :]  # behind both parts of the first step, and its sum
    last_part = len(second) - 1 - second[::-1].index("end of the backward pass")
    assert sum(isinstance(event, tuple) for event in second[:last_part]) > 5
    assert ".layer.2." in next(event for event in second if isinstance(event, tuple))[0]
    assert sum(isinstance(event, tuple) for event in second[last_part:]) == 1  # the rest: embeddings and heads


def test_a_bucket_that_is_not_written_again_does_not_travel(monkeypatch):
    """Transfer layer by layer: a later step has gradients of other layers than the one before."""
    monkeypatch.setattr(overlapping, "BUCKET_BYTES", 1)
    names = [[f"m.encoder.layer.{layer}.w" for layer in layers] for layers in ((1, 0), (2, 1, 0), (0,))]

    def step_function(params, batch, step, rng, shares):
        gradients = new_gradients()
        for name in names[step]:
            gradients[name] = np.full((2, 3), float(batch.input_ids.sum() + len(name)), np.float32)
        return {"loss": 1.0}, gradients

    def run():
        work = DataParallel(step_function, 1, Sharing(3))
        batch = random_batch(CONFIG, np.random.default_rng(2), LENGTHS)
        return [work.gradients({}, batch, step) for step in range(3)]

    expected = run()
    for found in run_ranks(3, run):
        for one, other in zip(found, expected, strict=True):
            _assert_equal(one, other)


def test_a_rank_without_a_part_takes_part():
    """Two rows for four ranks, as at the end of an epoch."""
    expected = _gradients(4, lengths=(5, 7))
    for found in run_ranks(4, lambda: _gradients(4, lengths=(5, 7))):
        _assert_equal(found, expected)


def test_parts_have_random_numbers_of_their_own():
    """With dropout, four parts are not one part; and the same part is the same again."""
    whole, cut, again = _gradients(1), _gradients(4), _gradients(4)
    _assert_equal(cut, again)
    assert whole[0]["loss"] != pytest.approx(cut[0]["loss"], rel=1e-6)


# The training loop


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
            "toy", _step, params, batches, total_steps=steps, seed=1,
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


def test_standard_input_is_refused_for_several_ranks(tmp_path):
    """MPI gives it to rank 0 alone; `distil` prepares the text on each rank."""

    def run():
        with pytest.raises(ValueError, match="--text: found standard input with 2 ranks, expected files"):
            read_text(["-"], None, None, tmp_path / str(current().rank))

    run_ranks(2, run)


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


def test_usual_parts():
    assert usual_parts() == 1
    assert run_ranks(1, usual_parts) == [4]
    assert run_ranks(3, usual_parts) == [4] * 3
    assert run_ranks(6, usual_parts) == [6] * 6


# Whole runs


def test_whole_runs_are_shared_and_rank_0_reads_them(tmp_path, monkeypatch):
    """Five seeds on three ranks: each is made once, as by one process, and the table is rank 0's."""
    made = []

    def train_tiny(seed, out, settings):
        assert current().size == 1 and usual_parts() == 1
        if not out.exists():
            out.mkdir()
            made.append(seed)
        scores = {"mlm_loss": 4.0 + seed, "nsp_accuracy": 0.7, "task_accuracy": 0.8}
        models = dict.fromkeys(("teacher", "student", "student_from_scratch"), scores)
        return {"seed": seed, "unigram_mlm_loss": 6.0, "seconds": {"total": 60.0}, **models}

    monkeypatch.setattr(seeds, "train_tiny", train_tiny)

    def on_rank():
        try:
            return seeds.run(seeds=(1, 2, 3, 4, 5), out=tmp_path / "many")
        except WorkIsDone:
            return current().rank

    table, *others = run_ranks(3, on_rank)
    assert sorted(made) == [1, 2, 3, 4, 5] and others == [1, 2]
    assert table == seeds.run(seeds=(1, 2, 3, 4, 5), out=tmp_path / "one")
    assert (tmp_path / "many" / "summary.json").exists() and not (tmp_path / "many" / ".lock").exists()


class _Watched:
    """A rank whose end is noted"""

    size = 2

    def __init__(self, rank, ended):
        self.rank, self._ended = rank, ended

    def abort(self, code):
        self._ended.append((self.rank, code))


def test_an_interrupted_rank_ends_all(monkeypatch, capsys):
    """Rank 1 may be interrupted between two stages, while rank 0 waits for it."""
    ended = []
    monkeypatch.setattr(ranks_of_commands, "_FIRST_WORD", 0.0)
    monkeypatch.setattr(ranks_of_commands, "_LAST_MOMENT", 0.0)
    for rank in (1, 0):
        ranks_of_commands.report_interruption("stopped", 130, _Watched(rank, ended))
    assert ended == [(1, 130), (0, 130)] and capsys.readouterr().err == "minimobilebert: stopped\n"


def test_a_folder_that_another_rank_removes_is_not_used(monkeypatch, tmp_path):
    """All ranks of a machine start together, and each removes the folders that nobody has locked yet."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    turns = []

    def take(lock):
        turns.append(lock.name)
        if len(turns) == 1:
            shutil.rmtree(pathlib.Path(lock.name).parent)
        return len(turns) > 1

    monkeypatch.setattr(locks, "take", take)
    with ranks_of_commands._own_folder() as folder:
        assert pathlib.Path(folder).is_dir() and len(turns) == 2
    assert not list(tmp_path.iterdir())


def test_a_rank_that_is_killed_while_it_removes_its_folder_leaves_the_lock(monkeypatch, tmp_path):
    """All ranks fail together, and rank 0 ends the others: the next job finds the folder by its lock."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    removed, rmtree = [], shutil.rmtree
    with ranks_of_commands._own_folder() as folder:
        for name in ("run", "another"):
            (pathlib.Path(folder) / name / "deep").mkdir(parents=True)

        def noted(path, **options):
            rest = sorted(entry.name for entry in pathlib.Path(folder).iterdir())
            removed.append((pathlib.Path(path).name, rest))
            rmtree(path, **options)

        monkeypatch.setattr(shutil, "rmtree", noted)
    assert [rest for _, rest in removed][-1] == [".lock"] and all(".lock" in rest for _, rest in removed)
    assert not list(tmp_path.iterdir())


def test_ranks_make_the_same_folder_in_turn(tmp_path):
    """As the example teacher of `distil`, which all of them would download into one folder."""
    made = []

    def make():
        if not (tmp_path / "model").exists():
            (tmp_path / "model").mkdir()
            time.sleep(0.1)
            made.append(current().rank)
        return tmp_path / "model", list(made)

    assert run_ranks(3, lambda: in_turn(make)) == [(tmp_path / "model", [0])] * 3
    assert in_turn(make)[0] == tmp_path / "model"  # one process


def test_a_later_round_reads_what_all_ranks_made():
    made, lock = [], threading.Lock()

    def make(run):
        with lock:
            made.append(run)
        if run[0] == "student":
            assert {("teacher", seed) for seed in range(4)} <= set(made)

    def on_rank():
        try:
            with made_on_ranks(make, [("teacher", seed) for seed in range(4)], [("student", n) for n in range(7)]):
                return "leader"
        except WorkIsDone:
            return None

    assert run_ranks(3, on_rank) == ["leader", None, None]
    assert len(made) == 11


# Text


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_prepared_text_has_the_same_bytes_on_any_number_of_ranks(tmp_path, monkeypatch, ranks):
    """Many small chunks and shards; the last group of chunks is not full, and a row is blank."""
    monkeypatch.setattr(preparing, "CHUNK_ROWS", 4)
    monkeypatch.setattr(preparing, "SHARD_PIECES", 60)
    rng = np.random.default_rng(5)
    lines = [" ".join(rng.choice(["sea", "ship", "whale", "at", "dawn"], rng.integers(1, 9))) for _ in range(57)]
    (tmp_path / "text.txt").write_text("\n".join([*lines[:9], "\u200b", *lines[9:]]) + "\n", encoding="utf-8")
    tokenizer = WordPieceTokenizer([*SPECIAL_TOKENS, "sea", "ship", "whale", "at", "dawn"])

    def prepare(out):
        return preparing.prepare([tmp_path / "text.txt"], out, tokenizer, preparing.Preparation(unit="sentence"))

    def on_rank():
        try:
            prepare(tmp_path / "many")
        except WorkIsDone:
            return current().rank

    prepare(tmp_path / "one")
    for _ in range(2):  # the second time it is there already
        assert run_ranks(ranks, on_rank) == [None, *range(1, ranks)]
    one, many = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "many"))
    assert len(one) > 6 and one == many


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_chunk_with_nothing_but_copies_keeps_its_turn(tmp_path, monkeypatch, ranks):
    """Such a chunk has no row left, yet it is no sign that a rank has come to the end."""
    monkeypatch.setattr(preparing, "CHUNK_ROWS", 2)
    lines = ["sea", "ship", *["sea", "ship"] * 3, "whale", "at", *["at", "sea"] * 2, "dawn", "sea dawn", "at dawn"]
    (tmp_path / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tokenizer = WordPieceTokenizer([*SPECIAL_TOKENS, "sea", "ship", "whale", "at", "dawn"])

    def on_rank(out):
        with contextlib.suppress(WorkIsDone):
            preparing.prepare([tmp_path / "text.txt"], out, tokenizer, preparing.Preparation(unit="sentence"))

    on_rank(tmp_path / "one")
    run_ranks(ranks, lambda: on_rank(tmp_path / "many"))
    one, many = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "many"))
    assert one == many


def test_ranks_with_other_texts_are_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"a {name}\n", encoding="utf-8")
    tokenizer = WordPieceTokenizer([*SPECIAL_TOKENS, "a", "b"])
    with pytest.raises(ValueError, match="found other texts on rank 1 than on rank 0"):
        run_ranks(2, lambda: preparing.prepare([tmp_path / f"{'ab'[current().rank]}.txt"], tmp_path / "o", tokenizer))
