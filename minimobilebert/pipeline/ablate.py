"""`ablate`: the ablations of the paper's Tables 7, 8 and 9 at classroom size, with several seeds.

    for each seed:  text, teacher, then all runs of ablations.py       -> held-out scores
    once:           latency of the four block variants of Table 7      -> ratios

Each run has a folder, `OUT/seed-N/RUN`. Finished runs are only read, so an interrupted `ablate` can be resumed.
"""

import dataclasses
import pathlib
import time

from ..distributed.whole_runs import held_by_leader, made_on_ranks
from ..kernels.runtime.precision import use_precision
from ..support.files import write_json
from ..support.locks import claimed
from ..support.terminal import say
from ..training.manifest import is_finished, write_manifest
from . import stages
from .ablation_report import write_ablation_report
from .ablations import RUNS
from .evaluation import evaluate_pretraining
from .forecast import pretraining_seconds, student_seconds
from .latency import block_latencies
from .needs import check_pretraining
from .result_files import LATENCIES, read_result
from .run import Run, check_no_run
from .settings import settings_from_strings
from .stages import first_parameters
from .strategies import teach_student
from .text_data import prepare_text

RESULT, LATENCY = "result.json", "latency.json"
_LATENCY_OF = {"full size, 128 tokens": ("mobilebert", 128), "classroom size, 64 tokens": ("classroom-student", 64)}


def _settings_of(settings, run):
    return dataclasses.replace(settings, **(RUNS[run] or {}))


def _train(run, name, teacher):
    """Train one variant, or resume or load it -> scores on held-out text"""
    params = stages.train_from_scratch(run) if RUNS[name] is None else teach_student(run, teacher)["student"]
    scores = evaluate_pretraining(params, run.settings.student_config, run.data.evaluation)
    write_json(run.folder / RESULT, scores)
    run.finish(RESULT)
    return scores


class _Clock:
    """Estimates the remaining time: expected seconds per run, corrected by the measured time of the finished ones."""

    def __init__(self, expected):
        self.expected, self.start, self.at_work = dict(expected), time.perf_counter(), 0.0
        self.total = len(expected)

    def done(self, piece, trained):
        """Record that the run `piece` is finished; trained False: it was only read."""
        seconds = self.expected.pop(piece)
        if trained:
            self.at_work += seconds
        left = sum(self.expected.values())
        if self.at_work:
            left *= (time.perf_counter() - self.start) / self.at_work
        say(f"ablate: {piece} done, {self.total - len(self.expected)} of {self.total}; {left / 60:.0f} minutes left")


def _expected(settings, data, seeds):
    """{"seed N, RUN": expected seconds}, measured with temporary parameters"""
    batch, scratch = data.batches(0), first_parameters(settings.student_config, settings, "student")
    teacher = first_parameters(settings.teacher_config, settings, "teacher")
    one = {"teacher": pretraining_seconds(settings.teacher_config, teacher, batch, settings.teacher_steps)}
    for name in RUNS:
        if RUNS[name] is None:
            one[name] = pretraining_seconds(settings.student_config, scratch, batch, settings.student_steps)
        else:
            one[name] = sum(student_seconds(_settings_of(settings, name), batch, teacher).values())
    return {f"seed {seed}, {name}": seconds for seed in seeds for name, seconds in one.items()}


def _one_seed(folder, settings, text, clock, seeds, names=tuple(RUNS)):
    """Train the teacher and the variants `names` with one seed -> {run: scores}, clock"""
    base = Run(folder / "teacher", settings, text)
    base.use_text(prepare_text(settings, text, folder / "teacher"))
    if clock is None:
        say("ablate: compiling and timing a few steps of every run ...")
        with use_precision(settings.precision):
            clock = _Clock(_expected(base.settings, base.data, seeds))
        say(f"ablate: about {sum(clock.expected.values()) / 60:.0f} minutes, less what is already done")
    trained = not (base.folder / "teacher" / "checkpoint-final.npz").exists()
    teacher = stages.pretrain_teacher(base)
    scores = {"teacher": evaluate_pretraining(teacher, base.settings.teacher_config, base.data.evaluation)}
    clock.done(f"seed {settings.seed}, teacher", trained)
    for name in names:
        run = Run(folder / name, _settings_of(settings, name), text)
        trained = not run.finished(RESULT)
        run.use_text(base.data)
        scores[name] = _train(run, name, teacher)
        clock.done(f"seed {settings.seed}, {name}", trained)
    return scores, clock


def run(*, seeds=(1, 2, 3), out="runs/ablate", text=None, settings=None):
    """The command `ablate` -> {"seeds": [...], "scores": {run: {score: [one number per seed]}}, "latency": ...}

    settings: {name: text} from `--set`. ValueError if `out` contains runs with other settings.
    """
    out = pathlib.Path(out)
    check_no_run(out)
    with held_by_leader(claimed(out)), use_precision("float32"):  # as in train_tiny.py
        teachers = [(seed, ()) for seed in seeds]
        students = [(seed, (name,)) for seed in seeds for name in RUNS]
        with made_on_ranks(lambda piece: _make(out, text, settings, *piece), teachers, students):
            return _run(seeds, out, text, settings)


def _make(out, text, settings, seed, names):
    """The teacher of a seed, and these of its runs"""
    base = settings_from_strings(seed, settings or {})
    check_pretraining(out, base)
    _one_seed(out / f"seed-{seed}", base, text, None, (seed,), names)


def _run(seeds, out, text, settings):
    clock, by_seed = None, []
    for seed in seeds:
        base = settings_from_strings(seed, settings or {})
        check_pretraining(out, base)
        scores, clock = _one_seed(out / f"seed-{seed}", base, text, clock, seeds)
        by_seed.append(scores)
    if not is_finished(out, [LATENCY]):
        say("ablate: measuring the latency of the four block variants ...")
        write_json(out / LATENCY, {title: block_latencies(*arguments) for title, arguments in _LATENCY_OF.items()})
        write_manifest(out, [LATENCY])
    names = by_seed[0]
    summary = {
        "seeds": list(seeds),
        "scores": {name: {key: [scores[name][key] for scores in by_seed] for key in names[name]} for name in names},
        "latency": read_result(out / LATENCY, LATENCIES),
    }
    write_json(out / "summary.json", summary)
    write_ablation_report(out, summary)
    return summary
