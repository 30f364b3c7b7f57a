"""GLUE's archives to the folder that read_split reads: only the tables, under names of ours, all or none.

An archive is somebody else's list of file names. No name from it is ever used as a path here: the wanted members are
looked up by their full names and written under ours. One that has a name leading outside is refused whole, and
the limit is on the bytes that come out, not on the size that the archive claims.
"""

import re
import stat
import zipfile
import zlib

from ..files import new_folder

LIMIT = 4 << 30  # bytes; MNLI, the largest, has tables of some hundred megabytes
_CHUNK = 1 << 20


def _leads_outside(name):
    return re.match(r"[/\\]|[A-Za-z]:", name) or ".." in re.split(r"[/\\]", name)


def unpack(archive, inside, names, folder, limit=LIMIT):
    """Write the members `inside/NAME` of a zip archive as `folder/NAME`; `folder` must be new or empty.

    ValueError: damaged, encrypted or escaping archive, a link among the wanted files, a file that is missing, more
    than `limit` bytes. `folder` is then as it was.
    """
    try:
        with zipfile.ZipFile(archive) as opened, new_folder(folder) as unfinished:
            members = opened.infolist()
            for member in members:
                if _leads_outside(member.orig_filename):
                    raise ValueError(f"{archive}: found {member.orig_filename!r}, expected names inside the archive")
            left = limit
            for name in names:
                found = [member for member in members if member.filename == f"{inside}/{name}"]
                if len(found) != 1:
                    raise ValueError(f"{archive}: found {len(found)} files {inside}/{name}, expected one")
                if found[0].flag_bits & 1 or stat.S_ISLNK(found[0].external_attr >> 16):
                    raise ValueError(f"{archive}: {inside}/{name}: found a link or an encrypted file, expected neither")
                with opened.open(found[0]) as source, open(unfinished / name, "wb") as out:
                    while data := source.read(_CHUNK):
                        left -= len(data)
                        if left < 0:
                            raise ValueError(f"{archive}: found more than {limit:,} bytes of content, expected fewer")
                        out.write(data)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ValueError(f"{archive}: found a damaged archive ({error}), expected a zip file") from None
