"""Git LFS keeps large files elsewhere; a clone without it has a pointer of three lines in place of each of them."""

from .regular_files import open_regular

_FIRST_LINE = b"version https://git-lfs.github.com/spec/"


def is_pointer(path):
    """Whether a file is such a pointer."""
    with open_regular(path) as file:
        return file.read(len(_FIRST_LINE)) == _FIRST_LINE


def check_no_pointer(path):
    """ValueError, one line, where a file is a pointer in place of what it should hold."""
    if path.is_file() and is_pointer(path):
        raise ValueError(f"{path}: found a Git LFS pointer, expected the file itself: run git lfs pull in its folder")
