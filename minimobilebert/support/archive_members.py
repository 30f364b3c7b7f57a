"""The common parts of zip and tar files: members, the rules for their names, and one error.

Archives are untrusted. We never use a name from an archive as a path: the caller finds a member by the parts of its
name and reads it into memory or into its own file. Sizes in an archive are not trusted either.
"""

import contextlib
import re
from typing import NamedTuple

MOST_MEMBERS = 100_000
MOST_NAME = 4096  # no file system has longer paths
FILE, FOLDER, LINK, OTHER = "a file", "a folder", "a link", "a device or pipe"


class ArchiveError(ValueError):
    """An archive or a member cannot be read. The message is one line, without the name of the archive."""


class NotAnArchive(ArchiveError):
    """The file is not an archive."""


class Member(NamedTuple):
    name: str  # the name in the archive, made printable
    parts: tuple  # the parts of its path
    kind: str  # FILE, FOLDER, LINK or OTHER
    size: int  # according to the archive
    encrypted: bool
    date: tuple  # (year, month, day, hour, minute, second), or ()
    entry: object  # the entry of zipfile or tarfile


def printable(text):
    """`text` with control characters and lone surrogates escaped"""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(name, most=120):
    """A name for a message: printable and not too long"""
    text = printable(name)
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-most // 2 :]}"


def parts_of(name):
    r"""A member's name as path parts; () for the root. ArchiveError if it leads outside of the archive or is no name.

    `\` is a separator too, because some programs on Windows write it.
    """
    if len(name) > MOST_NAME:
        raise ArchiveError(f"found a name of {len(name):,} characters, expected at most {MOST_NAME:,}")
    parts = re.split(r"[/\\]", name)
    if "\0" in name or ".." in parts or not parts[0] or re.match(r"[A-Za-z]:", name):
        raise ArchiveError(f"found {shortened(name)!r}, expected names inside the archive")
    return tuple(part for part in parts if part not in ("", "."))


def new_member(name, kind, size, date, entry, encrypted=False):
    """A Member with this name; ArchiveError if the name leads outside of the archive"""
    return Member(printable(name), parts_of(name), kind, size, encrypted, date, entry)


def too_many(count):
    """ArchiveError for more than MOST_MEMBERS members."""
    if count > MOST_MEMBERS:
        raise ArchiveError(f"found more than {MOST_MEMBERS:,} members, expected fewer")


@contextlib.contextmanager
def one_error():
    """Convert any error in this context to an ArchiveError.

    A damaged archive may cause any error of zlib, bz2, lzma, struct, tarfile and zipfile, and also MemoryError,
    RecursionError, OverflowError or KeyError. A list of them would not be complete.
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
    """An archive: its `members` in order, and their content."""

    members = ()

    def close(self):
        """Close the files that this object opened, but not the file that it was given."""

    def pieces(self, member):
        """Yields the content in pieces of bounded size. ArchiveError if it is not a readable file."""
        with one_error():
            if member.kind != FILE:
                raise ArchiveError(f"{shortened(member.name)}: found {member.kind}, expected a file")
            yield from self._pieces(member)

    def _pieces(self, member):
        raise NotImplementedError

    def read(self, member, most):
        """The content as bytes. ArchiveError if it has more than `most` bytes; no more than that are unpacked."""
        if member.size > most:
            raise ArchiveError(f"{shortened(member.name)}: found {member.size:,} bytes, expected at most {most:,}")
        content = bytearray()
        for piece in self.pieces(member):
            content += piece
            if len(content) > most:
                raise ArchiveError(f"{shortened(member.name)}: found more than {most:,} bytes, expected fewer")
        return bytes(content)
