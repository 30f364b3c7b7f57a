"""Which files of a folder are texts. Whatever else is there is refused, or counted: nothing is passed over in silence.

texts       NAME.txt, .TXT too, in the folder and in all folders below it, linked ones as well
left out    hidden files and folders (.ipynb_checkpoints with a notebook's copies, macOS's ._NAME.txt, .git), what
            editors and systems leave beside a text (#NAME.txt#, ~$NAME.txt, __MACOSX), files of other kinds, and
            a folder that a link leads to a second time
refused     a .txt that is a pipe, a device, or a link to nothing; a folder that may not be read
"""

import os
import pathlib
import stat

from ..support.regular_files import kind_of

_SYSTEM_FOLDERS = {"__macosx", "__pycache__", "$recycle.bin", "system volume information"}


def is_text_name(name):
    """Whether a file of this name is to be read as a text."""
    return name.lower().endswith(".txt") and not is_companion(name)


def is_companion(name):
    """Whether a name says that a program left the file or folder there, and not the person whose texts these are."""
    return name.startswith((".", "~$")) or (name.startswith("#") and name.endswith("#")) or name.endswith("~") or (
        name.lower() in _SYSTEM_FOLDERS
    )  # fmt: skip


class LeftOut:
    """What was found and not read, to be said in one line."""

    def __init__(self):
        self._found = {}  # kind -> [how many, the first]

    def add(self, kind, name):
        self._found.setdefault(kind, [0, name])[0] += 1

    def sentence(self):
        """-> "2 hidden or an editor's ('.git'), 1 not named .txt ('notes.md')"; "" where nothing was left out"""
        return ", ".join(f"{count} {kind} ({first!r})" for kind, (count, first) in self._found.items())


HIDDEN, OTHER, TWICE, COPY = "hidden or an editor's", "not named .txt", "linked a second time", "a copy of another text"


def find_texts(folder, left_out):
    """The texts below a folder -> paths, sorted; `left_out` gets what is none. ValueError, OSError: refused."""
    root, seen, texts = pathlib.Path(folder), set(), []
    folders, links = [root], []
    while folders or links:
        linked = not folders  # links come last, so that what they lead to is read under its own name
        here = links.pop() if linked else folders.pop()
        status = os.stat(here)
        if status.st_ino and (status.st_dev, status.st_ino) in seen:
            left_out.add(TWICE, here.relative_to(root).as_posix())
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(here) as entries:
            names = sorted(entry.name for entry in entries)
        for path in [here / name for name in names]:
            kind = _kind(path, root, left_out)
            if kind == "text":
                texts.append(path)
            elif kind == "folder":
                (links if path.is_symlink() else folders).append(path)
    return sorted(texts)


def _kind(path, root, left_out):
    """ "text" or "folder"; None: left out. ValueError: refused"""
    name, mode, problem = path.relative_to(root).as_posix(), 0, ""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:  # a loop, or nothing there
        problem = f"a link that leads nowhere ({error.strerror})"
    if is_companion(path.name):
        left_out.add(HIDDEN, name)
    elif stat.S_ISDIR(mode):
        return "folder"
    elif not is_text_name(path.name):
        left_out.add(OTHER, name)
    elif stat.S_ISREG(mode):
        return "text"
    else:
        raise ValueError(f"{path}: found {problem or kind_of(mode)}, expected a file")
    return None
