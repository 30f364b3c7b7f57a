"""Read an untrusted .npz file.

NumPy's reader allocates what the header of an array says (perhaps terabytes), accepts all compressions, and may
unpickle. The files of this project are zip files of uncompressed numbers, so we can compare all sizes with the size of
the file before we allocate memory.
"""

import errno
import math
import os
import struct
import zipfile

import numpy as np

from .npy import read_header
from .regular_files import open_regular

_ENCRYPTED = 0x1
_CHUNK = 2**22

# The errors of Python's zip reader for damaged files.
_DAMAGE = (ValueError, EOFError, KeyError, IndexError, TypeError, OverflowError, RuntimeError, NotImplementedError,
           struct.error, zipfile.BadZipFile)  # fmt: skip


class DamagedFile(ValueError):
    """The file cannot be used. The message has the reason, without the name of the file."""


def _read_array(archive, member):
    if member.flag_bits & _ENCRYPTED:
        raise DamagedFile(f"{member.filename} is encrypted")
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise DamagedFile(f"{member.filename} is compressed")
    with archive.open(member) as file:
        found = read_header(file)
        if not found:
            raise DamagedFile(f"{member.filename} is no array of plain numbers")
        dtype, shape, columns_first = found
        size = math.prod(shape) * dtype.itemsize  # Python integers do not overflow
        if size != member.file_size - file.tell() or max(shape, default=0) >= 2**62:
            raise DamagedFile(f"{member.filename} says {list(shape)} of {dtype} and has other bytes")
        array = np.empty(size, np.uint8)
        for start in range(0, size, _CHUNK):
            array[start : start + _CHUNK] = np.frombuffer(file.read(min(_CHUNK, size - start)), np.uint8)
        if file.read(1):  # reading to the end also verifies the checksum
            raise DamagedFile(f"{member.filename} goes on behind its numbers")
    return array.view(dtype).reshape(shape, order="F" if columns_first else "C")


def read_npz(path):
    """{name: array} of an uncompressed .npz file. DamagedFile with the reason; OSError if it cannot be read."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if not zipfile.is_zipfile(file):
            raise DamagedFile("no .npz")
        try:
            return _read_arrays(file, size)
        except DamagedFile:
            raise
        except OSError as error:  # EINVAL: an array's offset is before the start of the file
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
        if sum(member.file_size for member in members) > size:  # the members of a malicious file may overlap
            raise DamagedFile(f"its arrays claim more than the file's {size:,} bytes")
        return {member.filename.removesuffix(".npy"): _read_array(archive, member) for member in members}
