"""The result files that commands read, with their shapes: summaries, scores, latencies, metrics.

An edited or truncated file must cause an error of one line when it is read, not a wrong table.
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
# `selection` is null if the selection score was NaN.
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
_CORRELATION = Number(-1, 1)
DISTILLATION_SUMMARY = {
    "wanted": {str: ANY},
    "retention": {str: {"spearman": _CORRELATION, "pearson": _CORRELATION}},
    "seconds": {"total": _SECONDS, str: _SECONDS},
    str: ANY,
}
# The fields of a fine-tuning run's config.json that later commands read.
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
    """The value of a result file. ValueError of one line if it is damaged or has another shape."""
    try:
        return read_json(path, shape)
    except ValueError as error:
        raise ValueError(f"{error}; delete the file to compute it again") from None


def read_metrics(folder):
    """The lines of `metrics.jsonl` in the folder of a stage -> list of dicts, empty if the run has no such stage"""
    file = pathlib.Path(folder) / "metrics.jsonl"
    return read_json_lines(file, {"step": Integer(1), str: float}) if file.exists() else []
