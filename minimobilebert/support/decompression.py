"""Decompress untrusted data, piece by piece, in bounded memory.

    for piece in decompressed(file.read, xz): ...

A few kilobytes of bzip2 may contain gigabytes of zeros, and an LZMA stream may need a dictionary of 4 GB. Therefore
each piece has at most PIECE bytes, and a dictionary of more than MOST_DICTIONARY bytes is an error.
"""

import bz2
import lzma
import zlib

PIECE = 1 << 20
MOST_DICTIONARY = 128 << 20  # the largest preset, xz -9, needs 65 MiB
_CHUNK = 1 << 16


class _Zlib:
    """zlib's decompressor with the interface of bz2 and lzma."""

    def __init__(self, bits):
        self._inner, self._rest = zlib.decompressobj(bits), b""

    eof = property(lambda self: self._inner.eof)
    unused_data = property(lambda self: self._inner.unused_data)
    needs_input = property(lambda self: not self._rest)

    def decompress(self, data, most):
        piece = self._inner.decompress(self._rest + data, most)
        self._rest = self._inner.unconsumed_tail
        return piece


class _Stored:
    """The decompressor for uncompressed data."""

    eof, needs_input, unused_data = False, True, b""

    def decompress(self, data, most):
        return data


def gzip():
    return _Zlib(31)


def deflate():
    return _Zlib(-15)


stored, bzip2 = _Stored, bz2.BZ2Decompressor


def xz():
    return lzma.LZMADecompressor(memlimit=MOST_DICTIONARY)


def lzma_of_zip(properties):
    """properties: 5 bytes of a zip's LZMA member: lc, lp and pb in one byte, then the size of the dictionary"""
    size = int.from_bytes(properties[1:5], "little")
    if size > MOST_DICTIONARY:
        raise ValueError(f"found an LZMA dictionary of {size:,} bytes, expected at most {MOST_DICTIONARY:,}")
    rest, lc = divmod(properties[0], 9)
    pb, lp = divmod(rest, 5)
    filters = {"id": lzma.FILTER_LZMA1, "dict_size": max(size, 4096), "lc": lc, "lp": lp, "pb": pb}
    return lambda: lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[filters])


def decompressed(read, make, many=True):
    """Yields pieces of at most PIECE bytes.

    read(n) returns up to n compressed bytes, b"" at the end; make() returns a decompressor for one stream; many: there
    may be several streams, as in files of gzip, bzip2 and xz. EOFError if the last stream is truncated.
    """
    decompressor, data = make(), read(_CHUNK)
    while True:
        piece = decompressor.decompress(data, PIECE)
        if piece:
            yield piece
        if decompressor.eof:
            data = decompressor.unused_data.lstrip(b"\0") if many else b""  # zeros may follow a stream
            while many and not data and (more := read(_CHUNK)):
                data = more.lstrip(b"\0")
            if not data:
                return
            decompressor = make()
        elif decompressor.needs_input:
            data = read(_CHUNK)
            if not data and not piece:
                if isinstance(decompressor, _Stored):
                    return
                raise EOFError("the data ends early")
        else:
            data = b""
