"""Files written whole or not at all."""

import contextlib
import glob
import hashlib
import json
import os
import pathlib
import secrets
import shutil

from .locks import held, remove_empty, remove_locked, still_there, take
from .regular_files import open_regular

# A file that is being written is called `.NAME.RANDOM.tmp`, beside its target, and its writer holds a lock on it. A
# process that was killed leaves it behind; the next one that writes the same target finds it unlocked, and removes it.


def remove_leftovers(folder, name="*"):
    """Remove the temporary files in `folder` (of the target `name`, or all) whose writers are dead."""
    for path in pathlib.Path(folder).glob(f".{glob.escape(name) if name != '*' else name}.*.tmp"):
        with contextlib.suppress(OSError):
            if path.is_dir():
                continue
            with open(path, "ab") as file:
                if take(file) and still_there(file, path):
                    remove_locked(file, path)


def _open_temporary(path):
    """A new temporary file beside `path`, locked -> the open file, its path"""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        file = open(temporary, "xb")
        if take(file) and still_there(file, temporary):  # else somebody took it for a dead one, in between
            return file, temporary
        file.close()


@contextlib.contextmanager
def replacing(path):
    """`with replacing(path) as file: file.write(...)`: binary; `path` holds the old contents or the new, never a part.

    Written under a temporary name, flushed to the disk, then renamed. Whatever goes wrong before that, the temporary
    file is removed and `path` is as it was; a full disk ends in an OSError that says so.
    """
    path = pathlib.Path(path)
    remove_leftovers(path.parent, path.name)
    temporary = None
    try:
        file, temporary = _open_temporary(path)
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if os.name == "posix":  # Windows renames no open file; elsewhere it stays locked until it has its name
                os.replace(temporary, path)
        if os.name != "posix":
            os.replace(temporary, path)
    except BaseException as error:
        if temporary:
            temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        what = "the file that was there is intact" if path.exists() else "nothing was written"
        raise OSError(error.errno, f"cannot write ({error.strerror}); {what}", str(path)) from None


def check_new_folder(folder):
    """ValueError unless `folder` is new or empty: nothing of somebody's is written over."""
    folder = pathlib.Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder}: found something there already, expected a new or empty folder")


@contextlib.contextmanager
def new_folder(folder):
    """`with new_folder(path) as unfinished:` write files into `unfinished`; they appear in `path` all together.

    `path` must be new or empty. Whatever goes wrong inside, `path` is as it was and what was written is gone. After a
    kill `.NAME.tmp` stays beside `path`; the next call empties and uses it. Busy where a living process does.
    """
    check_new_folder(folder)
    folder = pathlib.Path(folder).absolute()
    unfinished = folder.with_name(f".{folder.name}.tmp")
    made = [path for path in folder.parents if not path.exists()]
    with contextlib.ExitStack() as stack:
        stack.callback(remove_empty, made)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            busy = f"{folder}: found {{who}} writing it, expected none; wait for it, or choose another folder"
            stack.enter_context(held(folder.with_name(f".{folder.name}.lock"), busy))
            if unfinished.exists():
                shutil.rmtree(unfinished)
            stack.callback(shutil.rmtree, unfinished, ignore_errors=True)
            unfinished.mkdir()
        except OSError as error:
            raise OSError(error.errno, f"cannot write there ({error.strerror})", str(folder)) from None
        yield unfinished
        check_new_folder(folder)
        if folder.exists():  # empty; kept, because it may be some process's current folder
            for path in sorted(unfinished.iterdir()):
                os.replace(path, folder / path.name)
        else:
            os.replace(unfinished, folder)


def name_of(path):
    """A path as a text that a JSON file can hold

    Of a name that is not in the locale's encoding Python keeps the bytes, as halves of characters. Most are UTF-8 in a
    terminal that is not; others are written as escapes. `path_of` leads back.
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def path_of(name):
    """What `name_of` made of a path -> the path, as this process wants it"""
    return os.fsdecode(name.encode("utf-8"))


def write_text(path, text):
    """`text` as UTF-8, written whole or not at all."""
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def sha256_of(path):
    """The sha256 of a file's bytes -> hex digits"""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path, value):
    """`value` as indented JSON, written whole or not at all. ValueError for NaN, which no reader would take."""
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"{path}: found a number that is not finite ({error}), expected none; not written") from None
    write_text(path, text + "\n")
