"""Compiled kernels on disk: kept where files can be kept, and trusted only after their checksum.

Compiling every kernel takes half a minute; loading them takes a second. Numba has a disk cache of its own, but its
folder is a setting of the whole process, which belongs to the user's other code, and it unpickles whatever it finds.
So each of our kernels gets a `KernelCache` instead:

    <folder>/minimobilebert-<digest of the kernels' sources>/<module>.<function>-<key>.nbc

    a file:  KERNEL1\\n | sha256 of what follows | sha256 of the key | the compiled function, pickled

* The folder's name has a digest of every kernel file in it, so a kernel can never outlive a change of its own source
  or of a helper that was inlined into it. Folders of older sources are deleted, all but the few used last.
* The key says what the machine code depends on: the function, its argument types, its compile options, the processor,
  and the versions of Python, NumPy, Numba and LLVM. A file under another kernel's name is refused by its key.
* What is emptied, cut or changed on disk is refused by its checksum, before anything in it is interpreted. The kernel
  is compiled again, and the file replaced.
* A kernel is read from any of the `folders` below and written to the first that takes it. Files appear whole, by
  renaming, so processes may compile at the same time. Where nothing can be written, kernels work and are not kept.
"""

import contextlib
import functools
import hashlib
import os
import pathlib
import pickle
import shutil
import stat
import sys
import tempfile
import time
import uuid

import llvmlite
import numba
import numpy as np
from numba.core import compiler
from numba.core.caching import _Cache
from numba.core.serialize import dumps

from .notes import say_once

KERNELS = pathlib.Path(__file__).resolve().parents[1]
PREFIX, SUFFIX = "minimobilebert-", ".nbc"
MAGIC = b"KERNEL1\n"
DIGEST = hashlib.sha256().digest_size
LARGEST_FILE = 1 << 28  # bytes; no kernel comes near
KEPT_FOLDERS = 8  # of older sources and of other vector widths, the last used first
FORGOTTEN_AFTER = 3600  # seconds after which nobody is still writing a temporary file

# Numba's settings that change what it compiles; its own cache does not ask for them.
_SETTINGS = (
    "OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "ENABLE_AVX", "DISABLE_INTEL_SVML",
)  # fmt: skip


# ------------------------------------------------------------------------------- where


def _digest_of_files():
    """All kernel files in one digest -> bytes"""
    digest = hashlib.sha256()
    for file in sorted(KERNELS.rglob("*.py")):
        digest.update(file.relative_to(KERNELS).as_posix().encode() + file.read_bytes())
    return digest.digest()


_FILES = _digest_of_files()  # at import: a file that changes later is not what this process compiles


@functools.cache
def source_digest():
    """A digest of all that may change a kernel's code, but for its argument types and the processor -> str"""
    digest = hashlib.sha256(_FILES)
    settings = [str(getattr(numba.config, name, "")) for name in _SETTINGS]
    # Vector widths are constants in the kernels.
    for word in (os.environ.get("MINIMOBILEBERT_SIMD", ""), *settings):
        digest.update(word.encode() + b"\0")
    return digest.hexdigest()[:16]


def _home():
    """The user's folder for caches, or None: HOME may be unset and the user's number in no list."""
    if base := os.environ.get("XDG_CACHE_HOME"):
        return pathlib.Path(base)
    with contextlib.suppress(RuntimeError, KeyError):
        return pathlib.Path.home() / ".cache"
    return None


def _temporary():
    """A folder among the temporary files that nobody else can write to, or None.

    Its name is known to everybody, and what it holds will be executed: it must belong to this user alone.
    """
    with contextlib.suppress(OSError):
        folder = pathlib.Path(tempfile.gettempdir())
        if not hasattr(os, "getuid"):  # Windows: every user has temporary files of their own
            return folder
        folder /= f"{PREFIX}kernels-{os.getuid()}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
            return folder
    return None


@functools.cache
def folders():
    """Where kernels may be kept, best first; the last one is among the temporary files."""
    name = PREFIX + source_digest()
    if numba.config.CACHE_DIR:  # the user's NUMBA_CACHE_DIR
        usual = [pathlib.Path(numba.config.CACHE_DIR)]
    else:
        usual = [KERNELS / "__pycache__", _home()]
    return [folder / name for folder in (*usual, _temporary()) if folder]


def tidy(folder):
    """Delete what nobody needs any more: temporary files of processes that were killed, folders of older sources."""
    now = time.time()
    with contextlib.suppress(OSError):
        for file in folder.glob("*.tmp"):
            if now - file.stat().st_mtime > FORGOTTEN_AFTER:
                file.unlink()
        others = folder.parent.glob(PREFIX + "[0-9a-f]" * len(source_digest()))
        others = [(other.stat().st_mtime, other) for other in others if other != folder and other.is_dir()]
        for _, other in sorted(others)[: -(KEPT_FOLDERS - 1)]:
            shutil.rmtree(other, ignore_errors=True)


