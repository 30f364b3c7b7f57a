"""Whole runs shared out among ranks, and what the ranks of one machine share."""

import pathlib
import shutil
import tempfile
import threading
import time

from minimobilebert.commands import ranks as ranks_of_commands
from minimobilebert.distributed.communicator import WorkIsDone, current
from minimobilebert.distributed.parts import usual_parts
from minimobilebert.distributed.threads import run_ranks
from minimobilebert.distributed.whole_runs import in_turn, made_on_ranks
from minimobilebert.pipeline import seeds
from minimobilebert.support import locks


def test_usual_parts():
    assert usual_parts() == 1
    assert run_ranks(1, usual_parts) == [4]
    assert run_ranks(3, usual_parts) == [4] * 3
    assert run_ranks(6, usual_parts) == [6] * 6


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
