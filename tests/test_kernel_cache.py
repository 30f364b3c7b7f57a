"""Compiled kernels on disk: damage of any kind means compiling again, no folder means no cache, and never an error."""

import os
import pathlib
import pickle
import stat
import subprocess
import sys
import tempfile
import threading
import time

import pytest
from documents import ROOT

from minimobilebert.kernels.runtime import jit, notes

cache = pytest.importorskip("minimobilebert.kernels.runtime.cache", reason="numba is not installed")
pytestmark = pytest.mark.skipif(not jit.HAVE_NUMBA, reason="Numba is switched off")
NAME, KEY, PAYLOAD = "some.kernel.nbc", b"what it depends on", bytes(range(32))
POSIX = pytest.mark.skipif(os.name == "nt", reason="a kind of file that Windows does not have")


def double(x):
    return 2.0 * x


def triple(x):
    return 3.0 * x


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The only folder for kernels; notes are said anew."""
    found = tmp_path / "minimobilebert-kernels"
    monkeypatch.setattr(cache, "folders", lambda: [found])
    monkeypatch.setattr(notes, "_said", set())
    return found


def run(function, factor):
    """Compile or load in a dispatcher of its own -> whether it was loaded"""
    dispatcher = jit.jit(function)
    assert dispatcher(1.5) == 1.5 * factor
    return sum(dispatcher.stats.cache_hits.values()) == 1


class Harmful:
    """What must never be unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a file whose checksum is wrong was unpickled",)


def sparse(file):
    with open(file, "wb") as stream:
        stream.truncate(cache.LARGEST_FILE + 1)


def sealed(payload):
    """A function that puts these bytes into a file with the right checksum and key."""

    def damage(file):
        data = file.read_bytes()
        key = data[len(cache.MAGIC) + cache.DIGEST :][: cache.DIGEST]
        body = key + payload
        file.write_bytes(cache.MAGIC + cache.hashlib.sha256(body).digest() + body)

    return damage


def changed(position):
    def damage(file):
        data = bytearray(file.read_bytes())
        data[position] ^= 1
        file.write_bytes(data)

    return damage


def cut(length):
    return lambda file: file.write_bytes(file.read_bytes()[:length])


def instead(make):
    """The file is removed, and something else has its name."""

    def damage(file):
        file.unlink()
        make(file)

    return damage


DAMAGE = {
    "emptied": cut(0), "cut in its first line": cut(3), "cut in its checksum": cut(20), "cut in its key": cut(60),
    "cut to its head": cut(72), "cut in the middle": cut(999), "cut by one byte": cut(-1),
    "a bit of the first line": changed(0), "a bit of the checksum": changed(10), "a bit of the key": changed(45),
    "a bit of the code": changed(1500), "the last bit": changed(-1),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"\0"),
    "a pickle": lambda file: file.write_bytes(pickle.dumps(Harmful())),
    "a pickle behind a checksum": lambda file: file.write_bytes(file.read_bytes()[:72] + pickle.dumps(Harmful())),
    "whole, but nothing that Numba knows": sealed(pickle.dumps((1, 2))),
    "whole, but no pickle": sealed(b"\x80garbage"), "whole and empty": sealed(b""),
    "sparse and huge": sparse,
    "a folder": instead(lambda file: file.mkdir()),
}  # fmt: skip
if os.name == "posix":
    DAMAGE |= {
        "a pipe": instead(os.mkfifo),
        "a link to nothing": instead(lambda file: file.symlink_to("nothing")),
        "a link to a device": instead(lambda file: file.symlink_to("/dev/zero")),
    }


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_kernel_is_compiled_again_and_replaced(damage, folder, capsys):
    assert not run(double, 2.0) and run(double, 2.0)
    (file,) = folder.glob("test_kernel_cache.double-*.nbc")
    damage(file)
    assert not run(double, 2.0)
    assert file.is_dir() or run(double, 2.0)
    assert not list(folder.glob("*.tmp"))
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("compiling kernels")]
    assert len(lines) <= 1 and all(line.startswith(str(folder)) or "cannot be kept" in line for line in lines)


