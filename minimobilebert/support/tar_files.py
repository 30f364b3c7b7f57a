"""Tar files, compressed or not. A compressed one is first decompressed to a temporary file of limited size."""

import tarfile
import tempfile
import time

from .archive_members import (
    FILE,
    FOLDER,
    LINK,
    OTHER,
    Archive,
    ArchiveError,
    NotAnArchive,
    new_member,
    shortened,
    too_many,
)
from .decompression import PIECE, bzip2, decompressed, gzip, xz

MOST_UNPACKED = 512 << 20
COMPRESSIONS = {b"\x1f\x8b": gzip, b"BZh": bzip2, b"\xfd7zXZ\0": xz, b"]\0\0": xz}  # by the first bytes of the file


class TarArchive(Archive):
    def __init__(self, file):
        file.seek(0)
        head = file.read(6)
        file.seek(0)
        make = next((make for magic, make in COMPRESSIONS.items() if head.startswith(magic)), None)
        self._file, self._temporary = file, None
        if make is not None:
            self._file = self._temporary = tempfile.TemporaryFile()
            try:
                self._unpack(file, make)
            except BaseException:
                self.close()
                raise
        try:
            self._tar = _opened(self._file)
            self.members = list(self._members())
        except BaseException:
            self.close()
            raise

    def close(self):
        if self._temporary is not None:
            self._temporary.close()

    def _unpack(self, file, make):
        size = 0
        for piece in decompressed(file.read, make):
            size += len(piece)
            if size > MOST_UNPACKED:
                raise ArchiveError(f"found more than {MOST_UNPACKED:,} bytes of content, expected fewer")
            self._temporary.write(piece)
        self._temporary.seek(0)

    def _members(self):
        count, offset = 0, -1
        for entry in self._tar:
            count += 1
            too_many(count)
            if self._tar.offset <= offset or entry.size < 0:  # with a negative size tarfile would loop forever
                raise ArchiveError(f"{shortened(entry.name)}: found a damaged header, expected a size")
            offset = self._tar.offset
            kind = FILE if entry.isfile() else FOLDER if entry.isdir() else LINK if _is_link(entry) else OTHER
            yield new_member(entry.name, kind, entry.size, _date(entry.mtime), entry)

    def _pieces(self, member):
        with self._tar.extractfile(member.entry) as file:
            while piece := file.read(PIECE):
                yield piece


def _opened(file):
    try:
        return tarfile.open(fileobj=file, mode="r:")
    except tarfile.ReadError as error:
        raise NotAnArchive(f"found neither zip nor tar ({error}), expected one of them") from None


def _is_link(entry):
    return entry.issym() or entry.islnk()


def _date(seconds):
    try:
        return tuple(time.gmtime(seconds)[:6])
    except (OverflowError, ValueError, OSError):
        return ()
