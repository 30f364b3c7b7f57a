"""One process at a time: a lock that the operating system releases when its process ends, however it ends.

A file that says "I am at work here" stays behind after `kill -9`, and a process number in it may belong to somebody
else by then. So the lock is the system's own (flock, on Windows a locked byte); the file only carries it. A file that
a dead process left is no obstacle.
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

_FAR = 1 << 30  # where the byte is that Windows locks: nobody could read a locked byte
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class Busy(ValueError):
    """Another process holds the lock."""


def take(file):
    """Lock an open file, without waiting -> whether nobody else holds it. Closing the file releases it."""
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
    """Whether `path` is still the open `file`: between opening and locking, its owner may have removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def remove_locked(file, path):
    """Remove the file that we hold the lock of, and release it."""
    if fcntl:
        pathlib.Path(path).unlink(missing_ok=True)  # still locked, so nobody takes it for a dead one
        file.close()
    else:  # Windows removes no open file
        file.close()
        with contextlib.suppress(OSError):
            pathlib.Path(path).unlink(missing_ok=True)


@contextlib.contextmanager
def held(path, busy):
    """`with held(path, "FOLDER: found {who} there"):` hold the lock file `path`; Busy where another process does."""
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
    file.truncate(0)
    file.write(str(os.getpid()).encode())
    try:
        yield
    finally:
        remove_locked(file, path)


@contextlib.contextmanager
def claimed(folder):
    """`with claimed(folder):` make the run folder and keep every other process out of it.

    Busy where another one is at work there; OSError where nothing can be written. If nothing is in it in the end, the
    folder, and those above it that were made for it, are removed again.
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
    """Remove these folders, the innermost first, as far as nothing is in them."""
    for path in folders:
        try:
            path.rmdir()
        except OSError:
            return
