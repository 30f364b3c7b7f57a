"""The .npy format, for vectors: written and read in blocks, so that memory does not grow with their number.

    \\x93NUMPY\\x01\\x00   length of the header, 2 bytes   {'descr': '<f4', 'fortran_order': False, 'shape': (9, 384), }
    the numbers, row after row

`numpy.load` reads what `writing_rows` writes. NumPy's own reader runs Python's parser on the header, which fails for
5,000 brackets, and allocates what it says; here the header is matched with a pattern and compared with the file's size.
"""

import contextlib
import math
import os
import re

import numpy as np

from .files import replacing
from .regular_files import open_regular

MAGIC = b"\x93NUMPY\x01\x00"
_LENGTH = 128  # of the whole header; the number of rows is not known before the end, so there is space for its digits
# The header that NumPy writes for numbers.
_HEADER = re.compile(
    rb"\{'descr': '([<>|](?:b1|[iu][1248]|f[248]))', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,19}, ){0,31}(?:\d{1,19},?)?)\), \}[ \n]*"
)


def read_header(file):
    """Read the header of a binary file -> dtype, shape, whether columns come first; None if it is no such header"""
    start = file.read(len(MAGIC) + 2)
    header = file.read(int.from_bytes(start[-2:], "little")) if start[:-2] == MAGIC else b""
    found = _HEADER.fullmatch(header)
    if not found:
        return None
    return np.dtype(found[1].decode()), tuple(map(int, re.findall(rb"\d+", found[3]))), found[2] == b"True"


def _header(rows, columns, dtype):
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}"
    room = _LENGTH - len(MAGIC) - 2
    return MAGIC + room.to_bytes(2, "little") + text.ljust(room - 1).encode() + b"\n"


@contextlib.contextmanager
def writing_rows(path, columns, dtype=np.float32):
    """`with writing_rows(path, 384) as write: write(rows [n, 384])`: the file appears, whole, at the end."""
    dtype, count = np.dtype(dtype).newbyteorder("<"), 0

    with replacing(path) as file:

        def write(rows):
            nonlocal count
            count += len(rows)
            file.write(np.ascontiguousarray(rows, dtype).tobytes())

        file.write(_header(0, columns, dtype))
        yield write
        file.seek(0)
        file.write(_header(count, columns, dtype))


@contextlib.contextmanager
def reading_rows(path, columns):
    """`with reading_rows(path, 384) as rows: rows.read(100)`: the next 100 rows, float32 or float64

    ValueError in one line for another format, another width, another size than the header says.
    """
    with open_regular(path) as file:
        found = read_header(file)
        if not found or found[0].str not in ("<f4", "<f8") or len(found[1]) != 2 or found[2]:
            raise ValueError(f"{path}: found no vectors, expected a .npy file of `embed --out`")
        dtype, shape, _ = found
        if shape[1] != columns:
            raise ValueError(f"{path}: found vectors of {shape[1]} numbers, expected {columns} (the model's)")
        size = os.fstat(file.fileno()).st_size - file.tell()
        if size != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{path}: found {size:,} bytes of numbers, expected those of {shape[0]:,} vectors")
        yield Rows(path, file, dtype, *shape)


class Rows:
    """The rows of an open file, one block after the other."""

    def __init__(self, path, file, dtype, count, columns):
        self.path, self.count = path, count
        self._file, self._dtype, self._columns, self._read = file, dtype, columns, 0

    def read(self, most):
        """The next rows, at most `most` -> [n, columns]. ValueError for a number that is not finite."""
        content = self._file.read(most * self._columns * self._dtype.itemsize)
        rows = np.frombuffer(content, self._dtype).reshape(-1, self._columns)
        if not np.isfinite(rows).all():
            row = self._read + int(np.argmin(np.isfinite(rows).all(axis=1)))
            raise ValueError(f"{self.path}: row {row + 1}: found a number that is not finite, expected none")
        self._read += len(rows)
        return rows
