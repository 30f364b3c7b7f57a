"""`finetune --search`: a grid search. Each point is a run in its own folder; the best one is selected on dev.

After an interruption the same command resumes; finished points are only read. Only the weights of the best point are
kept. Several ranks train whole points at the same time, in a folder that all of them see.
"""

import itertools
import pathlib

from ..distributed.whole_runs import held_by_leader, made_on_ranks
from ..pipeline.run import check_no_run
from ..support.files import write_json
from ..support.locks import claimed
from ..support.tables import markdown
from ..support.terminal import say
from ..training.best_checkpoint import rank
from ..training.manifest import reopen
from ..training.model_folder import CHECKPOINT
from .run import discard_weights, format_scores, run
from .settings import search_space


def search(*, words, out, **arguments):
    """words: the arguments of `--search`; out: the folder with the folders of the points; arguments: those of `run`

    -> {"best": folder, "points": [{"folder", "lr", "batch", "epochs", "selection", "best_epoch", "scores", "seconds"}]}
    """
    space, out = search_space(words), pathlib.Path(out)
    check_no_run(out)
    points = list(itertools.product(space["epochs"], space["batch"], space["lr"]))
    with held_by_leader(claimed(out)), made_on_ranks(lambda point: _point(out, point, arguments), points):
        return _search(points, out, arguments)


def _folder_of(out, point):
    epochs, batch, lr = point
    return out / f"lr-{lr:g}-batch-{batch}-epochs-{epochs}"


def _point(out, point, arguments):
    """Train one point, or read it -> the summary of its run"""
    epochs, batch, lr = point
    changes = {**arguments, "learning_rate": lr, "batch_size": batch, "epochs": epochs}
    return run(out=_folder_of(out, point), **changes)


def _search(points, out, arguments):
    say(f"{len(points)} points")
    rows, best = [], None
    for number, point in enumerate(points, start=1):
        (epochs, batch, lr), folder = point, _folder_of(out, point)
        say(f"point {number} of {len(points)}: {folder.name}")
        summary = _point(out, point, arguments)
        found = summary["best"]
        rows.append({
            "folder": str(folder), "lr": lr, "batch": batch, "epochs": epochs, "selection": found["selection"],
            "best_epoch": found["epoch"], "scores": found["scores"], "seconds": summary["seconds"]["training"],
        })  # fmt: skip
        if best is None or rank(rows[-1]) > rank(best):
            best, loser = rows[-1], best
        else:
            loser = rows[-1]
        if loser:
            discard_weights(pathlib.Path(loser["folder"]))
    _train_again_without_weights(pathlib.Path(best["folder"]), best, arguments)
    result = {"best": best["folder"], "points": rows}
    write_json(out / "summary.json", result)
    return result


def _train_again_without_weights(folder, row, arguments):
    """Train the best point again if an earlier search, with other points, removed its weights."""
    if not (folder / CHECKPOINT).exists():
        say(f"{folder.name}: the best of these points, trained again: an earlier search kept another point's weights")
        reopen(folder)
        point = {"learning_rate": row["lr"], "batch_size": row["batch"], "epochs": row["epochs"]}
        run(out=folder, **{**arguments, **point})


def format_search(result):
    """The points as a Markdown table, the best first."""
    rows = [["learning rate", "batch", "epochs", "best epoch", "dev", "seconds"]]
    for row in sorted(result["points"], key=rank, reverse=True):
        point = [f"{row['lr']:g}", row["batch"], row["epochs"], row["best_epoch"]]
        rows.append([*point, format_scores(row["scores"]), f"{row['seconds']:.0f}"])
    return "\n".join([*markdown(rows), "", f"best: {result['best']}"])
