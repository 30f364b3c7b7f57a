"""A damaged run folder ends in one line or in the right result; one process at a time; what a kill leaves is removed.

The same damages by the thousand: python tests/damaged_runs.py --trials 2000
"""

import errno
import os
import pathlib
import subprocess
import sys

import damaged_runs
import numpy as np
import pytest
from damaged_runs import DAMAGES, delete, digit, empty, flip, swap, trial

from minimobilebert.support.files import check_new_folder, new_folder, replacing
from minimobilebert.support.locks import Busy, claimed
from minimobilebert.training.manifest import DamagedRun, check_listed, is_finished, write_manifest

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """Two recorded fine-tuning runs of another seed each."""
    return damaged_runs.make_commands(tmp_path_factory.mktemp("damaged"), ("sst2", "other"))


def test_a_sample_of_damages_never_ends_in_a_wrong_result(commands):
    rng, outcomes = np.random.default_rng(8), []
    for number in range(24):
        command = commands[number % 2]
        state = command.finished if number % 5 == 0 else command.snapshots[-1 - number % len(command.snapshots)]
        outcomes.append(trial(command, commands, state, DAMAGES[number % len(DAMAGES)], rng))
    assert not [found for found in outcomes if found[0].startswith("WRONG")]
    assert {"refused in one line", "as if nothing had happened"} <= {found for found, _ in outcomes}


