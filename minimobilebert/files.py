"""Files written whole or not at all."""

import contextlib
import json
import os
import pathlib
import shutil

from .support.structured_files import read_json  # noqa: F401  until every reader names its shape


@contextlib.contextmanager
def replacing(path):
    """`with replacing(path) as file: file.write(...)`: binary; `path` holds the old contents or the new, never a part.

    Written under a temporary name, flushed to the disk, then renamed. Whatever goes wrong before that, the temporary
    file is removed and `path` is as it was; a full disk ends in an OSError that says so.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        what = "the file that was there is intact" if path.exists() else "nothing was written"
        raise OSError(error.errno, f"cannot write ({error.strerror}); {what}", str(path)) from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_new_folder(folder):
    """ValueError unless `folder` is new or empty: nothing of somebody's is written over."""
    folder = pathlib.Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder}: found something there already, expected a new or empty folder")


@contextlib.contextmanager
def new_folder(folder):
    """`with new_folder(path) as unfinished:` write files into `unfinished`; they appear in `path` all together.

    `path` must be new or empty. Whatever goes wrong inside, `path` is as it was and what was written is gone.
    """
    check_new_folder(folder)
    folder = pathlib.Path(folder).absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    unfinished.mkdir()
    try:
        yield unfinished
        if folder.exists():  # empty; kept, because somebody may stand in it
            for path in sorted(unfinished.iterdir()):
                os.replace(path, folder / path.name)
            unfinished.rmdir()
        else:
            os.replace(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


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


def write_json(path, value):
    """`value` as indented JSON, written whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
