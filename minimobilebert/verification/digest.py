"""Hashes of the bits of arrays and numbers."""

import hashlib
import struct

import numpy as np

SHOWN = 12  # hexadecimal digits (48 bits); equal hashes of different results are very improbable


def _add(digest, value):
    if isinstance(value, dict):
        for name in sorted(value):
            digest.update(name.encode())
            _add(digest, value[name])
    elif isinstance(value, (list, tuple)):
        for part in value:
            _add(digest, part)
    elif isinstance(value, np.ndarray):
        digest.update(f"{value.dtype.str}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, (float, np.floating)):
        digest.update(struct.pack("<d", float(value)))
    elif isinstance(value, (bool, int, np.integer)):
        digest.update(str(int(value)).encode())
    elif value is not None:
        digest.update(str(value).encode())


def digest_of(values):
    """Arrays, numbers, and dicts, lists and tuples of them -> a short hash of their bits"""
    digest = hashlib.sha256()
    _add(digest, values)
    return digest.hexdigest()[:SHOWN]
