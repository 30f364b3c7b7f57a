"""Open and read untrusted files: only regular files, and of bounded size.

To open a named pipe may wait for a writer forever, and to read a device such as /dev/zero never ends. Each file that a
user names is therefore opened here; a pipe, socket, device or folder is an error of one line.
"""

import os
import pathlib
import stat

MEBIBYTE = 2**20

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def kind_of(mode):
    """st_mode -> "a file", "a folder", "a pipe", ..."""
    if stat.S_ISREG(mode):
        return "a file"
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")


def _check_regular(mode, path):
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path}: found {kind_of(mode)}, expected a file")


def open_regular(path):
    """Open for reading -> binary file. ValueError if it is not a regular file; OSError if it does not exist."""
    path = pathlib.Path(path)
    if "\0" in str(path):
        raise ValueError(f"{str(path)!r}: found a NUL byte in a file's name, expected a name")
    _check_regular(os.stat(path).st_mode, path)  # before opening, which may already activate a device
    # O_NONBLOCK: if the file has become a pipe meanwhile, opening it does not wait. It has no effect on regular files.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    try:
        _check_regular(os.fstat(file.fileno()).st_mode, path)
    except BaseException:
        file.close()
        raise
    return file


def read_bytes(path, most):
    """The content of a regular file. ValueError, before reading, if it has more than `most` bytes."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(most + 1) if size <= most else b""
    if max(size, len(content)) > most:  # a file may grow, and files in /proc report no size
        raise ValueError(f"{path}: found {max(size, len(content)):,} bytes, expected at most {most:,}")
    return content


def decode_utf8(content, where):
    """UTF-8 bytes -> str, without a byte-order mark. ValueError with the invalid byte and its line."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = error.start + len(content) - len(error.object)  # utf-8-sig counts from the end of the mark
        line = content.count(b"\n", 0, at) + 1
        raise ValueError(
            f"{where}: found byte 0x{content[at]:02x} at byte {at}, expected text in UTF-8 (line {line})"
        ) from None


def read_text(path, most=64 * MEBIBYTE):
    """The text of a regular UTF-8 file of at most `most` bytes, with or without a byte-order mark."""
    return decode_utf8(read_bytes(path, most), path)
