"""Read a file that may be compressed with gzip, as a stream of bytes in bounded memory."""

import io
import zlib

from .decompression import decompressed, gzip
from .regular_files import MEBIBYTE, open_regular


class _Gunzipped(io.RawIOBase):
    """The content of an open .gz file; closing it closes the file. ValueError if it is damaged."""

    def __init__(self, file, path):
        self._file, self._path = file, path
        self._pieces, self._piece = decompressed(file.read, gzip), memoryview(b"")

    def readable(self):
        return True

    def readinto(self, buffer):
        if not self._piece:
            try:
                self._piece = memoryview(next(self._pieces, b""))
            except (EOFError, zlib.error) as error:
                raise ValueError(f"{self._path}: found a damaged .gz file ({error}), expected a whole one") from None
        count = min(len(buffer), len(self._piece))
        buffer[:count], self._piece = self._piece[:count], self._piece[count:]
        return count

    def close(self):
        self._file.close()
        super().close()


def is_gzip(path):
    """True if the file's name says that it is compressed."""
    return path.name.lower().endswith(".gz")


def content_of(file, path):
    """An open file -> a binary file with its content, decompressed if its name ends in .gz"""
    return io.BufferedReader(_Gunzipped(file, path), 1 << 18) if is_gzip(path) else file


def open_content(path):
    """Open a regular file for reading -> binary file, decompressed if its name ends in .gz"""
    return content_of(open_regular(path), path)


def skip(file, count):
    """Go `count` bytes on in a file of `open_content`, which may not be seekable."""
    if file.seekable():
        file.seek(count, io.SEEK_CUR)
        return
    while count > 0 and (part := file.read(min(count, MEBIBYTE))):
        count -= len(part)
