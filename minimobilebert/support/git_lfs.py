"""Detect pointers of Git LFS: in a clone without Git LFS, a large file is a text file of three lines."""

from .regular_files import open_regular

_FIRST_LINE = b"version https://git-lfs.github.com/spec/"


def is_pointer(path):
    """True if a file is such a pointer."""
    with open_regular(path) as file:
        return file.read(len(_FIRST_LINE)) == _FIRST_LINE


def check_no_pointer(path):
    """ValueError if a file is such a pointer."""
    if path.is_file() and is_pointer(path):
        raise ValueError(f"{path}: found a Git LFS pointer, expected the file itself: run git lfs pull in its folder")
