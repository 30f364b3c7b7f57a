"""Long commands ask for memory, disk and a folder that can be written before they start."""

import os
import shutil
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
from fine_tuning_data import write_glue, write_model
from test_train_tiny import write_text
from tiny_models import CONFIGS

from minimobilebert.cli import main
from minimobilebert.distributed.communicator import current
from minimobilebert.distributed.threads import run_ranks
from minimobilebert.finetuning.settings import usual_settings
from minimobilebert.pipeline import needs
from minimobilebert.pipeline.settings import TinySettings
from minimobilebert.support import requirements
from minimobilebert.support.requirements import available_memory, check_disk, check_writable

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def folder(tmp_path):
    write_text(tmp_path / "text", documents=3, sentences=4)
    write_glue(tmp_path / "glue", count=8)
    write_model(tmp_path / "model")
    return tmp_path


def words_of(folder, command):
    if command == "train-tiny":
        return ["train-tiny", "--text", str(folder / "text"), "--out", str(folder / "run")]
    files = ["--data", str(folder / "glue"), "--model", str(folder / "model"), "--out", str(folder / "run")]
    return ["finetune", "--task", "sst2", *files]


@pytest.mark.parametrize("command", ["train-tiny", "finetune"])
@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("memory", "found 0 MB of memory that is free, expected at least "),
        ("disk", "run: found 0 MB free on its disk, expected at least "),
    ],
)
def test_a_run_that_cannot_fit_does_not_start(folder, monkeypatch, capsys, command, what, words):
    if what == "memory":
        monkeypatch.setattr(requirements, "available_memory", lambda: 1000)
    else:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10, 9, 1))
    assert main(words_of(folder, command)) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("minimobilebert: error: ") and words in message
    assert not (folder / "run").exists()


def test_an_absurd_batch_is_refused_at_once(folder, capsys):
    assert main([*words_of(folder, "train-tiny"), "--set", "batch_size=1000000000"]) == 2
    assert "batch_size 1000000000, sequence_length 64: found " in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("command", ["train-tiny", "finetune"])
def test_a_folder_that_cannot_be_written_is_named(folder, capsys, command):
    folder.chmod(0o500)
    try:
        assert main(words_of(folder, command)) == 2
    finally:
        folder.chmod(0o700)
    assert "run: cannot write there (Permission denied)" in capsys.readouterr().err


def test_a_folder_below_a_file_cannot_be_written(folder, capsys):
    (folder / "file").write_text("")
    with pytest.raises(OSError, match="cannot write there"):
        check_writable(folder / "file" / "run")
    check_writable(folder / "new" / "run")
    assert not (folder / "new").exists()


def test_a_message_never_asks_for_less_than_was_found(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10, 9, 1))
    with pytest.raises(ValueError, match="found 0 MB free on its disk, expected at least 1 MB for a test"):
        check_disk(tmp_path, 2, "a test")
    monkeypatch.setattr(requirements, "available_memory", lambda: 1)
    with pytest.raises(ValueError, match="found 0 MB of memory that is free, expected at least 1 MB"):
        requirements.check_memory(2, "a test")


def test_only_rank_0_needs_disk_for_checkpoints(tmp_path, monkeypatch):
    """The others have a temporary folder, perhaps on a small disk, and save nothing there."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10, 9, 1))

    def run():
        if current().rank == 0:
            with pytest.raises(ValueError, match="found 0 MB free on its disk"):
                needs.check_pretraining(tmp_path, TinySettings())
        else:
            needs.check_pretraining(tmp_path, TinySettings())

    run_ranks(2, run)


def _memory_for(monkeypatch, **changes):
    """What `finetune` asks for with 64 rows of 32 pieces"""
    found = []
    monkeypatch.setattr(needs, "check_memory", lambda needed, _: found.append(needed))
    job = SimpleNamespace(examples=SimpleNamespace(lengths=np.full(64, 32)), head="classification", num_labels=2)
    settings = usual_settings("sst2", 64, **{"batch_size": 64, **changes})
    needs.check_fine_tuning("/", settings, CONFIGS["mobilebert"], job)
    return found[0]


def test_parts_and_a_shared_optimizer_need_less_memory(monkeypatch):
    assert _memory_for(monkeypatch, parts=4) < 0.5 * _memory_for(monkeypatch)
    whole = _memory_for(monkeypatch, parts=4)
    shared = run_ranks(2, lambda: _memory_for(monkeypatch, parts=4, shard_optimizer=True))
    assert all(size < whole for size in shared)


def test_what_there_is_is_a_number_of_bytes(tmp_path, monkeypatch):
    available = available_memory()
    assert available is None or available > 1 << 20
    check_disk(tmp_path / "not" / "there", 1, "a test")
    (tmp_path / "memory.max").write_text("5000000\n")
    (tmp_path / "memory.current").write_text("3000000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 1000000\n")
    monkeypatch.setattr(requirements, "_CGROUP", tmp_path)
    assert available_memory() == 3000000
    (tmp_path / "memory.max").write_text("max\n")  # no limit
    assert available_memory() != 3000000
