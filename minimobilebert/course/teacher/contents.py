"""The contents of a submission: the files of a folder or archive, classified by whether they can be the student's work.

    for item in folder_items(path): item.shown, item.parts, item.read(most)

We unpack nothing to disk, follow no link out of a folder, and never open pipes and devices.
"""

import os
import pathlib
import time
from collections.abc import Callable
from typing import NamedTuple

from ...support.archive_members import FILE, FOLDER, LINK, MOST_MEMBERS, OTHER, printable
from ...support.archives import is_archive
from ...support.regular_files import read_bytes

MOST_BYTES = 2_000_000  # of a task's file
MOST_INNER = 64 << 20  # of an archive inside a folder or another archive
WORK, BUILT, NEVER = 0, 1, 2

# Folders that programs fill: they contain copies or libraries, not the student's work.
_NEVER = {"__macosx", "__pycache__", "node_modules", "site-packages", "dist-packages"}
_BUILT = {"build", "dist", "target", "venv", "env", "virtualenv"}  # a student's own folder may have such a name


class Item(NamedTuple):
    shown: str  # its path in the submission
    parts: tuple
    kind: str
    date: tuple  # of its last change; () if unknown
    shelf: int  # WORK; BUILT: used only if there is no other; NEVER
    read: Callable  # most -> bytes

    @property
    def is_archive(self):
        return self.kind == FILE and self.shelf != NEVER and is_archive(self.parts[-1])


def _shelf(folders, environments=()):
    """The shelf of the contents of a folder, given as path parts. environments: paths of virtual environments"""
    if any(part.casefold() in _NEVER or part.startswith(".") for part in folders):
        return NEVER
    if any(folders[: len(path)] == path for path in environments if path):
        return NEVER
    return BUILT if any(part.casefold() in _BUILT for part in folders) else WORK


def folder_items(root):
    """The files in a folder and its subfolders, sorted, as Items. A folder on the shelf NEVER is a single Item."""
    root = pathlib.Path(root)
    inside, queue, items = root.resolve(), [root], []
    while queue:
        folder = queue.pop()
        above = folder.relative_to(root).parts
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if folder == root:
                raise
            items.append(_item(above, f"a folder that cannot be opened ({error.strerror})"))
            continue
        for entry in entries:
            path, parts = pathlib.Path(entry.path), (*above, entry.name)
            if entry.is_dir(follow_symlinks=False):
                if _shelf(parts) == NEVER or os.path.exists(path / "pyvenv.cfg"):  # False if the path is too long
                    items.append(_item(parts, FOLDER, shelf=NEVER))
                else:
                    queue.append(path)
            else:
                items.append(_file_item(path, parts, inside))
        if len(items) > MOST_MEMBERS:
            raise ValueError(f"found more than {MOST_MEMBERS:,} files, expected fewer")
    return items


def _item(parts, kind, shelf=WORK, date=(), read=None):
    return Item(printable("/".join(parts)), parts, kind, date, shelf, read)


def _file_item(path, parts, inside):
    hidden = parts[-1].startswith(".")
    shelf = NEVER if hidden else _shelf(parts[:-1])
    try:
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            return _item(parts, "a link out of the folder", shelf)
        if not path.is_file():
            return _item(parts, LINK if path.is_symlink() else OTHER, shelf)
        date = tuple(time.gmtime(path.stat().st_mtime)[:6])
    except (OSError, RuntimeError, ValueError, OverflowError):  # a cycle of links, a time out of range
        return _item(parts, "a file that cannot be looked at", shelf)
    return _item(parts, FILE, shelf, date, lambda most: read_bytes(path, most))


def archive_items(archive, prefix=()):
    """The members of an open archive as Items; prefix: path parts of the archive itself in the submission."""
    environments = {member.parts[:-1] for member in archive.members if member.parts[-1:] == ("pyvenv.cfg",)}
    items = []
    for member in archive.members:
        if not member.parts or member.kind == FOLDER:
            continue
        hidden = member.parts[-1].startswith(".")
        shelf = NEVER if hidden else _shelf(member.parts[:-1], environments)
        parts = (*prefix, *member.parts)
        items.append(_item(parts, member.kind, shelf, member.date, lambda most, m=member: archive.read(m, most)))
    return items


def passed_over_folders(items):
    """The ignored folders, sorted, such as node_modules; without hidden folders (except .venv) and __pycache__."""
    names = set()
    for item in items:
        if item.shelf == NEVER:
            folders = item.parts if item.kind == FOLDER else item.parts[:-1]
            depth = next((n for n in range(1, len(folders) + 1) if _shelf(folders[:n]) == NEVER), len(folders))
            if depth and (not folders[depth - 1].startswith(".") or folders[depth - 1] == ".venv"):
                names.add("/".join(folders[:depth]))
    return sorted(printable(name) for name in names if not name.endswith("__pycache__"))
