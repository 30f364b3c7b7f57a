"""Lesson 22's program: three ways to add and a fourth, on ranks that are threads or processes; and its edition."""

import ast
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from minimobilebert.course.shared.manifest import load
from minimobilebert.course.teacher.edition import write_edition
from minimobilebert.distributed import ring
from minimobilebert.distributed.communicator import OneProcess, current, exchange
from minimobilebert.distributed.threads import run_ranks

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "lessons" / "22_data_parallel"
PROGRAM = FOLDER / "over_mpi.py"
BESIDE = pathlib.Path(sys.executable).parent / "mpiexec"
MPIEXEC = str(BESIDE) if BESIDE.exists() else shutil.which("mpiexec")


@pytest.fixture
def program(monkeypatch):
    monkeypatch.setitem(os.environ, "OPENBLAS_NUM_THREADS", "1")  # what it sets, taken back
    return loaded(PROGRAM)


def loaded(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_measures_every_reduction(program):
    tables = run_ranks(3, lambda: program.measure(current(), 1000, 2))
    for rows in tables:
        assert [name for name, *_ in rows] == ["fixed tree", "MPI's Allreduce", "ring by hand", "tree, in bfloat16"]
        differences = [difference for _, _, difference, _ in rows]
        assert differences[0] == 0.0 < differences[2] < 1e-6 < differences[3] < 2.0**-6
        assert all(milliseconds > 0.0 and same for _, milliseconds, _, same in rows)
    assert "ring by hand" in program.table(tables[0])


def test_ranks_that_differ_are_seen(program, monkeypatch):
    """A ring whose copies are wrong on one rank"""

    def spoilt(communicator, array):
        ring.ring_all_reduce(communicator, array)
        array[0] += communicator.rank == 1

    monkeypatch.setattr("minimobilebert.distributed.reduction.ring_all_reduce", spoilt)
    rows = run_ranks(2, lambda: program.measure(current(), 9, 1))[0]
    assert [same for *_, same in rows] == [True, True, False, True]
    assert [line.split()[-1] for line in program.table(rows).splitlines()[1:]] == ["yes", "yes", "NO", "yes"]


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--numbers", "0"], "found 0, expected a positive number"), ([], "found one rank, expected several: mpiexec")],
)
def test_what_it_cannot_do_is_one_line(program, monkeypatch, capsys, words, said):
    monkeypatch.setattr(program.mpi, "connect", OneProcess)
    with pytest.raises(SystemExit) as stopped:
        program.main(words)
    printed = capsys.readouterr()
    assert stopped.value.code == 2 and not printed.out and said in printed.err.splitlines()[-1]


def test_a_missing_function_of_an_edition_is_one_line(program, monkeypatch, capsys):
    def missing(communicator, array):
        raise NotImplementedError("task 22.3 (Around the ring: reduce-scatter): write it")

    monkeypatch.setattr("minimobilebert.distributed.ring.ring_reduce_scatter", missing)

    def run():
        monkeypatch.setattr(program.mpi, "connect", current)
        with pytest.raises(SystemExit) as stopped:
            program.main(["--numbers", "5", "--turns", "1"])
        return stopped.value.code

    assert run_ranks(2, run) == [2, 2]
    assert "one is missing: task 22.3" in capsys.readouterr().err


def test_on_processes_with_a_real_mpi():
    if importlib.util.find_spec("mpi4py") is None:
        pytest.skip("mpi4py is not installed (make setup EXTRAS=distributed)")
    if MPIEXEC is None:
        pytest.skip("found no mpiexec (pip install mpich)")
    command = [MPIEXEC, "-n", "3", sys.executable, "-m", "mpi4py", str(PROGRAM), "--numbers", "1001", "--turns", "2"]
    done = subprocess.run(command, cwd=PROGRAM.parents[2], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    first, _, *rows = done.stdout.splitlines()
    assert first.startswith("3 ranks, 1,001 numbers each") and len(rows) == 4
    assert all(row.endswith("yes") for row in rows)


def test_an_edition_whose_tasks_are_solved_runs_the_walkthrough(tmp_path):
    """What an edition leaves out of the package must not be needed by what it asks a student to run."""
    write_edition(load(), ["22"], tmp_path / "edition", record=False)
    code = (FOLDER / "solutions.py").read_text(encoding="utf-8")
    solved = {node.name: node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)}
    for task in load().lesson("22").tasks:
        path = tmp_path / "edition" / task.file
        text = path.read_text(encoding="utf-8")
        stub = next(node for node in ast.parse(text).body if getattr(node, "name", "") == task.name)
        lines = text.splitlines()
        lines[stub.lineno - 1 : stub.end_lineno] = ast.unparse(solved[task.name]).splitlines()
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    # An editable installation of the project must not lend what an edition leaves out.
    start = "import runpy, sys; sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f)]; "
    start += "runpy.run_path(sys.argv[1], run_name='__main__')"
    walkthrough = tmp_path / "edition" / "lessons" / "22_data_parallel" / "walkthrough.py"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "edition"), "MINIMOBILEBERT_BACKEND": "numpy"}
    done = subprocess.run(
        [sys.executable, "-c", start, str(walkthrough)], cwd=tmp_path / "edition", env=environment,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"with shares +loss [\d.]+, relative error of the gradient \d\.\de-1\d", done.stdout)
    assert re.search(r"\n   8 .* 21000 +21000\n", done.stdout)


def test_ranks_without_threads_find_a_deadlock_and_mixed_up_arrays(monkeypatch):
    """The ranks of the properties: as MPI, a message needs both sides at the same time."""
    on_ranks = loaded(FOLDER / "properties.py").on_ranks
    arrays = [np.arange(6.0) + rank for rank in range(3)]
    found, messages = on_ranks("ring_all_reduce", arrays)
    assert all(np.array_equal(array, sum(arrays)) for array in found)
    sent = [[((rank + 1) % 3, 2, (rank - 1 - turn) % 3) for turn in range(4)] for rank in range(3)]
    assert messages == sent  # (to, numbers, segment)

    def one_after_the_other(communicator, array):
        after, before = (communicator.rank + 1) % 3, (communicator.rank - 1) % 3
        exchange(communicator, [(after, array)], [])
        exchange(communicator, [], [(before, np.empty_like(array))])

    def rank_0_first(communicator, array):  # no deadlock: rank 0 receives while the others send
        after, before = (communicator.rank + 1) % 3, (communicator.rank - 1) % 3
        calls = [([(after, array.copy())], []), ([], [(before, array)])]
        for call in reversed(calls) if communicator.rank == 0 else calls:
            exchange(communicator, *call)

    def halves(communicator, array):
        after, before = (communicator.rank + 1) % 3, (communicator.rank - 1) % 3
        exchange(communicator, [(after, array)], [(before, np.empty(3))])

    def itself(communicator, array):
        after, before = (communicator.rank + 1) % 3, (communicator.rank - 1) % 3
        exchange(communicator, [(after, array)], [(before, array)])

    for function, words in (
        (one_after_the_other, "all wait for each other: found rank 0"), (halves, r"float64 \(6,\), and rank 2 expected float64 \(3,\)"),
        (itself, "sent and overwritten at the same time"),
    ):  # fmt: skip
        monkeypatch.setattr(ring, "ring_all_reduce", function)
        with pytest.raises(ValueError, match=words):
            on_ranks("ring_all_reduce", arrays)
    monkeypatch.setattr(ring, "ring_all_reduce", rank_0_first)
    found, _ = on_ranks("ring_all_reduce", arrays)
    assert [array[0] for array in found] == [2.0, 0.0, 1.0]
