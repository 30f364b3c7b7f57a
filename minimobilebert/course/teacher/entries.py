"""The entries that `grade` grades: one row, with a unique name, for each entry of the given folders.

A folder with task files or a folder `minimobilebert` is one submission. Any other folder is a class, and each of its
entries is a submission, also text files, empty folders, broken links and hidden files: their row says what was found,
so that no student is overlooked because of an unusual file.
"""

import hashlib
import os
import pathlib
import unicodedata

from ...support.archive_members import printable
from ...support.archives import is_archive
from .results import location_of
from .submission import base_name

MOST_NAME = 150  # bytes: a file NAME.json has to fit into a folder


def find_entries(paths, files, out=None):
    """-> paths of the submissions, each once, in order. out: the folder of the results, which is excluded"""
    found, seen = [], {_key(out)} if out is not None else set()
    for path in map(pathlib.Path, paths):
        if not os.path.lexists(path):
            raise ValueError(f"{path}: found nothing there, expected a submission or a folder of them")
        inside = [path]
        if path.is_dir() and not _is_submission(path, files):
            inside = sorted(path.iterdir())
            if not inside:
                raise ValueError(f"{path}: found no submission in it, expected folders, archives or .py files")
        for each in inside:
            if _key(each) not in seen:
                seen.add(_key(each))
                found.append(each)
    return found


def _key(path):
    return os.path.abspath(path)


def _is_submission(folder, files):
    """True if a folder is one submission, and not a class."""
    if (folder / "minimobilebert").is_dir():
        return True
    names = {pathlib.PurePosixPath(file).name for file in files}
    if not any((folder / name).is_file() for name in names):
        return False
    # A single task file among archives or whole editions does not make a class a submission.
    entries = list(folder.iterdir())
    return not any(is_archive(each) or (each / "minimobilebert").is_dir() for each in entries)


def unique_names(paths, taken=None):
    """A unique name for each path, also on a case-insensitive file system: {path: name}

    taken: {location_of(path): name} of earlier results, which keep their names
    """
    taken = taken or {}
    names = {path: taken[location_of(path)] for path in paths if location_of(path) in taken}
    used = {"grades", *map(_folded, taken.values())}
    left = [path for path in paths if path not in names]
    for form in (base_name, _whole_name, _with_parent):
        wanted = [(path, shortened_name(form(path))) for path in left]
        count = {}
        for _, name in wanted:
            count[_folded(name)] = count.get(_folded(name), 0) + 1
        for path, name in wanted:
            if count[_folded(name)] == 1 and _folded(name) not in used:
                names[path] = name
        used |= {_folded(name) for path, name in wanted if path in names}
        left = [path for path in left if path not in names]
    for path in left:  # names that differ only in case
        name, number = shortened_name(_whole_name(path)), 1
        while _folded(name) in used:
            number += 1
            name = f"{shortened_name(_whole_name(path))}-{number}"
        names[path] = name
        used.add(_folded(name))
    return names


def _whole_name(path):
    return printable(path.name) or base_name(path)


def _with_parent(path):
    return "-".join(printable(part) for part in pathlib.Path(_key(path)).parts[-2:])


def _folded(name):
    """Equal for names that are the same file on some system"""
    return unicodedata.normalize("NFKC", name).casefold()


def shortened_name(name):
    """A valid file name: without separators, and not too long"""
    name = name.replace("/", "_").replace("\\", "_")
    data = name.encode()
    if len(data) <= MOST_NAME:
        return name
    return f"{data[:MOST_NAME].decode(errors='ignore')}-{hashlib.sha256(data).hexdigest()[:8]}"
