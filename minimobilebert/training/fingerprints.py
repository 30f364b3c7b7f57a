"""Fingerprints: short hashes of contents. Equal contents have equal fingerprints, independent of their storage.

A run records the fingerprints of its inputs, so that a resumed run detects inputs that have changed.
"""

import hashlib
import json

import numpy as np

_DIGITS = 16  # 64 bits: enough against accidents


def of_arrays(arrays):
    """A fingerprint of a list or dict of arrays: their names, dtypes, shapes and contents -> str"""
    digest = hashlib.sha256()
    named = sorted(arrays.items()) if isinstance(arrays, dict) else enumerate(arrays)
    for name, array in named:
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:_DIGITS]


def of_texts(texts):
    """A fingerprint of strings, tuples and lists of them -> str"""
    return hashlib.sha256(json.dumps(texts, ensure_ascii=True).encode()).hexdigest()[:_DIGITS]
