"""Checkpoints: one .npz file, written whole or not at all, and never trusted without its checksum.

The arrays are stored under their names; two more entries hold the metadata (JSON) and a sha256 over every
name, type, shape and byte. Nothing is ever unpickled.
"""

import hashlib
import json
import pathlib
import zipfile

import numpy as np

from ..files import replacing

_METADATA, _CHECKSUM = "__metadata__", "__sha256__"


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, or belongs to another configuration. One line says which."""


def _checksum(arrays):
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data if array.size else b"")
    return np.frombuffer(digest.digest(), np.uint8)


def save_checkpoint(path, arrays, metadata):
    """Write arrays {name: array} and metadata (anything JSON can hold) to `path`.

    Whatever happens, `path` holds either the old checkpoint or the new one. OSError, naming the file, where the disk
    is full.
    """
    entries = {**arrays, _METADATA: np.frombuffer(json.dumps(metadata).encode(), np.uint8)}
    entries[_CHECKSUM] = _checksum(entries)
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **entries)


def load_checkpoint(path):
    """-> arrays {name: array}, metadata. CheckpointError where the file is missing, cut short or edited."""
    path = pathlib.Path(path)
    if not path.exists():
        raise CheckpointError(f"{path}: found no file, expected a checkpoint")
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            entries = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError) as error:
        # NumPy takes whatever it does not know for a pickle, and would advise to trust it.
        reason = "no .npz" if "pickle" in str(error) else error
        raise CheckpointError(f"{path}: found a damaged file ({reason}), expected a checkpoint") from None
    if _CHECKSUM not in entries or _METADATA not in entries:
        raise CheckpointError(f"{path}: found an .npz file without checksum, expected a checkpoint of this project")
    checksum = entries.pop(_CHECKSUM)
    if not np.array_equal(checksum, _checksum(entries)):
        raise CheckpointError(
            f"{path}: found contents that do not match their checksum, expected an unedited checkpoint"
        )
    metadata = json.loads(entries.pop(_METADATA).tobytes())
    return entries, metadata
