"""Locks between processes, which the operating system releases when a process ends, even after `kill -9`.

A lock file alone would remain after `kill -9`, and another process may have reused the process number in it. We
therefore use a lock of the operating system (flock, on Windows a locked byte) on the file. A lock file of a dead
process has no effect.
"""

import contextlib
import errno
import os
import pathlib
import sys

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None
    import msvcrt

_FAR = 1 << 30  # offset of the byte that is locked on Windows, beyond the content, because a locked byte is unreadable
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class Busy(ValueError):
    """Another process holds the lock."""


def take(file):
    """Try to lock an open file, without waiting -> True if it is locked now. Closing the file releases the lock."""
    try:
        if fcntl:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            file.seek(_FAR)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            return False
        print(f"note: {file.name}: this file system has no locks; start one process at a time", file=sys.stderr)
    return True


def still_there(file, path):
    """True if `path` is still the open `file`. Its owner may have removed it before we locked it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def remove_locked(file, path):
    """Remove a file that this process has locked, and release the lock."""
    if fcntl:
        pathlib.Path(path).unlink(missing_ok=True)  # while it is locked, so that no process removes it as a leftover
        file.close()
    else:  # Windows cannot remove an open file
        file.close()
        with contextlib.suppress(OSError):
            pathlib.Path(path).unlink(missing_ok=True)


@contextlib.contextmanager
def held(path, busy):
    """`with held(path, "FOLDER: found {who} there"):` hold the lock file `path`. Busy if another process holds it."""
    while True:
        file = open(path, "a+b", buffering=0)
        if not take(file):
            file.seek(0)
            number = file.read(20).decode("ascii", "replace").strip()
            file.close()
            raise Busy(busy.format(who=f"another process ({number})" if number.isdigit() else "another process"))
        if still_there(file, path):
            break
        file.close()
    try:
        with contextlib.suppress(OSError):  # a full disk: the number is only for the message, the lock holds without it
            file.truncate(0)
            file.write(str(os.getpid()).encode())
        yield
    finally:
        remove_locked(file, path)


@contextlib.contextmanager
def claimed(folder):
    """`with claimed(folder):` make the folder of a run, and lock it.

    Busy if another process has locked it; OSError if it is not writable. If the folder is empty at the end, it is
    removed, and so are the parent folders that were made for it.
    """
    folder = pathlib.Path(folder)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    busy = f"{folder}: found {{who}} at work there, expected none; wait for it, or choose another folder"
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: found a file, expected a folder or nothing")
    with contextlib.ExitStack() as stack:
        stack.callback(remove_empty, made)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(held(folder / ".lock", busy))
        except OSError as error:
            raise OSError(error.errno, f"cannot write there ({error.strerror})", str(folder)) from None
        yield folder


def remove_empty(folders):
    """Remove these folders, the innermost first, as long as they are empty."""
    for path in folders:
        try:
            path.rmdir()
        except OSError:
            return
