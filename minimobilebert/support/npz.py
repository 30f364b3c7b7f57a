"""Read a .npz file without trusting what it says about itself.

NumPy's reader believes the header of an array, allocates what it asks for (terabytes, if that is what it says), unpacks
whatever compression is named, and may unpickle. Ours are zip files of uncompressed numbers, so every size can be held
against the size of the file before anything is allocated.
"""

import errno
import math
import os
import re
import struct
import zipfile

import numpy as np

from .regular_files import open_regular

_ENCRYPTED = 0x1
_CHUNK = 2**22
_MAGIC = b"\x93NUMPY\x01\x00"
# What NumPy writes for plain numbers. Its own reader runs Python's parser on this text, which 5,000 brackets exhaust.
_HEADER = re.compile(
    rb"\{'descr': '([<>|][biuf]\d{1,2})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,19}, ){0,31}(?:\d{1,19},?)?)\), \}[ \n]*"
)

# What Python's zip reader raises for bytes that are no such file.
_DAMAGE = (ValueError, EOFError, KeyError, IndexError, TypeError, OverflowError, RuntimeError, NotImplementedError,
           struct.error, zipfile.BadZipFile)  # fmt: skip


class DamagedFile(ValueError):
    """Why the file cannot be used, without its name."""


def _read_array(archive, member):
    if member.flag_bits & _ENCRYPTED:
        raise DamagedFile(f"{member.filename} is encrypted")
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise DamagedFile(f"{member.filename} is compressed")
    with archive.open(member) as file:
        start = file.read(len(_MAGIC) + 2)
        header = file.read(int.from_bytes(start[-2:], "little")) if start[:-2] == _MAGIC else b""
        found = _HEADER.fullmatch(header)
        if not found:
            raise DamagedFile(f"{member.filename} is no array of plain numbers")
        dtype, shape = np.dtype(found[1].decode()), tuple(map(int, re.findall(rb"\d+", found[3])))
        size = math.prod(shape) * dtype.itemsize  # of Python's integers, which do not overflow
        if size != member.file_size - file.tell() or max(shape, default=0) >= 2**62:
            raise DamagedFile(f"{member.filename} says {list(shape)} of {dtype} and has other bytes")
        array = np.empty(size, np.uint8)
        for start in range(0, size, _CHUNK):
            array[start : start + _CHUNK] = np.frombuffer(file.read(min(_CHUNK, size - start)), np.uint8)
        if file.read(1):  # the end of a member is where its checksum is compared
            raise DamagedFile(f"{member.filename} goes on behind its numbers")
    return array.view(dtype).reshape(shape, order="F" if found[2] == b"True" else "C")


def read_npz(path):
    """{name: array} of an uncompressed .npz file. DamagedFile with the reason; OSError where it cannot be read."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if not zipfile.is_zipfile(file):
            raise DamagedFile("no .npz")
        try:
            return _read_arrays(file, size)
        except DamagedFile:
            raise
        except OSError as error:  # a place before the file's beginning, where it says that an array is
            if error.errno != errno.EINVAL:
                raise
            raise DamagedFile("it points outside of itself") from None
        except _DAMAGE as error:
            raise DamagedFile(" ".join(str(error).split())[:200] or type(error).__name__) from None


def _read_arrays(file, size):
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len({member.filename for member in members}) < len(members):
            raise DamagedFile("two arrays have one name")
        if sum(member.file_size for member in members) > size:  # members may overlap in a file made for that
            raise DamagedFile(f"its arrays claim more than the file's {size:,} bytes")
        return {member.filename.removesuffix(".npy"): _read_array(archive, member) for member in members}
