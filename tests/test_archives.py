"""Archives of others: what is read is what was packed, in bounded memory; whatever else they hold is one line."""

import bz2
import contextlib
import io
import lzma
import os
import random
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib

import pytest

from minimobilebert.support import tar_files, zip_files
from minimobilebert.support.archives import ArchiveError, open_archive

RNG = random.Random(1)
CONTENTS = {"a/x.py": RNG.randbytes(200_000) + b"x" * 2_000_000, "a/empty.py": b"", "a/é.py": b"y = 1\n"}
TAR_MODES = ("w", "w:gz", "w:bz2", "w:xz")
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def zipped(contents=CONTENTS, method=zipfile.ZIP_DEFLATED, modes=None):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in contents.items():
            info = zipfile.ZipInfo(name)
            info.compress_type, info.external_attr = method, (modes or {}).get(name, 0o644) << 16
            archive.writestr(info, content)
    return out.getvalue()


def tarred(contents=CONTENTS, mode="w:gz", kinds=None, prefix=""):
    out, kinds = io.BytesIO(), kinds or {}
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(prefix + name)
            info.type, info.size = kinds.get(name, tarfile.REGTYPE), len(content)
            info.linkname = "/etc/passwd" if name in kinds else ""
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def read(data, most=10**7):
    with open_archive(data) as archive:
        return {"/".join(m.parts): archive.read(m, most) for m in archive.members if m.kind == "a file"}


@pytest.mark.parametrize("pack", [
    *(lambda method=method: zipped(method=method) for method in ZIP_METHODS),
    *(lambda mode=mode: tarred(mode=mode) for mode in TAR_MODES),
    lambda: b"#!/bin/sh\nexit\n" + zipped(),  # a self-extracting one
    lambda: tarred(mode="w:gz", prefix="./"),  # as `tar -czf x.tar.gz .` writes it
    lambda: tarred(mode="w", contents={**CONTENTS, "a/inner.zip": zipped({"b.py": b"no"})}),  # ends as a zip does
    lambda: zipped({name.replace("/", "\\"): content for name, content in CONTENTS.items()}),
])  # fmt: skip
def test_what_was_packed_comes_out(pack):
    found = read(pack())
    assert {name: found[name] for name in CONTENTS} == CONTENTS


def damaged_member(method):
    """A zip whose member's first compressed bytes are nonsense, under a right list of members"""
    data = bytearray(zipped({"x.py": b"hello " * 1000}, method))
    start = 30 + len("x.py") + (9 if method == zipfile.ZIP_LZMA else 0)
    data[start : start + 8] = b"\xff" * 8
    return bytes(data)


def with_dictionary(size):
    data = bytearray(zipped({"x.py": b"hello " * 1000}, zipfile.ZIP_LZMA))
    data[39:43] = struct.pack("<I", size)
    return bytes(data)


def xz_with_dictionary(code):
    """An .xz whose LZMA2 filter asks for a dictionary of 4 GB (code 40); its header's checksum is right"""
    header = bytearray(lzma.compress(tarred(mode="w"), preset=0))
    header[16] = code
    header[20:24] = struct.pack("<I", zlib.crc32(bytes(header[12:20])))
    return bytes(header)


def flagged(flag):
    data = bytearray(zipped({"x.py": b"hello"}))
    data[6] |= flag
    data[data.index(b"PK\1\2") + 8] |= flag
    return bytes(data)


def with_method(method):
    data = bytearray(zipped({"x.py": b"hello"}))
    data[8] = data[data.index(b"PK\1\2") + 10] = method
    return bytes(data)


def claims(size):
    """A zip that claims another size for its member than it has"""
    data = zipped({"x.py": b"\0" * 1_000_000})
    return data.replace(struct.pack("<I", 1_000_000), struct.pack("<I", size))


def negative_tar():
    """A header whose size is minus one block: tarfile would read it again and again."""
    data = bytearray(tarred({"x.py": b"hello"}, mode="w"))
    data[124:136] = b"\xff" * 10 + b"\xfe\x00"
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


def chain_of_long_names(count=20_000):
    block = tarfile.TarInfo("././@LongLink")
    block.type, block.size = tarfile.GNUTYPE_LONGNAME, 5
    return (block.tobuf(tarfile.GNU_FORMAT) + b"name".ljust(512, b"\0")) * count


