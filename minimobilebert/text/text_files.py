"""Find the texts in a folder. Other files are counted and reported, or are an error.

text        NAME.txt or NAME.TXT in the folder and its subfolders, also through links
left out    hidden files and folders (.ipynb_checkpoints, macOS's ._NAME.txt, .git), files of editors and systems
            (#NAME.txt#, ~$NAME.txt, __MACOSX), files with other names, a folder that is linked a second time, and
            archives, which are read only if the user names them
error       a .txt that is a pipe, a device or a broken link; a folder that cannot be read
"""

import os
import pathlib
import stat

from ..support.archives import is_archive
from ..support.regular_files import kind_of

ENDINGS = (".txt",)
_SYSTEM_FOLDERS = {"__macosx", "__pycache__", "$recycle.bin", "system volume information"}


def is_text_name(name, endings=ENDINGS):
    """True if the name is that of a text."""
    return name.lower().endswith(endings) and not is_companion(name)


def is_companion(name):
    """True if the name is that of a hidden file or folder, or of one that an editor or a system made."""
    return name.startswith((".", "~$")) or (name.startswith("#") and name.endswith("#")) or name.endswith("~") or (
        name.lower() in _SYSTEM_FOLDERS
    )  # fmt: skip


class LeftOut:
    """Counts the files that are left out, by reason."""

    def __init__(self):
        self._found = {}  # reason -> [count, name of the first file]

    def add(self, reason, name):
        self._found.setdefault(reason, [0, name])[0] += 1

    def sentence(self):
        """-> "2 hidden or an editor's ('.git'), 1 not named .txt ('notes.md')"; "" if no file was left out"""
        return ", ".join(f"{count} {reason} ({example!r})" for reason, (count, example) in self._found.items())


HIDDEN, TWICE, COPY = "hidden or an editor's", "linked a second time", "a copy of another text"
ARCHIVE = "packed, read only if named directly"


def other(endings=ENDINGS):
    """The reason why a file is left out that has none of the endings."""
    return f"not named {', '.join(endings)}"


def find_texts(folder, left_out, endings=ENDINGS):
    """The texts in a folder and its subfolders -> sorted paths; `left_out` counts the other files.

    endings: of the names of texts. ValueError or OSError for a text or folder that cannot be read.
    """
    root, seen, texts = pathlib.Path(folder), set(), []
    folders, links = [root], []
    while folders or links:
        linked = not folders  # links are last, so that a folder that is also linked is read under its own name
        current = links.pop() if linked else folders.pop()
        status = os.stat(current)
        if status.st_ino and (status.st_dev, status.st_ino) in seen:
            left_out.add(TWICE, current.relative_to(root).as_posix())
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(current) as entries:
            names = sorted(entry.name for entry in entries)
        for path in [current / name for name in names]:
            result = _classify(path, root, left_out, endings)
            if result == "text":
                texts.append(path)
            elif result == "folder":
                (links if path.is_symlink() else folders).append(path)
    return sorted(texts)


def _classify(path, root, left_out, endings):
    """-> "text", "folder" or, if it is left out, None. ValueError for a text that cannot be read."""
    name, mode, problem = path.relative_to(root).as_posix(), 0, ""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:  # a loop or a broken link
        problem = f"a link that leads nowhere ({error.strerror})"
    if is_companion(path.name):
        left_out.add(HIDDEN, name)
    elif stat.S_ISDIR(mode):
        return "folder"
    elif not is_text_name(path.name, endings):
        left_out.add(ARCHIVE if is_archive(path) else other(endings), name)
    elif stat.S_ISREG(mode):
        return "text"
    else:
        raise ValueError(f"{path}: found {problem or kind_of(mode)}, expected a file")
    return None
