"""Short names of contents: two things with the same fingerprint are the same, wherever and however they are kept.

What a run was begun with is noted by its fingerprint, so that a resumed run notices what has changed in between.
"""

import hashlib
import json

import numpy as np

_DIGITS = 16  # 64 bits: enough against accidents


def of_arrays(arrays):
    """A fingerprint of a list of arrays, or of a dict of them: names, types, shapes and contents -> str"""
    digest = hashlib.sha256()
    named = sorted(arrays.items()) if isinstance(arrays, dict) else enumerate(arrays)
    for name, array in named:
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:_DIGITS]


def of_texts(texts):
    """A fingerprint of strings, tuples and lists of them -> str"""
    return hashlib.sha256(json.dumps(texts, ensure_ascii=True).encode()).hexdigest()[:_DIGITS]
