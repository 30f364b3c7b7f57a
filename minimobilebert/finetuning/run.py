"""`finetune`: train a pre-trained encoder with a new head on a labelled task.

    out/config.json            the settings; a run with other settings in the same folder is an error
    out/vocab.txt
    out/metrics.jsonl          one line for each tenth update
    out/evaluations.json       the dev scores after each epoch
    out/best.npz               the best parameters so far; at the end they become checkpoint-final.npz
    out/checkpoint-*.npz       while it runs: the same command resumes from it after Ctrl-C or a kill
    out/summary.json           the best scores, seconds, settings
    out/report.html            curves, classes, confusion matrix, calibration, the worst mistakes
    out/manifest.json          the sha256 of each file of the finished run

The folder of a finished run is a model folder for Model.load, evaluate, predict, answer and convert.
"""

import dataclasses
import functools
import pathlib
import time

import numpy as np

from ..distributed.communicator import leader_only
from ..distributed.parts import check_parts
from ..kernels.runtime.backend import current_backend
from ..kernels.runtime.precision import use_precision
from ..model.parameters import VECTOR_HEADS, VECTOR_PAIR_CLASSIFIER, init_parameters, parameter_shapes
from ..model.sentence_settings import SentenceSettings
from ..model.vector_classification import cosine_line
from ..pipeline.needs import check_fine_tuning
from ..pipeline.result_files import FINE_TUNING_SUMMARY, read_result
from ..pipeline.run import CONFIG, CONTENTS, check_same_contents, check_same_run
from ..support.drawing import pyplot
from ..support.extras import MissingExtra
from ..support.files import name_of, write_json
from ..support.locks import claimed
from ..support.terminal import say
from ..text.length_batches import TrainingBatches
from ..training import fingerprints
from ..training.adamw import AdamW
from ..training.best_checkpoint import EVALUATIONS, BestCheckpoint
from ..training.checkpoints import load_checkpoint
from ..training.data_parallel import sharing_of
from ..training.loop import Records, UpdateRule, train
from ..training.manifest import is_finished, reopen, write_manifest
from ..training.model_folder import CHECKPOINT, VOCABULARY, load_model
from ..training.schedules import WarmupLinearDecay
from .jobs import Job, make_job
from .report import REPORT, write_run_report
from .settings import SQUAD, usual_settings
from .text_heads import longest_for

SUMMARY = "summary.json"
_HEAD_STREAM = 411
_CHECKPOINT_SECONDS = 60.0  # a checkpoint is three times as large as the model, so we do not save too often


def starts_as_cosine(job: Job):
    """Whether the first predictions of a job are a line in the cosine of two vectors: a regression of pairs"""
    return job.head == "sentence-pairs" and job.labels is None


def first_parameters(saved, job: Job, seed):
    """The encoder of a SavedModel with a new head -> parameters, ModelConfig

    A pooler is kept. BERT without a pooler gets a new one, as in transformers. Question answering uses no pooler,
    because it predicts scores per token, and neither do heads that read the vector of a whole text. A regression of
    pairs of vectors starts as a line in their cosine.
    """
    config = saved.config
    if job.head in ("question-answering", *VECTOR_HEADS):
        config = config.replace(classifier_activation=False)
    elif not config.use_bottleneck:
        config = config.replace(classifier_activation=True)
    rng = np.random.default_rng([seed, _HEAD_STREAM])
    encoder = {name: shape for name, shape in parameter_shapes(config).items() if name not in saved.params}
    shapes = parameter_shapes(config, job.head, job.num_labels)
    new = {name: shape for name, shape in shapes.items() if name in encoder or not name.startswith(f"{config.prefix}.")}
    dtype = next(iter(saved.params.values())).dtype
    fresh = init_parameters(new, config, rng, dtype)
    if starts_as_cosine(job):
        weight, bias = f"{VECTOR_PAIR_CLASSIFIER}.weight", f"{VECTOR_PAIR_CLASSIFIER}.bias"
        fresh[weight], fresh[bias] = cosine_line(shapes[weight], job.examples.labels, dtype)
    return {name: fresh[name] if name in new else saved.params[name].copy() for name in shapes}, config


