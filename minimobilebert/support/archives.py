"""Read untrusted archives: zip and tar files, recognised by their content.

    with open_archive(path) as archive:
        for member in archive.members: ...       names are checked, sizes are not
        content = archive.read(member, most)     at most `most` bytes

Each problem is an ArchiveError of one line: names that lead outside, damage, encryption, bombs.
"""

import contextlib
import io
import pathlib
import zipfile

from .archive_members import FILE, LINK, Archive, ArchiveError, Member, one_error
from .regular_files import open_regular
from .tar_files import COMPRESSIONS, TarArchive
from .zip_files import ZipArchive

_OTHERS = {
    b"7z\xbc\xaf'\x1c": "a 7z archive", b"Rar!\x1a\x07": "a RAR archive", b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"\x1f\x9d": "a file of compress", b"MSCF": "a cabinet archive", b"!<arch>": "an ar archive",
}  # fmt: skip


@contextlib.contextmanager
def open_archive(source):
    """source: a path, or the bytes of an archive -> Archive, closed at the end"""
    with io.BytesIO(source) if isinstance(source, bytes) else open_regular(source) as file:
        with one_error():
            archive = _opened(file)
        try:
            yield archive
        finally:
            archive.close()


def _opened(file):
    head = file.read(512)
    if not head:
        raise ArchiveError("found an empty file, expected a zip or tar archive")
    for magic, name in _OTHERS.items():
        if head.startswith(magic):
            raise ArchiveError(f"found {name}, expected .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz")
    # A file that starts like a tar is one, even if its last member is a zip, which is_zipfile would find.
    if head.startswith(b"PK") or not (head[257:262] == b"ustar" or head.startswith(tuple(COMPRESSIONS))):
        if zipfile.is_zipfile(file):
            return ZipArchive(file)
        if head.startswith(b"PK\3\4"):
            raise ArchiveError("found a zip file without its end, expected a whole one")
    return TarArchive(file)


def is_archive(path):
    """True if the file's name has the suffix of a supported archive."""
    name = pathlib.PurePath(path).name.lower()
    return name.endswith((".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz"))


__all__ = ["FILE", "LINK", "Archive", "ArchiveError", "Member", "is_archive", "open_archive"]
