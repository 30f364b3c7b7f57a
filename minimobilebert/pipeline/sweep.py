"""`sweep`: train both students of a finished run at several learning rates.

The comparison between the distilled student and the student from scratch is fair only if each has its own best learning
rate. This command repeats the last stage of each with other learning rates and prints the held-out losses.
"""

import dataclasses
import pathlib

from ..distributed.whole_runs import held_by_leader, made_on_ranks
from ..kernels.runtime.precision import use_precision
from ..support.locks import claimed
from ..support.tables import markdown
from ..support.terminal import say
from ..training.checkpoints import load_checkpoint
from ..training.manifest import is_finished
from ..training.model_folder import CHECKPOINT
from . import stages
from .evaluation import evaluate_pretraining
from .run import CONFIG, VOCABULARY, Run, read_settings
from .strategies import student_stages, train_student_stage
from .text_data import prepare_text
from .train_tiny import SUMMARY

RATES = (2e-3, 4e-3, 8e-3, 1.2e-2, 1.6e-2)


def _held_out_loss(run, params):
    return evaluate_pretraining(params, run.settings.student_config, run.data.evaluation)["mlm_loss"]


def distil_again(run, teacher, transferred):
    """Repeat the last stage of the strategy, starting with the parameters after transfer -> parameters"""
    return train_student_stage(run, student_stages(run.settings, teacher)[-1], transferred, teacher)


def run(*, folder, out=None, rates=RATES):
    """Train both students of the finished run `folder` at each of `rates`, in folders under `out`.

    -> a list of {"learning_rate", "student", "student_from_scratch"}: held-out masked-word losses.
    """
    folder = pathlib.Path(folder)
    needed = (CONFIG, VOCABULARY, SUMMARY, *(f"{stage}/{CHECKPOINT}" for stage in ("teacher", "transfer")))
    if not is_finished(folder, needed):
        raise ValueError(
            f"{folder}: found no finished run with a transfer stage, expected one: make train-tiny makes runs/tiny"
        )
    settings, text = read_settings(folder)
    out = pathlib.Path(out or folder / "sweep")
    with held_by_leader(claimed(out)), use_precision("float32"):  # as in train_tiny.py
        data = prepare_text(settings, text, folder)
        teacher, transferred = (load_checkpoint(folder / stage / CHECKPOINT)[0] for stage in ("teacher", "transfer"))

        def make(rate):
            return _at_rate(out, settings, text, data, teacher, transferred, rate)

        with made_on_ranks(make, rates):
            return [make(rate) for rate in rates]


def _at_rate(out, settings, text, data, teacher, transferred, rate):
    """Both students at one learning rate -> a row of `run`"""
    changed = dataclasses.replace(settings, distillation_learning_rate=rate, scratch_learning_rate=rate)
    run_at_rate = Run(out / f"rate-{rate:g}", changed, text)
    run_at_rate.use_text(data)
    row = {"learning_rate": rate}
    row["student"] = _held_out_loss(run_at_rate, distil_again(run_at_rate, teacher, transferred))
    row["student_from_scratch"] = _held_out_loss(run_at_rate, stages.train_from_scratch(run_at_rate))
    say(f"rate {rate:g}: distilled {row['student']:.3f}, from scratch {row['student_from_scratch']:.3f}")
    return row


def format_rows(rows):
    """The rows as a Markdown table with the best value of each column in bold."""
    best = {name: min(row[name] for row in rows) for name in ("student", "student_from_scratch")}
    table = [["learning rate", "distilled student", "student from scratch"]]
    for row in rows:
        cells = [f"**{row[n]:.3f}**" if row[n] == best[n] else f"{row[n]:.3f}" for n in best]
        table.append([f"{row['learning_rate']:g}", *cells])
    return "\n".join(markdown(table))
