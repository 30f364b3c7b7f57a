"""Check the requirements of a long command before it starts: memory, disk space, a writable folder.

Each check uses a lower bound, so it never rejects a command that would succeed. If the system does not report a value,
the check passes.
"""

import contextlib
import os
import pathlib
import shutil

from .files import check_replaceable
from .locks import remove_empty

_MEGABYTE = 1 << 20
_CGROUP = pathlib.Path("/sys/fs/cgroup")


def _number_in(path, key=None):
    """The first number in a file, or the one after `key` -> int or None"""
    with contextlib.suppress(OSError, ValueError, IndexError):
        words = path.read_text().split()
        return int(words[words.index(key) + 1] if key else words[0])
    return None


def _rounded_up(size):
    """Bytes -> whole megabytes, so that a message never asks for less than what was found"""
    return -(-size // _MEGABYTE)


def available_memory():
    """Available memory of the machine, and of its container if there is one -> bytes, or None if unknown"""
    found = []
    if (kilobytes := _number_in(pathlib.Path("/proc/meminfo"), "MemAvailable:")) is not None:
        found.append(1024 * kilobytes)
    else:
        with contextlib.suppress(AttributeError, ValueError, OSError):  # not Linux: use the total memory
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    most, used = _number_in(_CGROUP / "memory.max"), _number_in(_CGROUP / "memory.current")
    if most is not None and used is not None:
        cached = _number_in(_CGROUP / "memory.stat", "inactive_file") or 0
        found.append(max(0, most - used + cached))
    return min(found, default=None)


def check_memory(needed, what):
    """ValueError if less than `needed` bytes of memory are available; what: "batch_size 64, ...", for the message"""
    available = available_memory()
    if available is not None and needed > available:
        raise ValueError(
            f"{what}: found {available // _MEGABYTE:,} MB of memory that is free, expected at least"
            f" {_rounded_up(needed):,} MB; a smaller batch needs less"
        )


def check_disk(folder, needed, what):
    """ValueError if the disk of `folder`, which need not exist yet, has less than `needed` bytes free."""
    folder = pathlib.Path(folder).absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise ValueError(
            f"{folder}: found {free // _MEGABYTE:,} MB free on its disk, expected at least {_rounded_up(needed):,} MB"
            f" for {what}"
        )


def check_new_file(path):
    """ValueError or OSError if a file of this name could not be written at the end of long work."""
    check_replaceable(path)
    folder = pathlib.Path(path).absolute().parent
    if not folder.is_dir():
        raise ValueError(f"{path}: found no folder {folder}, expected one to write the file in")
    check_writable(folder)


def check_writable(folder):
    """OSError with the folder's name if it is not writable. It need not exist yet; the check leaves no trace."""
    folder = pathlib.Path(folder)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    trial = folder / f".writable.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise OSError(error.errno, f"cannot write there ({error.strerror})", str(folder)) from None
    finally:
        remove_empty(made)
