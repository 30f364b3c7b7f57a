"""`glue` and `squad`: fine-tune all available tasks with several seeds, optionally with other trainers -> a table.

    out/TASK/seed-N          a run of finetune
    out/TASK/seed-N-NAME     the same plan with the trainer NAME

After an interruption the same command resumes; finished runs are only read.
"""

import pathlib

import numpy as np

from ..pipeline.run import check_no_run
from ..support.files import write_json
from ..support.locks import claimed
from ..support.tables import markdown
from ..support.terminal import say
from ..tasks.glue import TASKS, has_split
from ..tasks.metrics import glue_average
from .run import headline, run
from .settings import SQUAD

OURS = "ours"


def glue_tasks(files, names):
    """The tasks of `names`, or all with a training file in `data` -> list of names. ValueError if there is none."""
    for name in names or []:
        if name not in TASKS:
            raise ValueError(f"--tasks: found {name!r}, expected some of {', '.join(TASKS)}")
    found = names or [name for name, task in TASKS.items() if has_split(task, files.folder(), "train")]
    if not found:
        raise ValueError(f"{files.data}: found no task's train.tsv, expected folders like SST-2")
    return found


def squad_tasks(files, names):
    """The tasks of `names`, or those of squad1 and squad2 with a training file -> list of names"""
    for name in names or []:
        if name not in SQUAD:
            raise ValueError(f"--tasks: found {name!r}, expected some of {', '.join(SQUAD)}")
    if names:
        return names
    if files.train_file:
        raise ValueError("--train-file: found no --tasks, expected squad1 or squad2 with it")
    found = [
        name for name, v in zip(SQUAD, ("1.1", "2.0"), strict=True) if (files.folder() / f"train-v{v}.json").exists()
    ]
    if not found:
        raise ValueError(f"{files.data}: found neither train-v1.1.json nor train-v2.0.json, expected one of them"
                         " (or --train-file and --tasks)")  # fmt: skip
    return found


def run_all(*, tasks, seeds, out, trainers, **arguments):
    """Run all tasks, seeds and trainers -> list of summaries, each with "trainer" and "seed"

    trainers: {name: trainer}; arguments: as `finetune.run` takes them
    """
    out = pathlib.Path(out)
    check_no_run(out)
    with claimed(out):
        return _run_all(tasks, seeds, out, trainers, arguments)


def _run_all(tasks, seeds, out, trainers, arguments):
    summaries = []
    for task in tasks:
        for seed in seeds:
            for name, trainer in trainers.items():
                folder = out / task / (f"seed-{seed}" if name == OURS else f"seed-{seed}-{name}")
                say(f"{task}, seed {seed}, {name}: {folder}")
                summary = run(task=task, seed=seed, out=folder, trainer=trainer, **arguments)
                summaries.append({"trainer": name, "seed": seed, **summary})
    write_json(out / "summary.json", summaries)
    return summaries


def _spread(values, digits):
    """The mean as text, with the standard deviation if there are several values"""
    text = f"{np.mean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} +- {np.std(values, ddof=1):.{digits}f}"


def format_tasks(summaries):
    """A Markdown table with one row per task and trainer, mean and spread over the seeds; then GLUE's averages."""
    rows = [["task", "trainer", "runs", "rows", "updates", "dev scores", "training s", "evaluation s"]]
    groups = {}
    for summary in summaries:
        groups.setdefault((summary["task"], summary["trainer"]), []).append(summary)
    for (task, trainer), runs in groups.items():
        digits = 2 if task in SQUAD else 4
        cells = []
        for split, found in runs[0]["best"]["scores"].items():
            split = "" if split == "dev" else split.removeprefix("dev_") + " "
            for name in headline(found):
                values = [r["best"]["scores"][f"dev_{split.strip()}" if split else "dev"][name] for r in runs]
                cells.append(f"{split}{name} {_spread(values, digits)}")
        seconds = [_spread([r["seconds"][part] for r in runs], 0) for part in ("training", "evaluation")]
        rows.append([task, trainer, len(runs), runs[0]["rows"], runs[0]["steps"], ", ".join(cells), *seconds])
    return "\n".join([*markdown(rows), *_averages(groups)])


def _averages(groups):
    """GLUE's average per trainer, over the available tasks and the means over the seeds."""
    lines = []
    for trainer in dict.fromkeys(trainer for _, trainer in groups):
        results = {}
        for (task, name), runs in groups.items():
            if name == trainer and task in TASKS:
                scores = [r["best"]["scores"] for r in runs]
                results[task] = {
                    split: {key: float(np.mean([s[split][key] for s in scores])) for key in found}
                    for split, found in scores[0].items()
                }
        if results:
            average = glue_average(results)
            missing = f" (without {', '.join(average.missing)})" if average.missing else ""
            lines += ["", f"GLUE average, {trainer}: {100.0 * average.average:.2f}{missing}"]
    return lines
