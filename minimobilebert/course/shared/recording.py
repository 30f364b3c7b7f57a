"""Recorded results of the reference, one file per lesson: arrays, and their structure as JSON, without pickle."""

import json

import numpy as np

from ...support.files import replacing
from ...support.npz import read_npz
from .trial import Replay


def save_recording(path, answers):
    """Write answers {key: (structure, arrays)}, as in Recorder"""
    arrays, structures = {}, {}
    for key, (structure, parts) in answers.items():
        structures[key] = [structure, len(arrays), len(parts)]
        for part in parts:
            arrays[str(len(arrays))] = np.ascontiguousarray(part).reshape(np.shape(part))
    text = np.frombuffer(json.dumps(structures).encode(), np.uint8)
    with replacing(path) as file:
        np.savez(file, structure=text, **arrays)  # not compressed, as read_npz requires


def load_recordings(course):
    """The recordings of a student edition as one Replay. ValueError with the file's name if one is damaged."""
    answers = {}
    for lesson in course.lessons:
        path = course.root / "lessons" / lesson.folder / "recorded.npz"
        if not path.exists():
            continue
        try:
            arrays = read_npz(path)
            for key, (structure, first, count) in json.loads(arrays["structure"].tobytes()).items():
                answers[key] = structure, [arrays[str(i)] for i in range(first, first + count)]
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, MemoryError) as error:
            raise ValueError(f"{path}: damaged ({type(error).__name__}), expected the file that came with the"
                             " edition") from None  # fmt: skip
    return Replay(answers, [course.edition["seed"]])
