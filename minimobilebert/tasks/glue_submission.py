"""Submission files for gluebenchmark.com: one table per test split.

    index<TAB>prediction
    0<TAB>not_entailment

`index` repeats the ids of the test file. A prediction is a label as in the training file (`entailment`, `1`); for STS-B
it is a number with three decimals, clipped to 0 to 5. The site also accepts WNLI.tsv and AX.tsv (diagnostics), which
this project does not write.
"""

import math

from ..support.files import write_text


def submission_name(task, split):
    """The file name for a test split: `SST-2.tsv`, `MNLI-m.tsv`, `MNLI-mm.tsv`"""
    if split not in task.test_splits:
        raise ValueError(f"{task.name}: found split {split!r}, expected one of {', '.join(task.test_splits)}")
    ending = {"test": "", "test_matched": "-m", "test_mismatched": "-mm"}[split]
    return f"{task.folder}{ending}.tsv"


def _prediction(task, value, location):
    if task.labels is None:
        if not math.isfinite(value):
            raise ValueError(f"{location}: found {value}, expected a finite number")
        return f"{min(max(float(value), 0.0), 5.0):.3f}"
    if not 0 <= value < len(task.labels) or int(value) != value:
        raise ValueError(f"{location}: found class {value}, expected 0 to {len(task.labels) - 1}")
    return task.labels[int(value)]


def write_submission(path, task, ids, predictions):
    """Write one submission file atomically.

    ids: those of the test split, from read_split; predictions: class numbers [N], for STS-B scores [N]
    """
    if len(ids) != len(predictions):
        raise ValueError(f"{path}: found {len(predictions)} predictions, expected {len(ids)}, one an id")
    if len(set(ids)) != len(ids):
        raise ValueError(f"{path}: found an id twice, expected every id once")
    lines = [f"{number}\t{_prediction(task, value, f'{path}: id {number}')}"
             for number, value in zip(ids, predictions, strict=True)]  # fmt: skip
    write_text(path, "\n".join(["index\tprediction", *lines]) + "\n")