@pytest.mark.parametrize("damage", [delete, empty, flip, swap], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", ["best.npz", "evaluations.json", "metrics.jsonl"])
def test_what_an_unfinished_run_goes_on_from_is_checked(commands, name, damage):
    unfinished = [state for state in commands[0].snapshots if not (state / "checkpoint-final.npz").exists()]
    state = next(state for state in reversed(unfinished) if (state / "checkpoint-5.npz").exists())
    assert trial(commands[0], commands, state, damage, np.random.default_rng(3), name)[0] == "refused in one line"


@pytest.mark.parametrize("damage", [empty, flip, digit, swap], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", ["summary.json", "evaluations.json", "config.json", "checkpoint-final.npz"])
def test_a_finished_run_is_read_only_if_it_is_whole(commands, name, damage):
    outcome, what = trial(commands[0], commands, commands[0].finished, damage, np.random.default_rng(4), name)
    assert outcome == "refused in one line", what


@pytest.mark.parametrize("name", ["train.tsv", "dev.tsv"])
@pytest.mark.parametrize("finished", [True, False])
def test_data_that_changed_is_noticed(commands, name, finished):
    state = commands[0].finished if finished else commands[0].snapshots[5]

    def edit(path, rng, others):
        path.write_text(path.read_text().replace("ada", "ben"))

    assert trial(commands[0], commands, state, edit, np.random.default_rng(5), name)[0] == "refused in one line"


def test_a_manifest_lists_and_checks(tmp_path):
    (tmp_path / "a.json").write_text("1")
    assert not is_finished(tmp_path)
    write_manifest(tmp_path, ["a.json"])
    assert is_finished(tmp_path, ["a.json"]) and not is_finished(tmp_path, ["b.json"])
    check_listed(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("2")
    for check in (lambda: is_finished(tmp_path), lambda: check_listed(tmp_path / "a.json")):
        with pytest.raises(DamagedRun, match=r"a.json: found other contents .* put the file back, or remove it"):
            check()
    (tmp_path / "a.json").unlink()
    assert not is_finished(tmp_path)  # made again
    for damaged in ("", "{}", '{"files": {"a.json": "0"}, "sha256": "0"}'):
        (tmp_path / "manifest.json").write_text(damaged)
        with pytest.raises(DamagedRun, match=r"manifest.json: found a damaged file"):
            is_finished(tmp_path)


# ---- one process at a time

HOLD = """
import sys, time
from minimobilebert.support.files import new_folder, replacing
from minimobilebert.support.locks import claimed
with {what}({path!r}) as held:
    if {what} is new_folder:
        (held / "large").write_bytes(b"x" * 1000)
    print("held", flush=True)
    time.sleep(60)
"""


def other_process(what, path):
    code = HOLD.format(what=what, path=str(path))
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize(
    ("what", "function", "left"), [("claimed", claimed, {".lock"}), ("new_folder", new_folder, set())]
)
@pytest.mark.parametrize("exists", [False, True])
def test_a_second_process_is_refused_and_a_killed_one_is_no_obstacle(tmp_path, what, function, left, exists):
    folder = tmp_path / "run"
    if exists:
        folder.mkdir()
    process = other_process(what, folder)
    with pytest.raises(Busy, match=rf"run: found another process \({process.pid}\) "), function(folder):
        pass
    process.kill()
    process.communicate()
    assert any(path.is_file() for path in tmp_path.rglob(".*"))  # it left something behind
    with function(folder) as inside:
        assert {path.name for path in pathlib.Path(inside).iterdir()} == left
        (pathlib.Path(inside) / "mine").write_text("mine")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["run", "run/mine"]


def test_an_empty_folder_is_written_inside_because_it_may_be_another_disk(tmp_path, monkeypatch):
    folder = tmp_path / "disk"
    folder.mkdir()
    number, rename = folder.stat().st_ino, os.replace

    def on_one_disk(old, new):
        assert folder in pathlib.Path(old).parents and folder in pathlib.Path(new).parents
        rename(old, new)

    monkeypatch.setattr(os, "replace", on_one_disk)
    with new_folder(folder) as unfinished:
        (unfinished / "part").mkdir()
        (unfinished / "part" / "file").write_text("content")
        assert os.listdir(tmp_path) == ["disk"]
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) == ["part", "part/file"]
    assert folder.stat().st_ino == number
    with pytest.raises(ValueError, match="found something there already"), new_folder(folder):
        pass


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_that_cannot_be_written_is_named_and_not_our_lock(tmp_path, exists):
    folder = tmp_path / "run"
    if exists:
        folder.mkdir()
    (folder / ".unfinished.lock" if exists else tmp_path / ".run.lock").mkdir()
    with pytest.raises(OSError, match="cannot write there") as caught, new_folder(folder):
        pass
    assert caught.value.filename == str(folder)


@pytest.mark.parametrize("function", [claimed, new_folder])
def test_a_full_disk_leaves_no_lock(tmp_path, monkeypatch, function):
    """The lock file is made, and the number of the process cannot be written to it; then the work meets the disk."""
    monkeypatch.setattr(os, "getpid", lambda: FullDisk())
    with pytest.raises(OSError, match="met the disk"), function(tmp_path / "run"):
        raise OSError("the work met the disk")
    assert not list(tmp_path.iterdir())


class FullDisk:
    """A number of a process that cannot be written"""

    def __str__(self):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_link_to_nothing_is_no_new_folder(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(ValueError, match="link: found a link to nothing, expected a new or empty folder"):
        check_new_folder(tmp_path / "link")


@pytest.mark.parametrize("make", [lambda path: path.symlink_to(path.parent / "mine"), lambda path: path.touch()])
@pytest.mark.parametrize("exists", [False, True])
def test_what_we_did_not_make_is_not_removed(tmp_path, make, exists):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").touch()
    folder = tmp_path / "new"
    if exists:
        folder.mkdir()
    taken = folder / ".unfinished.tmp" if exists else tmp_path / ".new.tmp"
    make(taken)
    with pytest.raises(ValueError, match=f"{taken.name}: found a file or a link, expected none"), new_folder(folder):
        pass
    assert os.path.lexists(taken) and (tmp_path / "mine" / "letter").exists() and folder.exists() == exists


def test_a_second_command_in_a_run_folder_is_one_line(commands, capsys):
    command = commands[0]
    damaged_runs.copy(command.snapshots[3], command.run)
    process = other_process("claimed", command.run)
    code, _, err = command()
    process.kill()
    process.communicate()
    lines = err.strip().splitlines()
    assert code == 2 and len(lines) == 1 and "found another process" in lines[0] and "choose another folder" in lines[0]
    assert command()[0] == 0 and damaged_runs.result(command.run) == command.expected


def test_only_a_dead_writers_temporary_file_is_removed(tmp_path):
    process = other_process("replacing", tmp_path / "a.json")
    living = [path.name for path in tmp_path.iterdir()]
    with replacing(tmp_path / "a.json") as file:
        file.write(b"1")
    assert sorted(os.listdir(tmp_path)) == sorted([*living, "a.json"])
    process.kill()
    process.communicate()
    with replacing(tmp_path / "a.json") as file:
        file.write(b"2")
    assert os.listdir(tmp_path) == ["a.json"] and (tmp_path / "a.json").read_bytes() == b"2"


def test_a_folder_in_which_nothing_was_written_is_gone_again(tmp_path):
    with pytest.raises(ValueError, match="not usable"), claimed(tmp_path / "a" / "b"):
        raise ValueError("not usable")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file: found a file, expected a folder"), claimed(tmp_path / "file"):
        pass
