"""What zip and tar files have in common: members, the rules for their names, and one error.

An archive is somebody else's list of names. No name from it is ever used as a path here; a member is found by its
name's parts and read into memory, or into a file that the caller opened. All sizes in an archive are claims.
"""

import contextlib
import re
from typing import NamedTuple

MOST_MEMBERS = 100_000
MOST_NAME = 4096  # no file system has longer paths
FILE, FOLDER, LINK, OTHER = "a file", "a folder", "a link", "a device or pipe"


class ArchiveError(ValueError):
    """Why an archive, or one member, cannot be read: one line, without the archive's own name."""


class NotAnArchive(ArchiveError):
    """The file is something else altogether."""


class Member(NamedTuple):
    name: str  # as the archive has it, made printable
    parts: tuple  # of the path inside the archive
    kind: str  # FILE, FOLDER, LINK or OTHER
    size: int  # as claimed
    encrypted: bool
    date: tuple  # (year, month, day, hour, minute, second); () where there is none
    entry: object  # zipfile's or tarfile's


def printable(text):
    """`text` with what cannot be shown or written as UTF-8 escaped: control characters, halves of characters"""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(name, most=120):
    """A name in a message: printable and of a bearable length"""
    text = printable(name)
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-most // 2 :]}"


def parts_of(name):
    r"""A member's name as path parts: () for the root itself. ArchiveError where it leads outside, or is no name.

    `\` separates too: some programs on Windows write it.
    """
    if len(name) > MOST_NAME:
        raise ArchiveError(f"found a name of {len(name):,} characters, expected at most {MOST_NAME:,}")
    parts = re.split(r"[/\\]", name)
    if "\0" in name or ".." in parts or not parts[0] or re.match(r"[A-Za-z]:", name):
        raise ArchiveError(f"found {shortened(name)!r}, expected names inside the archive")
    return tuple(part for part in parts if part not in ("", "."))


def new_member(name, kind, size, date, entry, encrypted=False):
    """Member of the name that stands in the archive; ArchiveError where that leads outside"""
    return Member(printable(name), parts_of(name), kind, size, encrypted, date, entry)


def too_many(count):
    """ArchiveError where there are more members than anybody hands in."""
    if count > MOST_MEMBERS:
        raise ArchiveError(f"found more than {MOST_MEMBERS:,} members, expected fewer")


@contextlib.contextmanager
def one_error():
    """Whatever goes wrong inside, as an ArchiveError.

    Damage shows as any error of zlib, bz2, lzma, struct, tarfile and zipfile, and as those of ordinary code that was
    given absurd numbers: MemoryError, RecursionError, OverflowError, KeyError. A list of them would not be complete.
    """
    try:
        yield
    except ArchiveError:
        raise
    except MemoryError:
        raise ArchiveError("found an archive that needs more memory than there is, expected a smaller one") from None
    except Exception as error:
        reason = printable(" ".join(str(error).split()))[:200] or type(error).__name__
        raise ArchiveError(f"found a damaged archive ({reason}), expected a zip or tar file") from None


class Archive:
    """Members of an archive, and their content. `members` is in the archive's order."""

    members = ()

    def close(self):
        """Of what this object opened itself; not of the file that it was given."""

    def pieces(self, member):
        """Yields the content in pieces of bounded size. ArchiveError where it is no readable file."""
        with one_error():
            if member.kind != FILE:
                raise ArchiveError(f"{shortened(member.name)}: found {member.kind}, expected a file")
            yield from self._pieces(member)

    def _pieces(self, member):
        raise NotImplementedError

    def read(self, member, most):
        """The content, bytes. ArchiveError, before more than that is unpacked, where it has more than `most` bytes."""
        if member.size > most:
            raise ArchiveError(f"{shortened(member.name)}: found {member.size:,} bytes, expected at most {most:,}")
        content = bytearray()
        for piece in self.pieces(member):
            content += piece
            if len(content) > most:
                raise ArchiveError(f"{shortened(member.name)}: found more than {most:,} bytes, expected fewer")
        return bytes(content)
