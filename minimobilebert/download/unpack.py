"""GLUE's archives to the folder that read_split reads: only the tables, under names of ours, all or none.

The wanted members are looked up by their full names and written under ours; support/archives.py refuses an archive
with names that lead outside. The limit is on the bytes that come out, not on the size that the archive claims.
"""

import pathlib

from ..support.archives import FILE, ArchiveError, open_archive
from ..support.files import new_folder

LIMIT = 4 << 30  # bytes; MNLI, the largest, has tables of some hundred megabytes


def unpack(archive, inside, names, folder, limit=LIMIT):
    """Write the members `inside/NAME` of an archive as `folder/NAME`; `folder` must be new or empty.

    ValueError: damaged, encrypted or escaping archive, a link among the wanted files, a file that is missing, more
    than `limit` bytes. `folder` is then as it was.
    """
    left = limit
    try:
        with open_archive(archive) as opened, new_folder(folder) as unfinished:
            for name in names:
                wanted = (*pathlib.PurePosixPath(inside).parts, name)
                found = [member for member in opened.members if member.parts == wanted]
                if len(found) != 1:
                    raise ArchiveError(f"found {len(found)} files {inside}/{name}, expected one")
                if found[0].kind != FILE or found[0].encrypted:
                    raise ArchiveError(f"{inside}/{name}: found a link or an encrypted file, expected neither")
                with open(unfinished / name, "wb") as out:
                    for piece in opened.pieces(found[0]):
                        left -= len(piece)
                        if left < 0:
                            raise ArchiveError(f"found more than {limit:,} bytes of content, expected fewer")
                        out.write(piece)
    except ArchiveError as error:
        raise ValueError(f"{archive}: {error}") from None