LINK = stat.S_IFLNK | 0o777
REFUSED = {
    "zip that climbs": (lambda: zipped({"../x.py": b""}), "found '../x.py', expected names inside the archive"),
    "zip that climbs inside": (lambda: zipped({"a/../../x.py": b""}), "found 'a/../../x.py'"),
    "zip that climbs with backslashes": (lambda: zipped({"..\\x.py": b""}), "found '..\\\\x.py'"),
    "zip with an absolute path": (lambda: zipped({"/etc/x.py": b""}), "found '/etc/x.py'"),
    "zip with a share's path": (lambda: zipped({"\\\\server\\x.py": b""}), "expected names inside"),
    "zip with a drive": (lambda: zipped({"C:x.py": b""}), "found 'C:x.py'"),
    "zip with NUL": (lambda: zipped({"xQ.py": b""}).replace(b"xQ.py", b"x\0.py"), "found 'x\\\\x00.py'"),
    "zip with a very long name": (lambda: zipped({"x/" * 20_000 + "x.py": b""}), "found a name of 40,004 characters"),
    "tar that climbs": (lambda: tarred({"../x.py": b""}), "found '../x.py'"),
    "tar with an absolute path": (lambda: tarred({"/x.py": b""}), "found '/x.py'"),
    "tar with a very long name": (lambda: tarred({"x/" * 20_000 + "x.py": b""}), "found a name of 40,004 characters"),
    "zip with a link": (lambda: zipped({"x.py": b"/etc/passwd"}, modes={"x.py": LINK}), "x.py: found a link, expected a file"),
    "zip with a pipe": (lambda: zipped({"x.py": b""}, modes={"x.py": stat.S_IFIFO}), "x.py: found a device or pipe"),
    "tar with a link": (lambda: tarred({"x.py": b""}, kinds={"x.py": tarfile.SYMTYPE}), "x.py: found a link"),
    "tar with a hard link": (lambda: tarred({"x.py": b""}, kinds={"x.py": tarfile.LNKTYPE}), "x.py: found a link"),
    "tar with a device": (lambda: tarred({"x.py": b""}, kinds={"x.py": tarfile.BLKTYPE}), "x.py: found a device"),
    "tar with a pipe": (lambda: tarred({"x.py": b""}, kinds={"x.py": tarfile.FIFOTYPE}), "x.py: found a device or pipe"),
    **{f"damaged member, method {method}": (lambda method=method: damaged_member(method), "damaged") for method in ZIP_METHODS},
    "encrypted": (lambda: flagged(1), "x.py: found an encrypted file"),
    "encrypted strongly": (lambda: flagged(64), "x.py: found an encrypted file"),
    "deflate64": (lambda: with_method(9), "x.py: found compression method 9"),
    "zstd in zip": (lambda: with_method(93), "x.py: found compression method 93"),
    "another method in front of the member": (lambda: zipped({"x.py": b"h"}).replace(b"PK\3\4\x14\0\0\0\x08", b"PK\3\4\x14\0\0\0\x00"),
                                              "x.py: found a damaged header"),
    "LZMA dictionary of 4 GB": (lambda: with_dictionary(2**32 - 1), "LZMA dictionary of 4,294,967,295 bytes"),
    "LZMA properties": (lambda: damaged_member(zipfile.ZIP_LZMA)[:38] + b"\xff" + damaged_member(zipfile.ZIP_LZMA)[39:], "damaged"),
    "xz dictionary of 4 GB": (lambda: xz_with_dictionary(40), "damaged archive (Memory usage limit exceeded)"),
    "claims less than it has": (lambda: claims(10), "x.py: found more than the 10 bytes that the archive claims"),
    "claims more than it has": (lambda: claims(2_000_000), "x.py: found damaged content"),
    "claims what is too much": (lambda: claims(4_000_000_000), "x.py: found 4,000,000,000 bytes, expected at most"),
    "wrong checksum": (lambda: zipped({"x.py": b"hello"}).replace(struct.pack("<I", zlib.crc32(b"hello")), b"\1\2\3\4"),
                       "x.py: found damaged content"),
    "zip without its end": (lambda: zipped()[:-60], "found a zip file without its end"),
    "a list of members of 100 MB": (lambda: zipped()[:-10] + struct.pack("<IIH", 10**8, 0, 0), "found a list of members of 100,000,000"),
    "tar cut short": (lambda: tarred(mode="w")[:100_000], "damaged"),
    "gzip cut short": (lambda: tarred(mode="w:gz")[:100_000], "the data ends early"),
    "bzip2 cut short": (lambda: tarred(mode="w:bz2")[:100_000], "the data ends early"),
    "xz cut short": (lambda: tarred(mode="w:xz")[:100_000], "the data ends early"),
    "tar of negative size": (negative_tar, "damaged"),
    "tar of nothing but long names": (chain_of_long_names, "damaged archive"),
    "gzip of something else": (lambda: __import__("gzip").compress(b"hello" * 1000), "found neither zip nor tar"),
    "7z": (lambda: b"7z\xbc\xaf'\x1c" + bytes(100), "found a 7z archive, expected .zip, .tar"),
    "rar": (lambda: b"Rar!\x1a\x07\x01\0" + bytes(100), "found a RAR archive"),
    "zstd": (lambda: b"\x28\xb5\x2f\xfd" + bytes(100), "found a Zstandard file"),
    "compress": (lambda: b"\x1f\x9d" + bytes(100), "found a file of compress"),
    "empty": (lambda: b"", "found an empty file"),
    "something else": (lambda: b"hello", "found neither zip nor tar"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_whatever_is_wrong_is_one_line(case):
    make, words = REFUSED[case]
    with pytest.raises(ArchiveError) as caught:
        with open_archive(make()) as archive:
            for member in archive.members:
                archive.read(member, 5_000_000)
    assert words in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_too_many_members_are_refused_before_they_are_read(monkeypatch):
    for module in (zip_files, tar_files):
        monkeypatch.setattr(module, "too_many", lambda count: __import__(
            "minimobilebert.support.archive_members", fromlist=["x"]).too_many(count + 99_990))  # fmt: skip
    few, many = ({f"{i}.py": b"" for i in range(count)} for count in (10, 11))
    for pack in (zipped, tarred):
        assert len(read(pack(few))) == 10
        with pytest.raises(ArchiveError, match="found more than 100,000 members"):
            read(pack(many))


BOMBS = """
import bz2, io, lzma, resource, struct, sys, zipfile, zlib
from minimobilebert.support.archives import ArchiveError, open_archive
stream = bz2.BZ2Compressor()
packed = b"".join(stream.compress(bytes(1 << 20)) for _ in range(130)) + stream.flush()
header = struct.pack("<4s5H3L2H", b"PK\\3\\4", 46, 0, 12, 0, 0, 0, len(packed), 1000, 4, 0) + b"x.py"
entry = struct.pack("<4s6H3L5H2L", b"PK\\1\\2", 46, 46, 0, 12, 0, 0, 0, len(packed), 1000, 4, 0, 0, 0, 0, 0, 0) + b"x.py"
end = struct.pack("<4s4H2LH", b"PK\\5\\6", 0, 0, 1, 1, len(entry), len(header) + len(packed), 0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for data in (header + packed + entry + end, packed):
    try:
        with open_archive(data) as archive:
            archive.read(archive.members[0], 2_000_000)
    except ArchiveError as error:
        print(error)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(grown // 1024 < 64, grown // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux does it")
def test_a_bomb_of_bzip2_takes_no_memory():
    """130 MB in a hundred bytes or so, which claim to be 1,000; as a tar they are stopped at a limit."""
    small = BOMBS.replace(
        "stream =", "import minimobilebert.support.tar_files as t; t.MOST_UNPACKED = 50 << 20\nstream ="
    )
    done = subprocess.run([sys.executable, "-c", small], capture_output=True, text=True, check=True)
    first, second, memory = done.stdout.splitlines()
    assert "found more than the 1,000 bytes" in first and "found more than 52,428,800 bytes of content" in second
    assert memory.startswith("True"), memory


def test_several_streams_are_one_content():
    parts = [tarred(mode="w")[:50_000], tarred(mode="w")[50_000:]]
    for compress in (bz2.compress, lzma.compress, lambda data: zlib.compress(data, wbits=31)):
        assert read(b"".join(map(compress, parts))) == CONTENTS
        assert read(b"".join(map(compress, parts)) + bytes(1000)) == CONTENTS  # padded with zeros, as on tapes


def test_files_that_are_none_are_not_opened(tmp_path):
    with pytest.raises(ValueError, match="expected a file"), open_archive(tmp_path):
        pass
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.zip")
        with pytest.raises(ValueError, match="found a pipe"), open_archive(tmp_path / "pipe.zip"):
            pass
    with pytest.raises(FileNotFoundError), open_archive(tmp_path / "none.zip"):
        pass


def test_errors_of_the_caller_stay_what_they_are():
    with pytest.raises(KeyError), open_archive(zipped()):
        raise KeyError("mine")


def test_damage_anywhere_is_noticed_or_does_no_harm():
    """Every byte of two small archives, changed: an ArchiveError, or the right content under a name."""
    contents = {"a.py": b"abc" * 30, "b.py": b"def" * 30}
    for data in (zipped(contents), zipped(contents, zipfile.ZIP_LZMA), zipped(contents, zipfile.ZIP_BZIP2)):
        for place in range(len(data)):
            changed = bytearray(data)
            changed[place] ^= 1 << place % 8
            with contextlib.suppress(ArchiveError):
                assert set(read(bytes(changed)).values()) <= set(contents.values()), place
