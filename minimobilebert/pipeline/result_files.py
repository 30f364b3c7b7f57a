"""The files with results that a run reads back, each with its shape: summaries, scores, latencies, metrics.

Results are read to be printed, so a file that somebody edited or cut must end in one line here and not in a table.
"""

import pathlib

from ..support.shapes import ANY, Integer, Number
from ..support.structured_files import read_json, read_json_lines

_SHARE, _SECONDS = Number(0, 1), Number(0)
SCORES = {"mlm_loss": Number(0), "mlm_accuracy": _SHARE, "nsp_accuracy": _SHARE}
_MODEL = {**SCORES, "parameters": Integer(1), "task_accuracy": (_SHARE, None)}
RUN_SUMMARY = {
    "seed": Integer(0),
    "settings": {"strategy": str, str: ANY},
    "seconds": {"total": _SECONDS, str: _SECONDS},
    "teacher": _MODEL,
    "student": _MODEL,
    "student_from_scratch": _MODEL,
    "unigram_mlm_loss": Number(0),
    "nsp_majority_accuracy": _SHARE,
    "task_majority_accuracy": (_SHARE, None),
    str: ANY,
}
# `selection` is null where the score that selects was no number.
EVALUATION = {
    "step": Integer(1),
    "selection": (float, None),
    "epoch": Integer(1),
    "scores": {str: {str: float}},
    "seconds": _SECONDS,
}
FINE_TUNING_SUMMARY = {
    "task": str,
    "best": EVALUATION,
    "evaluations": [EVALUATION],
    "settings": {str: ANY},
    "rows": Integer(1),
    "steps": Integer(1),
    "seconds": {"reading": _SECONDS, "training": _SECONDS, "evaluation": _SECONDS},
}
# What later commands ask of the config.json of a fine-tuning run.
FINE_TUNING_CONFIG = {
    "start_model": str,
    "task": str,
    "max_length": Integer(1),
    "stride": Integer(1),
    "max_query": Integer(1),
    "split_articles": (Integer(1), None),
    "train_file": (str, None),
    str: ANY,
}
_BLOCK = {"milliseconds": _SECONDS, "ratio": _SECONDS, "ratio_low": _SECONDS, "ratio_high": _SECONDS}
BLOCKS = ("layer_norm-gelu", "layer_norm-relu", "no_norm-gelu", "no_norm-relu")
LATENCIES = {str: dict.fromkeys(BLOCKS, _BLOCK)}


def read_result(path, shape):
    """A file of results -> its value. ValueError, one line, where it is damaged or of another shape."""
    try:
        return read_json(path, shape)
    except ValueError as error:
        raise ValueError(f"{error}; delete the file to compute it anew") from None


def read_metrics(folder):
    """The lines of `metrics.jsonl` in a stage's folder -> list of dicts, empty where the run has no such stage"""
    file = pathlib.Path(folder) / "metrics.jsonl"
    return read_json_lines(file, {"step": Integer(1), str: float}) if file.exists() else []
