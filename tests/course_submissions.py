"""What the tests of the course hand in: files with the functions of lesson 03's NoNorm tasks."""

HEAD = """
from typing import NamedTuple

import numpy as np

from ..kernels import nonorm as kernel


class NoNormCache(NamedTuple):
    x: np.ndarray
    weight: np.ndarray

"""
FORWARD = """
def nonorm_forward(x, weight, bias):
    return weight * x + bias, NoNormCache(x, weight)
"""
BACKWARD = """
def nonorm_backward(dy, cache):
    tokens = tuple(range(dy.ndim - 1))
    return dy * cache.weight, (dy * cache.x).sum(axis=tokens), dy.sum(axis=tokens)
"""
FILE = "minimobilebert/ops/nonorm.py"


def nonorm_file(forward=FORWARD, backward=BACKWARD):
    return HEAD + forward + backward


def bodies(body):
    """Both functions with one body, written without indentation"""
    text = "\n".join("    " + line for line in body.strip("\n").splitlines())
    return nonorm_file(
        f"\ndef nonorm_forward(x, weight, bias):\n{text}\n", f"\ndef nonorm_backward(dy, cache):\n{text}\n"
    )


def hand_in(folder, text, file=FILE):
    """A folder with one file -> the folder"""
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8") if isinstance(text, str) else path.write_bytes(text)
    return folder