class Plan:
    """The inputs of a fine-tuning run, the same for this project's trainer and for PyTorch's.

    job, params, config, settings; batches(step), steps_per_epoch, total_steps, schedule(step)
    """

    def __init__(self, saved, files, settings):
        self.settings, self.tokenizer = settings, saved.tokenizer
        self.job: Job = make_job(settings, files, saved)
        self.job.dev  # read now: what is wrong with it must not show after an epoch  # noqa: B018
        self.params, self.config = first_parameters(saved, self.job, settings.seed)
        self.sentence = (saved.sentence or SentenceSettings()) if self.job.head in VECTOR_HEADS else None
        self._start = fingerprints.of_arrays(self.params)  # before training, which changes them in place
        self.contents = files.contents(self.job.paths())
        self.batches = TrainingBatches(self.job.examples, settings.batch_size, settings.seed)
        self.steps_per_epoch = self.batches.steps_per_epoch
        self.total_steps = settings.epochs * self.steps_per_epoch
        self.schedule = WarmupLinearDecay(
            settings.learning_rate, int(settings.warmup * self.total_steps), self.total_steps
        )

    def configuration(self):
        """Everything that the result depends on. A run resumes only from a checkpoint with an equal dict."""
        return {
            "model": dataclasses.asdict(self.config),
            "labels": self.job.labels,
            "sentence": self.sentence and dataclasses.asdict(self.sentence),
            "settings": dataclasses.asdict(self.settings),
            "vocabulary": self.tokenizer.digest,
            "start": self._start,
            "data": fingerprints.of_arrays(self.job.examples.arrays),
            "files": sorted(self.contents.values()),  # including dev, which selects the best parameters
            "backend": current_backend(),
        }


def train_plan(plan, folder):
    """Train the parameters of a Plan -> evaluations, the best one, seconds of training, seconds of evaluation"""
    settings, job, config = plan.settings, plan.job, plan.config
    configuration = plan.configuration()
    keeper = BestCheckpoint(folder, configuration)

    def evaluated(params):
        with use_precision("float32"):  # as `evaluate` and `predict` use the model later
            return job.evaluate(job.logits(params, config))

    def evaluate(step, params):
        if step % plan.steps_per_epoch:
            return
        start = time.perf_counter()
        scores = evaluated(params)
        seconds = time.perf_counter() - start
        epoch = step // plan.steps_per_epoch
        keeper.add(step, params, job.selection(scores), epoch=epoch, scores=scores, seconds=seconds)
        say(f"{settings.task}: epoch {epoch} of {settings.epochs}: {format_scores(scores)}")

    if starts_as_cosine(job):
        say(f"{settings.task}: before training: {format_scores(evaluated(plan.params))}")

    def step_function(params, batch, step, rng, shares):
        return job.step_function(params, config, batch, rng, shares)

    optimizer = functools.partial(AdamW, weight_decay=settings.weight_decay)
    finished = train(
        settings.task, step_function, plan.params, plan.batches, total_steps=plan.total_steps, seed=settings.seed,
        update_rule=UpdateRule(
            optimizer, plan.schedule, clip_norm=settings.clip_norm, sharing=sharing_of(settings)
        ),
        records=Records(folder, configuration, checkpoint_seconds=_CHECKPOINT_SECONDS),
        after_step=evaluate, best=keeper,
    )  # fmt: skip
    leader_only()
    evaluating = sum(row["seconds"] for row in keeper.rows)
    return keeper.rows, keeper.best, finished.seconds - evaluating, evaluating


def headline(found):
    """The headline scores: exact match and F1 for SQuAD, all metrics for GLUE"""
    return {name: found[name] for name in ("exact", "f1")} if "exact" in found else found


def format_scores(scores):
    """{split: {score: number}} -> "dev accuracy 0.9037, f1 0.8800" on one line"""
    return "; ".join(
        f"{split} " + ", ".join(f"{name} {value:.4f}" for name, value in headline(found).items())
        for split, found in scores.items()
    )


