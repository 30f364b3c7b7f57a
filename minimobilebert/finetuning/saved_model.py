"""`evaluate` and `predict`: run a fine-tuned model on the dev or test split of a task."""

import dataclasses
import pathlib

from ..inference.model import NoSuchHead
from ..model.parameters import LABELLED_HEADS, VECTOR_HEADS
from ..pipeline.result_files import FINE_TUNING_CONFIG
from ..support.files import path_of
from ..support.requirements import check_writable
from ..support.shapes import ANY, check
from ..support.structured_files import read_json
from ..support.terminal import say
from ..tasks.glue import has_split
from ..tasks.glue_submission import submission_name, write_submission
from ..tasks.squad_files import write_answers
from ..training.manifest import check_listed
from ..training.model_folder import load_model
from .jobs import make_job
from .report import write_evaluation_report
from .settings import SQUAD, TABLE, usual_settings
from .text_heads import longest_for


def run_settings(folder):
    """The settings of a fine-tuning run -> dict; empty for any other model folder"""
    file = pathlib.Path(folder) / "config.json"
    if file.exists():
        check_listed(file)
    settings = read_json(file, {str: ANY}) if file.exists() else {}
    return check(settings, FINE_TUNING_CONFIG, file) if "start_model" in settings else {}


def _as_split(files, trained):
    """The TaskFiles for scoring: they exclude the articles on which the run was trained (--split-articles)."""
    articles = trained.get("split_articles")
    if not articles or files.train_file or files.dev_file or files.split_articles:
        return files
    say(f"note: scored without the first {articles} articles, on which the run was trained (--dev-file names others)")
    file = trained["train_file"] and path_of(trained["train_file"])
    return dataclasses.replace(files, train_file=file, split_articles=articles)


def _load(task, model, files, changes):
    """-> job, function batch -> logits. ValueError if the model was not fine-tuned for this task."""
    saved, trained = load_model(model, in_8_bits=True), run_settings(model)
    for name in ("max_length", "stride", "max_query") if task in SQUAD else ("max_length",):
        if changes.get(name) is None and trained.get("task") in (task, *(SQUAD if task in SQUAD else ())):
            changes[name] = trained[name]
    changes["sentence_vectors"] = saved.head in VECTOR_HEADS and task not in SQUAD
    settings = usual_settings(task, longest_for(saved, changes["sentence_vectors"]), **changes)
    job = make_job(settings, _as_split(files, trained) if trained.get("task") == task else files, saved)
    if saved.head != job.head or saved.num_labels != job.num_labels:
        found = f"a {saved.head} head" if saved.head else "no head"
        outputs = f" with {saved.num_labels} outputs" if saved.num_labels else ""
        wanted = f" with {job.num_labels} outputs" if job.num_labels else ""
        raise NoSuchHead(f"{model}: found {found}{outputs}, expected a {job.head} head{wanted}: finetune --task {task}")
    if saved.labels and job.labels and saved.labels != job.labels:
        if sorted(saved.labels) == sorted(job.labels):
            raise ValueError(f"{model}: found classes in the order {saved.labels}, expected {job.labels}")
        if trained:
            raise ValueError(f"{model}: found a model fine-tuned for {trained['task']}, expected one for {task}")
    if trained and trained["task"] != task:
        say(f"note: {model} was fine-tuned for {trained['task']}")
    return job, job.logits(saved.params, saved.config)


def load_for_table(folder, files, changes):
    """A model that was fine-tuned on a table -> SavedModel, TaskFiles, FineTuningSettings, the run's own settings

    Where `files` and `changes` name no column or length, those of the run count; its settings are {} for a model that
    was converted. A model with one output predicts a number.
    """
    saved, trained = load_model(folder, in_8_bits=True), run_settings(folder)
    if saved.head not in LABELLED_HEADS:
        raise NoSuchHead(f"{folder}: found {saved.head or 'no'} head, expected one for classification: finetune")
    if files.dev_file:
        raise ValueError("--dev-file: found it for a trained model, expected --data with the table")
    trained = trained if trained.get("task") == TABLE else {}
    names = {name: getattr(files, name) or trained.get(name) for name in ("text", "text_b", "label")}
    files = dataclasses.replace(files, **names, regression=saved.num_labels == 1 or None)
    files.check(TABLE)
    if files.text is None:
        raise ValueError("--text: found no name, expected the column with the text")
    if saved.head in VECTOR_HEADS and saved.head != VECTOR_HEADS[files.text_b is not None]:
        found, expected = ("one text", "--text-b too") if files.text_b is None else ("--text-b", "none")
        raise ValueError(f"{folder}: found {found} and a {saved.head} head, expected {expected}")
    changes["sentence_vectors"] = saved.head in VECTOR_HEADS
    changes["max_length"] = changes.get("max_length") or trained.get("max_length")
    longest = longest_for(saved, changes["sentence_vectors"])
    settings = usual_settings(TABLE, longest, seed=trained.get("seed"), **changes)
    return saved, files, settings, trained


def evaluate(*, task, model, files, report=None, **changes):
    """Official scores on each existing dev split -> {split: {score: number}}; report: an HTML page to write, or None"""
    job, logits = _load(task, model, files, changes)
    if not report:
        return job.evaluate(logits)
    details = job.details(logits)
    write_evaluation_report(report, model, details)
    return {split: found["scores"] for split, found in details.items()}


def predict(*, task, model, files, out, **changes):
    """Write the submission files of the task into the folder `out` -> list of paths

    GLUE: one table per test split. SQuAD: predictions, n-best lists and null odds for the dev file, or for --dev-file.
    """
    check_writable(out)  # fail before the predictions, which take long
    job, logits = _load(task, model, files, changes)
    if task in SQUAD:
        return write_answers(out, job.decoded(logits, job.dev))
    splits = [split for split in job.task.test_splits if has_split(job.task, job.data, split)]
    if not splits:
        job.encode(job.task.test_splits[0])  # raises the error for the missing file
    paths = []
    for split in splits:
        examples, texts = job.encode(split)
        paths.append(pathlib.Path(out) / submission_name(job.task, split))
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        write_submission(paths[-1], job.task, examples.ids, job.answers(logits, texts))
    return paths
