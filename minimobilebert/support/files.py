"""Write files atomically."""

import contextlib
import glob
import hashlib
import json
import os
import pathlib
import secrets
import shutil
import stat

from .locks import held, remove_empty, remove_locked, still_there, take
from .regular_files import kind_of, open_regular

# While a file is written, it is `.NAME.RANDOM.tmp` in the folder of its target, and its writer holds a lock on it. If
# the writer is killed, the file remains; the next writer of the same target finds it unlocked and removes it.


def remove_leftovers(folder, name="*"):
    """Remove temporary files of dead writers in `folder` (of the target `name`, or all)."""
    for path in pathlib.Path(folder).glob(f".{glob.escape(name) if name != '*' else name}.*.tmp"):
        with contextlib.suppress(OSError):
            if path.is_dir():
                continue
            with open(path, "ab") as file:
                if take(file) and still_there(file, path):
                    remove_locked(file, path)


def check_replaceable(path):
    """ValueError if `path` is a folder, a pipe, a device: a file would take its name. It need not exist."""
    mode = os.stat(path).st_mode if os.path.exists(path) else stat.S_IFREG
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path}: found {kind_of(mode)}, expected the name of a file")


def _open_temporary(path):
    """Make and lock a temporary file in the folder of `path` -> the open file, its path"""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        file = open(temporary, "xb")
        if take(file) and still_there(file, temporary):  # otherwise another process removed it as a leftover
            return file, temporary
        file.close()


@contextlib.contextmanager
def replacing(path):
    """`with replacing(path) as file: file.write(...)`: replace a binary file atomically.

    We write to a temporary file, flush it to the disk, and rename it. After an error the temporary file is removed, and
    `path` is unchanged. OSError for a full disk,
    ValueError, before anything is written, for a `path` that is no file.
    """
    path = pathlib.Path(path)
    check_replaceable(path)
    remove_leftovers(path.parent, path.name)
    temporary = None
    try:
        file, temporary = _open_temporary(path)
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if os.name == "posix":  # rename while it is locked; Windows cannot rename an open file
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


# Of `new_folder`, in a folder that exists.
_UNFINISHED, _LOCK = ".unfinished.tmp", ".unfinished.lock"


def check_new_folder(folder):
    """ValueError unless `folder` is new or empty, so that no existing file is overwritten."""
    folder = pathlib.Path(folder)
    if folder.is_symlink() and not folder.exists():
        raise ValueError(f"{folder}: found a link to nothing, expected a new or empty folder")
    if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - {_UNFINISHED, _LOCK}):
        raise ValueError(f"{folder}: found something there already, expected a new or empty folder")


def _remove_unfinished(path):
    """Remove the folder of a killed writer. ValueError for a file or a link of this name: we do not make those."""
    if path.is_symlink() or path.is_file():
        raise ValueError(f"{path}: found a file or a link, expected none: we write there until the folder is complete")
    if path.exists():
        shutil.rmtree(path)


@contextlib.contextmanager
def new_folder(folder):
    """`with new_folder(path) as unfinished:` write files into `unfinished`; at the end they become `path`.

    `path` must be new or empty. After an error `path` is unchanged, and the written files are removed. After a kill,
    `.NAME.tmp` remains in the parent folder; the next call empties and reuses it. Busy if another process uses it.

    An empty folder is kept, because it may be the current folder of a process, or a mounted disk. We write inside it:
    files cannot be renamed from one disk to another, and the parent folder may not be writable.
    """
    check_new_folder(folder)
    folder = pathlib.Path(folder).absolute()
    if folder.exists():
        unfinished, lock = folder / _UNFINISHED, folder / _LOCK
    else:
        unfinished, lock = folder.with_name(f".{folder.name}.tmp"), folder.with_name(f".{folder.name}.lock")
    made = [path for path in folder.parents if not path.exists()]
    with contextlib.ExitStack() as stack:
        stack.callback(remove_empty, made)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            busy = f"{folder}: found {{who}} writing it, expected none; wait for it, or choose another folder"
            stack.enter_context(held(lock, busy))
            _remove_unfinished(unfinished)
            stack.callback(shutil.rmtree, unfinished, ignore_errors=True)
            unfinished.mkdir()
        except OSError as error:  # of the folder, or of one above it
            named = {str(lock), str(unfinished)}  # the reader knows the folder
            filename = str(folder) if str(error.filename) in named else error.filename
            raise OSError(error.errno, f"cannot write there ({error.strerror})", filename) from None
        yield unfinished
        check_new_folder(folder)
        if folder.exists():
            for path in sorted(unfinished.iterdir()):
                os.replace(path, folder / path.name)
        else:
            os.replace(unfinished, folder)


def labels_of(folders, taken=()):
    """Folders by their own names, or by their paths where two have the same name or it is taken -> {label: path}

    A label is valid Unicode, because it is printed, drawn and written as JSON. ValueError for a folder that is named
    twice, also by way of a link, or by its checkpoint.
    """
    paths = [pathlib.Path(folder) for folder in folders]
    names = [path.name for path in paths] + list(taken)
    found = [path.resolve().parent if path.is_file() else path.resolve() for path in paths]  # or its checkpoint
    for path, resolved in zip(paths, found, strict=True):
        if found.count(resolved) > 1:
            raise ValueError(f"{path}: found it twice, expected each model once")
    labels = [path.name if path.name and names.count(path.name) == 1 else str(path) for path in paths]
    return {name_of(label): path for label, path in zip(labels, paths, strict=True)}


def name_of(path):
    """A path as valid Unicode for a JSON file

    Python represents the bytes of a name that is not in the locale's encoding as lone surrogates. We decode them as
    UTF-8 if possible, and otherwise escape them. `path_of` is the inverse.
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def path_of(name):
    """The result of `name_of` -> the path in this process's encoding"""
    return os.fsdecode(name.encode("utf-8"))


def write_text(path, text):
    """Write `text` as UTF-8, atomically."""
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def sha256_of(path):
    """The sha256 of a file -> hexadecimal digits"""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path, value):
    """Write `value` as indented JSON, atomically. ValueError for NaN, which JSON does not have."""
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"{path}: found a number that is not finite ({error}), expected none; not written") from None
    write_text(path, text + "\n")
