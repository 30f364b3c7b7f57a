"""`seeds`: the same run with several seeds, and a table of the mean and spread of its results."""

import pathlib

import numpy as np

from ..distributed.whole_runs import held_by_leader, made_on_ranks
from ..support.files import write_json
from ..support.locks import claimed
from ..support.tables import markdown
from .report import MODELS
from .run import check_no_run
from .train_tiny import run as train_tiny

# Claims that the method should fulfil at classroom size, in nats of held-out masked-word loss (and one accuracy).
CLAIMS = {
    "distilled under scratch by 0.2": lambda s: _loss(s, "student_from_scratch") - _loss(s, "student") >= 0.2,
    "distilled at most 0.1 above teacher": lambda s: _loss(s, "student") - _loss(s, "teacher") <= 0.1,
    "teacher under unigram by 1.8": lambda s: s["unigram_mlm_loss"] - _loss(s, "teacher") >= 1.8,
    "teacher next-sentence accuracy 0.65": lambda s: s["teacher"]["nsp_accuracy"] >= 0.65,
}
COLUMNS = {"mlm_loss": "loss", "nsp_accuracy": "next sentence", "task_accuracy": "era"}
SHORT = {"teacher": "teacher", "student": "distilled", "student_from_scratch": "scratch"}


def _loss(summary, model):
    return summary[model]["mlm_loss"]


def table(summaries):
    """Markdown lines: one row per seed, mean and standard deviation, and the number of seeds that fulfil each claim."""
    heads = [f"{title}: {SHORT[model]}" for title in COLUMNS.values() for model in MODELS]
    lines = [["seed", "loss: unigram", *heads, "minutes"]]
    rows = np.array(
        [
            [s["unigram_mlm_loss"], *(s[m][key] for key in COLUMNS for m in MODELS), s["seconds"]["total"] / 60]
            for s in summaries
        ]
    )
    for summary, row in zip(summaries, rows, strict=True):
        lines.append([summary["seed"], *(f"{value:.3f}" for value in row)])
    for name, values in (("mean", rows.mean(axis=0)), ("std", rows.std(axis=0, ddof=min(1, len(rows) - 1)))):
        lines.append([name, *(f"{value:.3f}" for value in values)])
    lines = [*markdown(lines), ""]
    for claim, holds in CLAIMS.items():
        lines.append(f"- {claim}: {sum(map(holds, summaries))} of {len(summaries)} seeds")
    return "\n".join(lines)


def run(*, seeds=(1, 2, 3, 4, 5), out="runs/seeds", settings=None):
    """Train with each seed in `out/seed-N`, one after the other; finished runs are only read -> the table as text

    Several ranks make whole runs at the same time.
    """
    out = pathlib.Path(out)
    check_no_run(out)

    def make(seed):
        return train_tiny(seed=seed, out=out / f"seed-{seed}", settings=settings)

    with held_by_leader(claimed(out)), made_on_ranks(make, seeds):
        summaries = [make(seed) for seed in seeds]
        write_json(out / "summary.json", summaries)
    return table(summaries)