def run(*, task, model, out, files, trainer=train_plan, report=False, **changes):
    """Fine-tune the model folder `model` on a task, in the folder `out` -> the summary, a dict

    files: TaskFiles; changes: fields of FineTuningSettings; None is the default of the task
    trainer: a function with the signature of `train_plan`; report: also write report.html (extra `plots`)
    ValueError for invalid input, before anything is written.
    """
    out = pathlib.Path(out)
    saved = load_model(model)
    settings = usual_settings(task, longest_for(saved, changes.get("sentence_vectors")), **changes)
    asked = {**dataclasses.asdict(settings), **files.described(), "start_model": name_of(model)}
    check_same_run(out, asked)
    contents = {
        name_of(model): fingerprints.of_texts(
            [
                fingerprints.of_arrays(saved.params),
                dataclasses.asdict(saved.config),
                saved.sentence and dataclasses.asdict(saved.sentence),
            ]
        ),  # fmt: skip
        VOCABULARY: saved.tokenizer.digest,
        **files.contents(make_job(settings, files, saved).paths()),
    }
    check_same_contents(out, contents)
    if is_finished(out, [CONFIG, VOCABULARY, SUMMARY]):
        say(f"{out} holds this run already; delete the folder to run it again")
        return read_result(out / SUMMARY, FINE_TUNING_SUMMARY)
    check_parts(settings.parts)
    with claimed(out), use_precision(settings.precision):
        plan, summary = _run(out, saved, files, settings, {**asked, CONTENTS: contents}, trainer)
        if report:
            _write_report(out, plan, summary)
        note_finished(out)
        return summary


def _write_report(out, plan, summary):
    """report.html, from the kept parameters; a line says so where nothing can draw it."""
    try:
        pyplot()
    except MissingExtra as error:
        say(f"note: no {REPORT}: {error}")
        return
    params, _ = load_checkpoint(out / CHECKPOINT)
    with use_precision("float32"):
        write_run_report(out, summary, plan.job.details(plan.job.logits(params, plan.config)))


def _run(out, saved, files, settings, asked, trainer):
    """Train or resume, and write all files -> Plan, the summary"""
    start = time.perf_counter()
    # Check again: another process may have started a run in this folder meanwhile.
    check_same_run(out, {name: value for name, value in asked.items() if name != CONTENTS})
    plan = Plan(saved, files, settings)
    reading = time.perf_counter() - start
    check_fine_tuning(out, settings, plan.config, plan.job)
    reopen(out)
    write_json(out / CONFIG, asked)
    plan.tokenizer.save(out / VOCABULARY)
    rows, best, training, evaluating = trainer(plan, out)
    summary = {
        "task": settings.task, "best": best, "evaluations": rows, "settings": asked,
        "rows": len(plan.job.examples.lengths), "steps": plan.total_steps,
        "seconds": {"reading": reading, "training": training, "evaluation": evaluating},
    }  # fmt: skip
    write_json(out / SUMMARY, summary)
    return plan, summary


def note_finished(folder, weights=True):
    """Write the manifest of a run: all its existing files, with or without the parameters."""
    names = [CONFIG, VOCABULARY, SUMMARY, EVALUATIONS, REPORT, "metrics.jsonl", *([CHECKPOINT] if weights else [])]
    write_manifest(folder, [name for name in names if (folder / name).exists()])  # PyTorch's trainer saves only scores


def discard_weights(folder):
    """Remove the parameters of a finished run and keep its scores."""
    note_finished(folder, weights=False)  # before the removal: a run with missing files would be trained again
    (folder / CHECKPOINT).unlink(missing_ok=True)


def format_summary(summary):
    """The result of a run as text."""
    seconds = summary["seconds"]
    lines = ["epoch  scores"]
    for row in summary["evaluations"]:
        mark = "  <- best, kept" if row["step"] == summary["best"]["step"] else ""
        lines.append(f"{row['epoch']:>5}  {format_scores(row['scores'])}{mark}")
    rows = "windows" if summary["task"] in SQUAD else "rows"
    lines.append(f"{summary['rows']:,} {rows}, {summary['steps']:,} updates; training {seconds['training']:.1f} s,"
                 f" evaluation {seconds['evaluation']:.1f} s")  # fmt: skip
    return "\n".join(lines)
