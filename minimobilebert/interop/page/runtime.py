"""ONNX Runtime Web: two files of the npm package onnxruntime-web, which the project does not contain.

    ort.wasm.bundle.min.mjs        the JavaScript that the page calls
    ort-wasm-simd-threaded.wasm    operations of ONNX, compiled to WebAssembly; for the CPU only

The package has other builds for graphics cards. They are larger, and the page does not need them. We fetch the package
once, into the user's cache folder, or take a copy of it. The two files are checked in either case, because another
version could compute something else.
"""

import contextlib
import os
import pathlib
import shutil

from ...download.addresses import SOURCES
from ...download.fetch import Unreachable, fetch
from ...download.unpack import unpack
from ...support.files import sha256_of

VERSION = "1.30.0"
PACKAGE = SOURCES["onnxruntime-web"][VERSION][0]
FILES = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
LICENSE = pathlib.Path(__file__).parent / "onnxruntime-web-LICENSE.txt"
BYTES = 15_000_000  # of both files


def cache_folder():
    """Where the package is kept: XDG_CACHE_HOME/minimobilebert or ~/.cache/minimobilebert -> path"""
    if base := os.environ.get("XDG_CACHE_HOME"):
        return pathlib.Path(base) / "minimobilebert"
    with contextlib.suppress(RuntimeError, KeyError):
        return pathlib.Path.home() / ".cache" / "minimobilebert"
    raise ValueError(f"--runtime: found no home folder to keep {PACKAGE.name} in, expected --runtime with the file")


def find_runtime(given=None, file=PACKAGE, **options):
    """Fetch the package, unless it is there or `given` -> path of an archive or a folder

    given: the package as an archive, or unpacked; file: a RemoteFile; options: those of fetch()
    """
    if given is None:
        try:
            return fetch(file, cache_folder(), **options)
        except Unreachable as error:
            raise Unreachable(f"{error}; fetch the file by hand and give it as --runtime FILE") from None
    if not os.path.exists(given):
        raise ValueError(f"{given}: found nothing there, expected {PACKAGE.name} or its folder (--runtime)")
    return pathlib.Path(given)


def write_runtime(source, folder):
    """Write the two files and their licence into a new folder; source: from `find_runtime`"""
    if source.is_dir():
        _copy(source, folder)
    else:
        unpack(source, "package/dist", tuple(FILES), folder)
    for name, expected in FILES.items():
        if (found := sha256_of(folder / name)) != expected:
            raise ValueError(f"{source}: {name}: found sha256 {found}, expected {expected} (onnxruntime-web {VERSION})")
    shutil.copyfile(LICENSE, folder / "LICENSE.txt")


def _copy(source, folder):
    """The files of an unpacked package, in the folder itself or in its part dist/"""
    inside = [part for part in (source / "dist", source) if all((part / name).is_file() for name in FILES)]
    if not inside:
        raise ValueError(f"{source}: found no {' and '.join(FILES)}, expected the package onnxruntime-web {VERSION}")
    folder.mkdir()
    for name in FILES:
        shutil.copyfile(inside[0] / name, folder / name)