# ------------------------------------------------------------------------------- one file


def _at_once(path, flags):
    """Open without waiting: a pipe in the place of a file would wait for a writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read(folder, name, key):
    """The bytes that `write` was given; None where there are none, or where they are damaged."""
    try:
        with open(folder / name, "rb", opener=_at_once) as file:
            found = os.fstat(file.fileno())
            regular = stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST_FILE
            data = file.read(LARGEST_FILE) if regular else b""
    except OSError:
        return None  # not there, or a folder that is no folder: `keep` will say what is wrong with it
    start = len(MAGIC) + DIGEST
    whole = data[:start] == MAGIC + hashlib.sha256(data[start:]).digest()
    if not whole or data[start : start + DIGEST] != hashlib.sha256(key).digest():
        say_once(f"{folder / name}: a damaged compiled kernel; compiled again, like all others that are", "damage")
        return None
    return data[start + DIGEST :]


def write(folder, name, key, payload):
    """Keep the bytes under this name; OSError where that cannot be done."""
    body = hashlib.sha256(key).digest() + payload
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{name}.{uuid.uuid4().hex[:12]}.tmp"
    try:
        temporary.write_bytes(MAGIC + hashlib.sha256(body).digest() + body)
        os.replace(temporary, folder / name)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def keep(name, key, payload):
    """`write` in the first folder that takes it -> (the folder or None, why the ones before it did not)"""
    failed = []
    for folder in folders():
        try:
            write(folder, name, key, payload)
        except OSError as error:
            failed.append(f"{folder.parent}: {error.strerror or error}")
            continue
        _tidy_once(folder)
        return folder, failed
    return None, failed or ["no folder for them"]


@functools.cache
def _tidy_once(folder):
    tidy(folder)


@functools.cache
def _mark_used(folder):
    """The time at which a folder was last used decides which older ones are kept."""
    with contextlib.suppress(OSError):
        os.utime(folder)


# ------------------------------------------------------------------------------- for Numba


def _sources(function):
    """What a function's code may depend on beside its bytecode -> bytes, or None where nobody can know

    The folder's name tells it of kernels. Others, such as a lesson's, are kept while their file is the same.
    """
    file = pathlib.Path(function.__code__.co_filename)
    if KERNELS in file.parents:
        return b""
    return file.read_bytes() if file.is_file() else None


class KernelCache(_Cache):
    """What Numba asks for a function's compiled forms, and gives new ones to. It never raises."""

    def __init__(self, function, options):
        """options: the compile options, which are part of the key"""
        code, sources = function.__code__, _sources(function)
        self._enabled = sources is not None
        closure = dumps(tuple(cell.cell_contents for cell in function.__closure__)) if function.__closure__ else b""
        self._name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        self._about = (
            function.__module__, function.__qualname__, code.co_firstlineno,
            sorted((name, sorted(value) if isinstance(value, set) else value) for name, value in options.items()),
            hashlib.sha256(code.co_code + closure + (sources or b"")).hexdigest(),
            sys.version, np.__version__, numba.__version__, llvmlite.__version__,
        )  # fmt: skip

    @property
    def cache_path(self):
        """The folder that is asked first."""
        return str(folders()[0]) if folders() else None

    def enable(self):
        """Read and keep."""
        self._enabled = True

    def disable(self):
        """Neither."""
        self._enabled = False

    def flush(self):
        """Nothing: the name of a file holds all that it depends on."""

    def _key(self, signature, codegen):
        key = repr((self._about, str(signature), codegen.magic_tuple())).encode()
        return f"{self._name}-{hashlib.sha256(key).hexdigest()[:20]}{SUFFIX}", key

    def load_overload(self, sig, target_context):
        """-> the compiled function, or None"""
        target_context.refresh()
        name, key = self._key(sig, target_context.codegen())
        for folder in folders() if self._enabled else ():
            payload = read(folder, name, key)
            if payload is None:
                continue
            try:
                found = compiler.CompileResult._rebuild(target_context, *pickle.loads(payload))
            except Exception as error:  # whole, yet not for this process: whatever it is, compiling is the answer
                say_once(f"{folder / name}: {type(error).__name__} while loading it; compiled again", "loading")
                continue
            _mark_used(folder)
            return found
        say_once("compiling kernels for this processor (once for each kernel; kept on disk) ...")
        return None

    def save_overload(self, sig, data):
        """Keep a newly compiled function."""
        if not self._enabled or data.library.has_dynamic_globals or any(not x.can_cache for x in data.lifted):
            return
        name, key = self._key(sig, data.codegen)
        folder, failed = keep(name, key, dumps(data._reduce()))
        if folder is None:
            say_once(f"compiled kernels cannot be kept ({'; '.join(failed)}); each process compiles them anew", "kept")
        elif failed and folder == folders()[-1]:
            say_once(f"compiled kernels cannot be kept in {failed[0]}; they are kept in {folder.parent}", "kept")
