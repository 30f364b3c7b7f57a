"""`sweep`: is each student trained at its own best learning rate? Train both at several, from one finished run.

The comparison between the distilled student and the one from scratch is fair only if neither is held back by a
learning rate that suits the other. This repeats the last stage of each with other rates and prints the held-out loss.
"""

import dataclasses
import pathlib

from ..files import path_of
from ..support.shapes import OneOf, shape_of
from ..support.structured_files import read_json
from ..terminal import say
from ..training.checkpoints import load_checkpoint
from . import stages
from .evaluation import evaluate_pretraining
from .run import Run
from .settings import TinySettings
from .strategies import student_stages, train_student_stage
from .text_data import prepare_text

RATES = (2e-3, 4e-3, 8e-3, 1.2e-2, 1.6e-2)


def _held_out_loss(run, params):
    return evaluate_pretraining(params, run.settings.student_config, run.data.evaluation)["mlm_loss"]


def distil_again(run, teacher, transferred):
    """The last stage of the run's strategy, from what was transferred -> parameters"""
    return train_student_stage(run, student_stages(run.settings, teacher)[-1], transferred)


def run(*, folder, out=None, rates=RATES):
    """Train both students of the finished run `folder` at each of `rates`, in folders under `out`.

    -> a list of {"learning_rate", "student", "student_from_scratch"}: held-out masked-word losses.
    """
    folder = pathlib.Path(folder)
    if not (folder / "summary.json").exists():
        raise ValueError(f"{folder}: found no finished run, expected one: make train-tiny makes runs/tiny")
    found = read_json(folder / "config.json", {**shape_of(TinySettings), "text": (OneOf("shipped"), [str])})
    text = found.pop("text")
    text = None if text == "shipped" else [path_of(name) for name in text]
    settings = TinySettings(**found)
    data = prepare_text(settings, text, folder)
    teacher, _ = load_checkpoint(folder / "teacher" / "checkpoint-final.npz")
    transferred, _ = load_checkpoint(folder / "transfer" / "checkpoint-final.npz")
    rows = []
    for rate in rates:
        changed = dataclasses.replace(settings, distillation_learning_rate=rate, scratch_learning_rate=rate)
        one = Run(pathlib.Path(out or folder / "sweep") / f"rate-{rate:g}", changed)
        one.use_text(data)
        row = {"learning_rate": rate}
        for name, train in (
            ("student", lambda one=one: distil_again(one, teacher, transferred)),
            ("student_from_scratch", lambda one=one: stages.train_from_scratch(one)),
        ):
            row[name] = _held_out_loss(one, train())
        say(f"rate {rate:g}: distilled {row['student']:.3f}, from scratch {row['student_from_scratch']:.3f}")
        rows.append(row)
    return rows


def format_rows(rows):
    """The rows as a Markdown table, the best of each column marked."""
    best = {name: min(row[name] for row in rows) for name in ("student", "student_from_scratch")}
    lines = ["| learning rate | distilled student | student from scratch |", "|---|---|---|"]
    for row in rows:
        cells = [f"**{row[n]:.3f}**" if row[n] == best[n] else f"{row[n]:.3f}" for n in best]
        lines.append(f"| {row['learning_rate']:g} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)
