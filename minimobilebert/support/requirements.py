"""What a long command needs is checked before it starts: memory, free disk, a folder that can be written.

Each check is a lower bound of what will be needed, so it never refuses what would have gone well; where the system
does not say what there is, nothing is refused.
"""

import contextlib
import os
import pathlib
import shutil

from .locks import remove_empty

_MEGABYTE = 1 << 20
_CGROUP = pathlib.Path("/sys/fs/cgroup")


def _number_in(path, key=None):
    """The number in a file of one number, or behind `key` -> int or None"""
    with contextlib.suppress(OSError, ValueError, IndexError):
        words = path.read_text().split()
        return int(words[words.index(key) + 1] if key else words[0])
    return None


def available_memory():
    """Bytes that can still be had: of the machine, and of the container it may be in -> int, or None if unknown"""
    found = []
    if (kilobytes := _number_in(pathlib.Path("/proc/meminfo"), "MemAvailable:")) is not None:
        found.append(1024 * kilobytes)
    else:
        with contextlib.suppress(AttributeError, ValueError, OSError):  # no Linux: at least what the machine has
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    most, used = _number_in(_CGROUP / "memory.max"), _number_in(_CGROUP / "memory.current")
    if most is not None and used is not None:
        cached = _number_in(_CGROUP / "memory.stat", "inactive_file") or 0
        found.append(max(0, most - used + cached))
    return min(found, default=None)


def check_memory(needed, what):
    """ValueError where less than `needed` bytes can be had; what: "batch_size 64, ..." """
    available = available_memory()
    if available is not None and needed > available:
        raise ValueError(
            f"{what}: found {available // _MEGABYTE:,} MB of memory that is free, expected at least"
            f" {needed // _MEGABYTE:,} MB; a smaller batch needs less"
        )


def check_disk(folder, needed, what):
    """ValueError where the disk of `folder`, which need not exist yet, has less than `needed` bytes free."""
    folder = pathlib.Path(folder).absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise ValueError(
            f"{folder}: found {free // _MEGABYTE:,} MB free on its disk, expected at least {needed // _MEGABYTE:,} MB"
            f" for {what}"
        )


def check_writable(folder):
    """OSError, naming the folder, where no file can be made in it; it need not exist yet, and is as it was after."""
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
