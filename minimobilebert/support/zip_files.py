"""Zip files. zipfile reads the list of members; this module decompresses them.

zipfile would pass 64 KB of bzip2 to the decompressor at once, which may expand to gigabytes, and it would allocate any
dictionary that an LZMA member requests.
"""

import stat
import struct
import zipfile
import zlib

from .archive_members import FILE, FOLDER, LINK, OTHER, Archive, ArchiveError, new_member, shortened, too_many
from .decompression import bzip2, decompressed, deflate, lzma_of_zip, stored

MOST_DIRECTORY = 32 << 20  # bytes of the list of members, which zipfile reads at once
_LOCAL = struct.Struct("<4s5H3L2H")  # the header before a member's data
_METHODS = {zipfile.ZIP_STORED: stored, zipfile.ZIP_DEFLATED: deflate, zipfile.ZIP_BZIP2: bzip2}


def directory_size(file):
    """The size of the list of members in bytes, according to the end of the file."""
    file.seek(0, 2)
    file.seek(max(0, file.tell() - 65_557))  # the longest comment, and the record before it
    tail = file.read()
    end, end64 = tail.rfind(b"PK\5\6"), tail.rfind(b"PK\6\6")
    sizes = [int.from_bytes(tail[end + 12 : end + 16], "little")] if end >= 0 else []
    sizes += [int.from_bytes(tail[end64 + 40 : end64 + 48], "little")] if end64 >= 0 else []
    return max((size for size in sizes if size != 0xFFFFFFFF), default=0)


class ZipArchive(Archive):
    def __init__(self, file):
        if (size := directory_size(file)) > MOST_DIRECTORY:
            raise ArchiveError(f"found a list of members of {size:,} bytes, expected at most {MOST_DIRECTORY:,}")
        self._file = file
        # Read only the list; the caller closes the file.
        entries = zipfile.ZipFile(file).infolist()
        too_many(len(entries))
        self.members = [
            new_member(e.orig_filename, _kind(e), e.file_size, e.date_time, e, encrypted=bool(e.flag_bits & 0x41))
            for e in entries
        ]

    def _pieces(self, member):
        entry, name = member.entry, shortened(member.name)
        if member.encrypted:
            raise ArchiveError(f"{name}: found an encrypted file, expected one without a password")
        self._file.seek(entry.header_offset)
        signature, _, _, method, *_, name_length, extra_length = _LOCAL.unpack(self._file.read(_LOCAL.size))
        if signature != b"PK\3\4" or method != entry.compress_type:
            raise ArchiveError(f"{name}: found a damaged header, expected the one that the list of members names")
        at = entry.header_offset + _LOCAL.size + name_length + extra_length
        end = at + entry.compress_size
        make = _METHODS.get(method)
        if method == zipfile.ZIP_LZMA:
            self._file.seek(at)
            make = lzma_of_zip(self._file.read(9)[4:])  # after 2 bytes of version and 2 of their own length
            at += 9
        if make is None:
            raise ArchiveError(f"{name}: found compression method {method}, expected none, deflate, bzip2 or LZMA")

        def read(count):
            nonlocal at
            self._file.seek(at)
            data = self._file.read(min(count, end - at)) if at < end else b""
            at += len(data)
            return data

        size = crc = 0
        for piece in decompressed(read, make, many=False) if entry.file_size else ():
            size, crc = size + len(piece), zlib.crc32(piece, crc)
            if size > entry.file_size:
                raise ArchiveError(f"{name}: found more than the {entry.file_size:,} bytes that the archive claims")
            yield piece
            if size == entry.file_size:
                break  # LZMA has no end of its own
        if size != entry.file_size or crc != entry.CRC:
            raise ArchiveError(f"{name}: found damaged content (another size or checksum), expected what was packed")


def _kind(entry):
    mode = entry.external_attr >> 16
    if entry.filename.endswith(("/", "\\")) or stat.S_ISDIR(mode):
        return FOLDER
    if stat.S_ISLNK(mode):
        return LINK
    return FILE if stat.S_ISREG(mode) or not stat.S_IFMT(mode) else OTHER
