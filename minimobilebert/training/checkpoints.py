"""Checkpoints: one .npz file, written atomically and verified by a checksum.

The file stores the arrays under their names. Two more entries store the metadata (JSON) and a sha256 over all names,
dtypes, shapes and contents. Loading never unpickles.
"""

import hashlib
import json
import pathlib

import numpy as np

from ..support.files import replacing
from ..support.git_lfs import check_no_pointer
from ..support.npz import DamagedFile, read_npz
from ..support.shapes import ANY, Integer, Number
from ..support.structured_files import parse_json

_METADATA, _CHECKSUM = "__metadata__", "__sha256__"
_METADATA_SHAPE = {"step?": Integer(0), "seconds?": Number(0.0), "configuration": {str: ANY}, str: ANY}


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, or has another configuration. The message is one line."""


def _checksum(arrays):
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data if array.size else b"")
    return np.frombuffer(digest.digest(), np.uint8)


def save_checkpoint(path, arrays, metadata):
    """Write arrays {name: array} and metadata (a JSON value) to `path`.

    The write is atomic: `path` holds either the old checkpoint or the new one. OSError with the file's name if the disk
    is full.
    """
    entries = {**arrays, _METADATA: np.frombuffer(json.dumps(metadata).encode(), np.uint8)}
    entries[_CHECKSUM] = _checksum(entries)
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **entries)


def load_checkpoint(path):
    """-> arrays {name: array}, metadata. CheckpointError if the file is missing, damaged, modified, or has NaN."""
    path = pathlib.Path(path)
    if not path.exists():
        raise CheckpointError(f"{path}: found no file, expected a checkpoint")
    check_no_pointer(path)
    try:
        entries = read_npz(path)
    except DamagedFile as error:
        raise CheckpointError(f"{path}: found a damaged file ({error}), expected a checkpoint") from None
    if _CHECKSUM not in entries or _METADATA not in entries:
        raise CheckpointError(f"{path}: found an .npz file without checksum, expected a checkpoint of this project")
    checksum = entries.pop(_CHECKSUM)
    if not np.array_equal(checksum, _checksum(entries)):
        raise CheckpointError(
            f"{path}: found contents that do not match their checksum, expected an unedited checkpoint"
        )
    try:
        metadata = parse_json(entries.pop(_METADATA).tobytes(), path, _METADATA_SHAPE)
    except ValueError as error:
        raise CheckpointError(str(error)) from None
    check_finite(entries, path)
    return entries, metadata


def check_finite(arrays, where):
    """CheckpointError with the array's name and the index if a number is NaN or infinite; where: for the message"""
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise CheckpointError(f"{where}: {name}: found {array[index]} at {list(index)}, expected finite numbers")
