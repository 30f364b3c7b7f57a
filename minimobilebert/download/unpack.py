"""Unpack the wanted members of an archive into a new folder, all or none: GLUE's tables, the files of a model.

We extract only the wanted members, by their full names; support/archives.py rejects an archive with paths that lead
outside. The size limit applies to the unpacked bytes, not to the size in the archive's header.
"""

import pathlib

from ..support.archives import FILE, ArchiveError, open_archive
from ..support.files import new_folder

LIMIT = 4 << 30  # bytes; MNLI, the largest, has tables of some hundred megabytes


def unpack(archive, inside, names, folder, limit=LIMIT):
    """Write the members `inside/NAME` of an archive as `folder/NAME`; `folder` must be new or empty.

    names: of files, or of files in a folder: "part/file".

    ValueError for a damaged or encrypted archive, paths that lead outside, a link, a missing file, or more than `limit`
    bytes; `folder` is then unchanged.
    """
    left = limit
    try:
        with open_archive(archive) as opened, new_folder(folder) as unfinished:
            for name in names:
                wanted = pathlib.PurePosixPath(inside, name).parts
                found = [member for member in opened.members if member.parts == wanted]
                if len(found) != 1:
                    raise ArchiveError(f"found {len(found)} files {inside}/{name}, expected one")
                if found[0].kind != FILE or found[0].encrypted:
                    raise ArchiveError(f"{inside}/{name}: found a link or an encrypted file, expected neither")
                (unfinished / name).parent.mkdir(exist_ok=True)
                with open(unfinished / name, "wb") as out:
                    for piece in opened.pieces(found[0]):
                        left -= len(piece)
                        if left < 0:
                            raise ArchiveError(f"found more than {limit:,} bytes of content, expected fewer")
                        out.write(piece)
    except ArchiveError as error:
        raise ValueError(f"{archive}: {error}") from None
