"""Commands on several ranks, connected by a real MPI: the bits of one process, kills, failures, refusals.

They need mpi4py (extra `distributed`) and an `mpiexec`, beside this Python or on the PATH.
"""

import functools
import importlib.util
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from fine_tuning_data import BERT, MOBILE, no_dropout, write_glue, write_model
from test_train_tiny import SMALL, environment, result, write_text

ROOT = pathlib.Path(__file__).resolve().parents[1]
_BESIDE = pathlib.Path(sys.executable).parent / "mpiexec"
MPIEXEC = str(_BESIDE) if _BESIDE.exists() else shutil.which("mpiexec")
HAS_MPI4PY = importlib.util.find_spec("mpi4py") is not None
MINI = [sys.executable, "-m", "mpi4py", "-m", "minimobilebert"]
_PATIENCE = 30.0  # seconds in which a job must end after one of its ranks was killed


@functools.cache
def why_not():
    """Why a job of two ranks cannot run here; empty if it can"""
    if not HAS_MPI4PY:
        return "mpi4py is not installed (make setup EXTRAS=distributed)"
    if not MPIEXEC:
        return "found no mpiexec (pip install mpich)"
    code = "from mpi4py import MPI; print(f'<{MPI.COMM_WORLD.Get_size()}>')"
    tried = subprocess.run([MPIEXEC, "-n", "2", sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    return "" if tried.stdout.count("<2>") == 2 else f"mpiexec and mpi4py do not fit: {tried.stderr.strip()[-200:]}"


@pytest.fixture(autouse=True)
def _needs_mpi():
    if why_not():
        pytest.skip(why_not())


def job(ranks, *arguments, **more):
    """Run a command on `ranks` ranks -> CompletedProcess"""
    return subprocess.run(
        [MPIEXEC, "-n", str(ranks), *MINI, *map(str, arguments)], cwd=ROOT, env=environment(**more),
        capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def alone(*arguments):
    """The same in one process that knows nothing of MPI"""
    return subprocess.run(
        [sys.executable, "-m", "minimobilebert", *map(str, arguments)], cwd=ROOT, env=environment(),
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def tiny(text, out, *settings):
    given = {setting.partition("=")[0] for setting in settings}
    small = [f"{name}={value}" for name, value in SMALL.items() if name not in given]
    return ["train-tiny", "--text", text, "--out", out, "--seed", 3, "--set", *small, *settings]


def parameters(folder):
    """{stage/name: array} of all finished stages"""
    found = {}
    for path in sorted(folder.rglob("checkpoint-final.npz")):
        with np.load(path) as file:
            stage = path.relative_to(folder).parent
            found |= {f"{stage}/{name}": file[name] for name in file.files if not name.startswith("__")}
    assert found
    return found


def assert_same_parameters(found, expected):
    found, expected = parameters(found), parameters(expected)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Texts, models, and the runs of one process with four parts."""
    if why_not():
        pytest.skip(why_not())
    folder = tmp_path_factory.mktemp("mpi")
    write_text(folder / "texts")
    write_model(folder / "bert", no_dropout(BERT))
    write_model(folder / "mobile", MOBILE)
    write_glue(folder / "glue", count=24)
    lines = (folder / "texts" / "document-0.txt").read_text(encoding="utf-8").splitlines()
    (folder / "lines").mkdir()
    (folder / "lines" / "one.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert alone(*tiny(folder / "texts", folder / "tiny", "parts=4")).returncode == 0
    return folder


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_train_tiny_has_the_bits_of_one_process(folder, tmp_path, ranks):
    done = job(ranks, *tiny(folder / "texts", tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert_same_parameters(tmp_path / "run", folder / "tiny")
    assert result(tmp_path / "run") == result(folder / "tiny")
    assert (tmp_path / "run" / "report.html").exists()
    assert done.stdout.count("distilled student") == 1  # rank 0 alone speaks
    again = job(ranks, *tiny(folder / "texts", tmp_path / "run"))  # finished: nobody waits for a stage
    assert again.returncode == 0 and "holds this run already" in again.stderr


def distil(folder, out, *settings):
    return ["distil", "--teacher", folder / "bert", "--text", folder / "lines", "--out", out, "--steps", 6,
            "--set", "batch_size=8", "max_length=12", *settings]  # fmt: skip


def finetune(folder, out, *options):
    return ["finetune", "--task", "rte", "--model", folder / "mobile", "--data", folder / "glue", "--out", out,
            "--epochs", 2, "--batch", 8, "--max-length", 24, *options]  # fmt: skip


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["distil", "finetune"])
def test_other_commands_have_the_bits_of_one_process(folder, tmp_path, name, ranks):
    words, parts = {"distil": (distil, ["parts=4"]), "finetune": (finetune, ["--parts", 4])}[name]
    expected = folder / f"{name}-alone"
    if not expected.exists():
        done = alone(*words(folder, expected, *parts))
        assert done.returncode == 0, done.stderr
    done = job(ranks, *words(folder, tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert_same_parameters(tmp_path / "run", expected)


def test_fast_reduction_is_the_same_every_time(folder, tmp_path):
    for name in ("one", "two"):
        done = job(3, *tiny(folder / "texts", tmp_path / name, "reduction=fast"))
        assert done.returncode == 0, done.stderr
    assert_same_parameters(tmp_path / "one", tmp_path / "two")


def _children(pid):
    """The processes below `pid`"""
    pairs = [line.split() for line in subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True,
                                                     check=True).stdout.splitlines()]  # fmt: skip
    found, more = [], [pid]
    while more:
        parent = more.pop()
        children = [int(child) for child, of in pairs if int(of) == parent]
        found += children
        more += children
    return found


def _ranks_of(pid):
    """The processes of a job's ranks, by rank"""
    ranks = {}
    for child in _children(pid):
        try:
            content = pathlib.Path(f"/proc/{child}/environ").read_bytes()
        except OSError:
            continue
        values = dict(line.split(b"=", 1) for line in content.split(b"\0") if b"=" in line)
        number = values.get(b"PMI_RANK") or values.get(b"OMPI_COMM_WORLD_RANK")
        if number is not None and pathlib.Path(f"/proc/{child}/cmdline").read_bytes().count(b"minimobilebert"):
            ranks[int(number)] = child
    return ranks


@pytest.mark.skipif(not pathlib.Path("/proc/self/environ").exists(), reason="finds the ranks in Linux's /proc")
@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_killed_rank_ends_the_job_and_the_same_command_resumes(folder, tmp_path, rank):
    """kill -9 at random moments; the next job has another number of ranks. MINIMOBILEBERT_KILLS: how many."""
    out, generator = tmp_path / "run", random.Random(rank)
    for attempt in range(int(os.environ.get("MINIMOBILEBERT_KILLS", "2"))):
        ranks = 3 if attempt % 2 == 0 else 4
        process = subprocess.Popen(
            [MPIEXEC, "-n", str(ranks), *MINI, *map(str, tiny(folder / "texts", out))], cwd=ROOT, env=environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(generator.uniform(0.5, 8.0))
        found = _ranks_of(process.pid)
        if rank in found:
            os.kill(found[rank], signal.SIGKILL)
        start = time.monotonic()
        process.wait(timeout=240 if rank not in found else _PATIENCE)
        assert rank not in found or time.monotonic() - start < _PATIENCE
    done = job(2, *tiny(folder / "texts", out))
    assert done.returncode == 0, done.stderr
    assert_same_parameters(out, folder / "tiny")
    assert result(out) == result(folder / "tiny")
    assert not list(out.rglob("*.tmp"))


def test_a_search_shares_its_points(folder, tmp_path):
    """Each point is a run of one process; only the best one's weights are kept, and a finished search is read."""
    words = ["--search", "lr=1e-3,3e-3", "batch=8,16", "epochs=1", "--json"]
    done = alone(*finetune(folder, tmp_path / "alone", *words))
    assert done.returncode == 0, done.stderr
    for _ in range(2):
        found = job(3, *finetune(folder, tmp_path / "ranks", *words))
        assert found.returncode == 0, found.stderr
        points = [[(point["lr"], point["batch"], point["scores"]) for point in json.loads(text)["points"]]
                  for text in (done.stdout, found.stdout)]  # fmt: skip
        assert points[0] == points[1]
        assert_same_parameters(tmp_path / "ranks", tmp_path / "alone")


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        (["train-tiny"], ["distil"], "command = distil, expected train-tiny"),
        (["distil", "--baseline"], ["distil"], "baseline = False, expected True"),
        (["distil"], ["distil", "--teacher", "bert"], "teacher = bert, expected None"),
        (["seeds", "--seeds", "1,2"], ["seeds", "--seeds", "1,3"], "seeds = 1,3, expected 1,2"),
        (["seeds"], ["seeds", "--out", "other"], "out = other, expected "),
    ],
)
def test_ranks_with_other_commands_are_refused_by_name(tmp_path, first, second, name):
    done = subprocess.run(
        [MPIEXEC, "-n", "1", *MINI, *first, ":", "-n", "1", *MINI, *second], cwd=tmp_path, capture_output=True,
        env=environment(PYTHONPATH=str(ROOT)), text=True, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert f"rank 1: found {name}" in done.stderr and done.stderr.count("minimobilebert: ") == 1
    assert not list(tmp_path.iterdir())


def test_ranks_with_other_settings_are_refused_by_name(folder, tmp_path):
    first, second = (
        list(map(str, tiny(folder / "texts", tmp_path / "run", f"teacher_learning_rate={rate}")))
        for rate in (1e-3, 2e-3)
    )
    done = subprocess.run(
        [MPIEXEC, "-n", "1", *MINI, *first, ":", "-n", "1", *MINI, *second], cwd=ROOT, env=environment(),
        capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "rank 1: found configuration.settings.teacher_learning_rate = 0.002, expected 0.001" in done.stderr
    assert not list((tmp_path / "run").rglob("checkpoint*.npz"))


def test_a_failure_of_one_rank_ends_all(folder, tmp_path):
    """Rank 1 has no text: its own message, and nobody waits."""
    good, bad = tiny(folder / "texts", tmp_path / "run"), tiny(tmp_path / "missing", tmp_path / "run")
    done = subprocess.run(
        [MPIEXEC, "-n", "1", *MINI, *map(str, good), ":", "-n", "1", *MINI, *map(str, bad)], cwd=ROOT,
        env=environment(), capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 2
    assert "minimobilebert: rank 1: error:" in done.stderr and "missing" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to mpiexec")
def test_ctrl_c_saves_and_ends_all(folder, tmp_path):
    process = subprocess.Popen(
        [MPIEXEC, "-n", "2", *MINI, *map(str, tiny(folder / "texts", tmp_path / "run", "teacher_steps=100000"))],
        cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    metrics, deadline = tmp_path / "run" / "teacher" / "metrics.jsonl", time.monotonic() + 90
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert said.count("minimobilebert: ") == 1 and "teacher: stopped after step" in said
    assert len(list(metrics.parent.glob("checkpoint-*.npz"))) == 1


_LIMITED = """
import resource, sys
from mpi4py import MPI  # MPI's own files are made before the limit holds
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
from minimobilebert.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name == "nt", reason="limits the size of files with Unix' setrlimit")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_cannot_write_ends_all_and_the_same_command_resumes(folder, tmp_path, rank):
    """Files of at most 64 kB on one rank, as on a full disk: rank 0 cannot save, rank 1 cannot prepare its text."""
    words = list(map(str, distil(folder, tmp_path / "run") if rank else tiny(folder / "texts", tmp_path / "run")))
    full = [sys.executable, "-m", "mpi4py", "-c", _LIMITED, *words]
    ranks = [full if number == rank else [*MINI, *words] for number in range(2)]
    done = subprocess.run(
        [MPIEXEC, "-n", "1", *ranks[0], ":", "-n", "1", *ranks[1]], cwd=ROOT, env=environment(), capture_output=True,
        text=True, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("minimobilebert: ")]
    assert len(said) == 1 and "too large" in said[0] and ("rank 1" in said[0]) == (rank == 1)
    done = job(2, *words)
    assert done.returncode == 0, done.stderr
    if not rank:
        assert_same_parameters(tmp_path / "run", folder / "tiny")


@pytest.mark.parametrize("launch", [MINI, [sys.executable, "-m", "minimobilebert"]])
def test_help_and_usage_errors_are_rank_0s(launch):
    def run(*ranks):
        words = [word for rank in ranks for word in (":", "-n", "1", *launch, *rank)][1:]
        return subprocess.run([MPIEXEC, *words], cwd=ROOT, env=environment(), capture_output=True, text=True,
                              timeout=60, stdin=subprocess.DEVNULL)  # fmt: skip

    done = run(*[["train-tiny", "--seed", "x"]] * 3)
    assert done.returncode == 2 and done.stderr.count("usage: ") == 1
    done = run([], [])
    assert done.returncode == 2 and done.stderr.count("usage: ") == 1
    done = run(*[["--version"]] * 3)
    assert done.returncode == 0 and done.stdout.count("minimobilebert ") == 1
    done = run(["doctor"], ["doctor", "--bogus"])
    assert done.returncode == 2 and "rank 1: usage: " in done.stderr


def test_bad_input_on_all_ranks_is_one_line(tmp_path):
    done = job(3, *tiny(tmp_path / "missing", tmp_path / "run"))
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if line.startswith("minimobilebert: ")] == [
        line for line in done.stderr.splitlines() if "error:" in line
    ]
    assert done.stderr.count("minimobilebert: ") == 1


def test_doctor_lists_the_ranks():
    done = job(2, "doctor", NUMBA_NUM_THREADS="1", MINIMOBILEBERT_BACKEND="numba")
    assert "rank 0" in done.stdout and "rank 1" in done.stdout and "1 threads on processors" in done.stdout


def test_an_mpiexec_of_another_mpi_is_found():
    """Each process would be alone, and all would do the same in the same folder."""
    done = subprocess.run([*MINI, "doctor"], cwd=ROOT, env=environment(OMPI_COMM_WORLD_SIZE="2"), capture_output=True,
                          text=True, timeout=60)  # fmt: skip
    assert done.returncode == 2
    assert "mpi4py: found one rank" in done.stderr and "expected the 2 of mpiexec" in done.stderr


def test_commands_that_ranks_would_only_repeat_are_refused(tmp_path):
    done = job(2, "models")
    assert done.returncode == 2
    assert "models: found 2 ranks, expected one" in done.stderr


def test_more_ranks_than_parts_are_refused(folder, tmp_path):
    done = job(3, *tiny(folder / "texts", tmp_path / "run", "parts=2"))
    assert done.returncode == 2
    assert "parts: found 2 with 3 ranks" in done.stderr
    assert not (tmp_path / "run").exists()  # nothing that would refuse the corrected command


def test_no_rank_leaves_a_folder(folder, tmp_path):
    """Neither its own, nor that of a rank that was killed before"""
    (tmp_path / "temporary" / "minimobilebert-rank-killed").mkdir(parents=True)
    (tmp_path / "temporary" / "minimobilebert-rank-killed" / ".lock").touch()
    done = job(2, *distil(folder, tmp_path / "run"), TMPDIR=str(tmp_path / "temporary"))
    assert done.returncode == 0, done.stderr
    assert not [path for path in (tmp_path / "temporary").iterdir() if "rank" in path.name]


def test_without_mpi4py_mpiexec_is_told_what_is_missing(tmp_path):
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").write_text("raise ModuleNotFoundError('no', name='mpi4py')\n")
    done = subprocess.run(
        [MPIEXEC, "-n", "2", sys.executable, "-m", "minimobilebert", "train-tiny"], cwd=ROOT, capture_output=True,
        text=True, timeout=60, env=environment(PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)])),
    )  # fmt: skip
    assert done.returncode == 2
    assert "mpi4py is not installed; it comes with the extra 'distributed'" in done.stderr


def test_ranks_are_measured_beside_threads():
    """The command of results.md, one turn of the smallest step"""
    script = ROOT / "tests" / "ranks_and_threads.py"
    done = subprocess.run(
        [sys.executable, str(script), "--turns", "1", "--cases", "train_classroom_1"], cwd=ROOT, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()[1:]
    assert len(rows) == 6 and all(row.startswith("train_classroom_1") for row in rows)
    assert "1.00 (1.00-1.00)" in rows[0] and all("%" in row for row in rows[1:])
