"""What is inside of a submission: the files of a folder or an archive, and which of them cannot be the student's work.

    for item in folder_items(path): item.shown, item.parts, item.read()

Nothing is unpacked to disk, no link is followed out of a folder, and pipes and devices are never opened.
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
MOST_INNER = 64 << 20  # of an archive inside of something else
WORK, BUILT, NEVER = 0, 1, 2

# Folders that programs fill: what is in them is a copy, a library, or nothing of the student's.
_NEVER = {"__macosx", "__pycache__", "node_modules", "site-packages", "dist-packages"}
_BUILT = {"build", "dist", "target", "venv", "env", "virtualenv"}  # a student may call a folder so


class Item(NamedTuple):
    shown: str  # its path in the submission
    parts: tuple
    kind: str
    date: tuple  # of its last change; () where nobody knows
    shelf: int  # WORK; BUILT: taken only where there is no other; NEVER
    read: Callable  # most -> bytes

    @property
    def is_archive(self):
        return self.kind == FILE and self.shelf != NEVER and is_archive(self.parts[-1])


def _shelf(folders, environments=()):
    """Of what is in the folder with these path parts. environments: paths of virtual environments"""
    if any(part.casefold() in _NEVER or part.startswith(".") for part in folders):
        return NEVER
    if any(folders[: len(path)] == path for path in environments if path):
        return NEVER
    return BUILT if any(part.casefold() in _BUILT for part in folders) else WORK


def folder_items(root):
    """The files below a folder, sorted, as Items. A folder on the shelf NEVER is one Item, and is not entered."""
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
                if _shelf(parts) == NEVER or os.path.exists(path / "pyvenv.cfg"):  # False where a path is too long
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
    except (OSError, RuntimeError, ValueError, OverflowError):  # a link in a circle, a time out of range
        return _item(parts, "a file that cannot be looked at", shelf)
    return _item(parts, FILE, shelf, date, lambda most: read_bytes(path, most))


def archive_items(archive, prefix=()):
    """The members of an open archive as Items; prefix: path parts of the archive itself, if it is inside something."""
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
    """Folders with programs of others, whose files are no work, sorted; those that every project has are not named."""
    names = set()
    for item in items:
        if item.shelf == NEVER:
            folders = item.parts if item.kind == FOLDER else item.parts[:-1]
            first = next((n for n in range(1, len(folders) + 1) if _shelf(folders[:n]) == NEVER), len(folders))
            if first and (not folders[first - 1].startswith(".") or folders[first - 1] == ".venv"):
                names.add("/".join(folders[:first]))
    return sorted(printable(name) for name in names if not name.endswith("__pycache__"))
