"""`evaluate` for a model that was fine-tuned on a table of the reader's own (table_job.py).

The rows that the run kept for scoring, or another labelled table: scores, and what details.py lists.
"""

import dataclasses
import pathlib

from ..pipeline.run import begun_with
from ..support.files import path_of
from ..support.tables import aligned
from .report import write_evaluation_report
from .saved_model import load_for_table
from .table_job import TableJob


def _as_in_training(files, trained, model):
    """The TaskFiles with which the run was trained. ValueError where a file has changed since."""
    dev = trained["dev_file"] and path_of(trained["dev_file"])
    encoding = files.encoding or trained["encoding"]
    files = dataclasses.replace(files, data=path_of(trained["data"]), dev_file=dev, encoding=encoding)
    known = begun_with(model)
    for name, found in files.contents([pathlib.Path(path) for path in (files.data, files.dev_file) if path]).items():
        if known.get(name) != found:
            raise ValueError(
                f"{name}: found other contents than when {model} was trained, expected the same, or other rows would be"
                " for scoring (--data names a table)"
            )
    return files


def evaluate(*, model, files, report=None, **changes):
    """Score a model on a labelled table, or on what its run kept for scoring -> dict; see `format_evaluation`

    report: the path of an HTML page to write about it, or None
    changes: fields of FineTuningSettings; None is the value of the run
    """
    saved, files, settings, trained = load_for_table(model, files, changes)
    classes = None
    if files.data or not trained:
        classes = [] if files.regression else saved.labels or [str(n) for n in range(saved.num_labels)]
    else:
        files = _as_in_training(files, trained, model)
    job = TableJob(settings, files, saved, all_for_scoring=classes)
    details = job.details(job.logits(saved.params, saved.config))
    if report:
        write_evaluation_report(report, model, details)
    found = details["dev"]
    result = {"rows": found["rows"], **found["scores"]}
    if job.labels is not None:
        result |= {name: found[name] for name in ("classes", "confusion", "calibration", "worst")}
    return result


def format_evaluation(result):
    """What `evaluate` found as text: scores, a row a class, the confusion matrix of few classes, the worst mistakes."""
    lines = [f"{name}  {value:.4f}" if type(value) is float else f"{name}  {value:,}"
             for name, value in result.items() if type(value) in (float, int)]  # fmt: skip
    if "classes" not in result:
        return "\n".join(lines)
    rows = [["class", "rows", "precision", "recall", "F1"]]
    rows += [[c["name"], f"{c['rows']:,}", *(f"{c[name]:.3f}" for name in ("precision", "recall", "f1"))]
             for c in result["classes"]]  # fmt: skip
    lines += ["", *aligned(rows, ruled=True)]
    names = [c["name"] for c in result["classes"]]
    if len(names) <= 12:
        table = [["label \\ prediction", *names]]
        table += [[name, *map(str, counts)] for name, counts in zip(names, result["confusion"], strict=True)]
        lines += ["", *aligned(table, ruled=True)]
    rows = [["confidence", "rows", "right"]]
    rows += [[f"{c['confidence']:.3f}", f"{c['rows']:,}", f"{c['accuracy']:.3f}"] for c in result["calibration"]]
    lines += ["", *aligned(rows, ruled=True)]
    if result["worst"]:
        lines += ["", "mistakes that the model was surest of (confidence, label -> prediction, text):"]
        for m in result["worst"]:
            texts = "  ".join(repr(m[name][:100]) for name in ("text", "text_b") if name in m)
            lines.append(f"{m['confidence']:.3f}  {m['label']} -> {m['prediction']}  {texts}")
    return "\n".join(lines)