def test_a_kernel_under_anothers_name_is_refused(folder):
    assert not run(double, 2.0) and not run(triple, 3.0)
    (one,), (other,) = (folder.glob(f"test_kernel_cache.{name}-*.nbc") for name in ("double", "triple"))
    data = one.read_bytes(), other.read_bytes()
    one.write_bytes(data[1]), other.write_bytes(data[0])
    assert not run(double, 2.0) and not run(triple, 3.0)
    assert run(double, 2.0) and run(triple, 3.0)


def test_every_bit_counts(tmp_path):
    cache.write(tmp_path, NAME, KEY, PAYLOAD)
    data = (tmp_path / NAME).read_bytes()
    assert cache.read(tmp_path, NAME, KEY) == PAYLOAD
    for bit in range(0, 8 * len(data), 5):
        wrong = bytearray(data)
        wrong[bit // 8] ^= 1 << bit % 8
        (tmp_path / NAME).write_bytes(wrong)
        assert cache.read(tmp_path, NAME, KEY) is None, bit
    for length in range(len(data)):
        (tmp_path / NAME).write_bytes(data[:length])
        assert cache.read(tmp_path, NAME, KEY) is None, length
    (tmp_path / NAME).write_bytes(data)
    assert cache.read(tmp_path, NAME, KEY + b"!") is None


KINDS = """
import sys
import numpy as np
from minimobilebert.kernels.runtime.precision import use_precision
from minimobilebert.ops.attention import attention_backward, attention_forward
from minimobilebert.ops.matmul import matmul
x, mask = np.ones((2, 9, 40), np.float32), np.ones((2, 9), bool)
with use_precision(sys.argv[1]):
    _, cache = attention_forward(x, x, x, mask, 4)
    attention_backward(x, cache)
    matmul(x[0], x[1].T)
    matmul(x[0].T, x[1])
"""


def test_a_kind_is_compiled_only_where_it_is_called(tmp_path):
    """Training in float32 waits for nothing that only bfloat16 or 8 bits run."""
    variables = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    found = {}
    for precision in ("float32", "bfloat16"):
        done = subprocess.run([sys.executable, "-c", KINDS, precision], env=variables, timeout=600,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr
        kept = {file.name.partition("-")[0] for file in tmp_path.glob("*/*.nbc")}
        found[precision] = {name for name in kept if "pair" in name or "quad" in name}
        assert "packing.pack_panel" in kept
    assert not found["float32"]
    assert {"bfloat16.pack_panel_in_pairs", "bfloat16.pack_a_tiles_in_pairs"} <= found["bfloat16"]


def test_the_key_holds_what_the_code_depends_on(folder, monkeypatch):
    import numba

    assert not run(double, 2.0)
    for name, value in (("__version__", "0.0"), (None, None)):
        with monkeypatch.context() as patch:
            if name:
                patch.setattr(numba, name, value)
            assert run(double, 2.0) == (name is None)
    inline = jit.jit_inline(double)  # other compile options
    assert inline(1.5) == 3.0 and not inline.stats.cache_hits
    assert jit.jit(double)(2) == 4.0  # another type
    assert len(list(folder.glob("test_kernel_cache.double-*.nbc"))) == 4


@POSIX
def test_a_full_disk_means_no_cache(folder, capsys):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        assert not run(double, 2.0) and not run(double, 2.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[1].startswith(f"compiled kernels cannot be kept ({folder.parent}: ")
    assert list(folder.iterdir()) == []


def test_where_nothing_can_be_kept_kernels_work(monkeypatch, capsys):
    monkeypatch.setattr(cache, "folders", list)
    monkeypatch.setattr(notes, "_said", set())
    assert not run(double, 2.0)
    assert "no folder for them" in capsys.readouterr().err


def test_the_last_resort_is_named_once_and_read_again(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    blocked = tmp_path / "file" / "minimobilebert-kernels"
    monkeypatch.setattr(cache, "folders", lambda: [blocked, folder])
    assert not run(double, 2.0) and not run(triple, 3.0) and run(double, 2.0)
    lines = capsys.readouterr().err.splitlines()[1:]
    assert len(lines) == 1 and lines[0].startswith(f"compiled kernels cannot be kept in {blocked.parent}: ")
    assert lines[0].endswith(f"they are kept in {folder.parent}")


def test_a_read_only_folder_with_kernels_is_read(folder, monkeypatch):
    assert not run(double, 2.0)
    monkeypatch.setattr(cache, "write", lambda *_: pytest.fail("nothing new to keep"))
    assert run(double, 2.0)


@pytest.mark.parametrize("home", ["set", "unset", "unset, and the user is in no list"])
@pytest.mark.parametrize("given", ["", "elsewhere"])
def test_folders_are_found_whoever_the_user_is(home, given, tmp_path, monkeypatch):
    import numba

    monkeypatch.setattr(numba.config, "CACHE_DIR", given)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if home != "set":
        monkeypatch.delenv("HOME", raising=False)
        monkeypatch.delenv("USERPROFILE", raising=False)
    if home.endswith("list") and os.name == "posix":
        import pwd

        def unknown(number):
            raise KeyError(f"getpwuid(): uid not found: {number}")

        monkeypatch.setattr(pwd, "getpwuid", unknown)
    found = cache.folders.__wrapped__()
    assert all(folder.name == f"minimobilebert-{cache.source_digest()}" for folder in found)
    assert found[0].parent == (pathlib.Path(given) if given else cache.KERNELS / "__pycache__")
    assert tmp_path in found[-1].parents
    known = not given and not (home.endswith("list") and os.name == "posix")
    assert len(found) == 2 + known


@POSIX
def test_a_temporary_folder_of_others_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = cache._temporary()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and cache._temporary() == folder
    folder.chmod(0o777)
    assert cache._temporary() is None
    folder.rmdir()
    (tmp_path / "other").mkdir(mode=0o700)
    folder.symlink_to("other")
    assert cache._temporary() is None
    folder.unlink()
    folder.mkdir(mode=0o700)
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: 12345)  # a folder of its name is there, and somebody else's
        (tmp_path / "minimobilebert-kernels-12345").mkdir(mode=0o700)
        assert cache._temporary() is None
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert cache._temporary() is None


def test_folders_of_older_sources_and_lost_files_are_deleted(tmp_path):
    now = time.time()
    for i in range(20):
        other = tmp_path / f"minimobilebert-{i:016x}"
        other.mkdir()
        (other / NAME).touch()
        os.utime(other, (now - 1000 * i, now - 1000 * i))
    others = {
        tmp_path / "minimobilebert-notes",
        tmp_path / "somebody's",
        tmp_path / "minimobilebert-0123456789-notes",
    }
    for other in others:
        other.mkdir()
    current = tmp_path / f"minimobilebert-{19:016x}"
    for name, age in (("old.tmp", 2 * cache.FORGOTTEN_AFTER), ("new.tmp", 1)):
        (current / name).touch()
        os.utime(current / name, (now - age, now - age))
    os.utime(current, (0, 0))
    cache.tidy(current)
    kept = {path.name for path in tmp_path.iterdir()} - {path.name for path in others}
    assert kept == {f"minimobilebert-{i:016x}" for i in [*range(cache.KEPT_FOLDERS - 1), 19]}
    assert sorted(path.name for path in current.iterdir()) == ["new.tmp", NAME]
    assert all(other.exists() for other in others)


def test_writers_and_readers_at_once_meet_whole_files(tmp_path):
    wrong, end = [], time.monotonic() + 0.3

    def work():
        while time.monotonic() < end:
            cache.write(tmp_path, NAME, KEY, PAYLOAD)
            if cache.read(tmp_path, NAME, KEY) != PAYLOAD:
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong and [path.name for path in tmp_path.iterdir()] == [NAME]


GUEST = """
import os, sys
import numba, numpy as np
before = dict(os.environ), numba.config.CACHE_DIR, numba.get_num_threads(), numba.threading_layer()
import minimobilebert
from minimobilebert.kernels.gemm.matmul import matmul
x = np.ones((80, 80), np.float32)
assert matmul(x, x)[0, 0] == 80 and x.flags.writeable
assert before == (dict(os.environ), numba.config.CACHE_DIR, numba.get_num_threads(), numba.threading_layer())
@numba.njit
def mine(x): return x + 1
mine(1)
assert type(mine._cache).__name__ == "NullCache"
minimobilebert.release_memory(); minimobilebert.set_threads(1)
print("a good guest")
"""


def test_a_program_that_uses_the_package_is_left_as_it_was():
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run([sys.executable, "-c", GUEST], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout == "a good guest\n", done.stderr
