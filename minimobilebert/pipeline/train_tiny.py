"""`train-tiny`: the whole paper at classroom size, from text to report.

    text -> teacher -> progressive transfer -> distillation -> fine-tuning -> report
                       the same student from scratch  ------^

A run is one folder. Interrupted anywhere, even by `kill -9`, the same command goes on from the last checkpoint.
"""

import dataclasses
import pathlib
import time

from ..files import read_json, write_json
from ..model.parameters import count_parameters, parameter_shapes
from ..terminal import say
from . import stages
from .evaluation import evaluate_classification, evaluate_pretraining, unigram_loss
from .forecast import forecast
from .measurements import activation_scales, attention_maps, transfer_losses_by_layer
from .report import MODELS, format_table, results_table, write_report
from .settings import settings_from_strings
from .text_data import prepare_text

EXAMPLE_SENTENCE = "The people of the United States have a right to expect that their government will be honest."


class Run:
    """One run's folder, its settings, its text, and the seconds each stage took."""

    def __init__(self, folder, settings, text_folder):
        self.folder, self.settings = pathlib.Path(folder), settings
        self.text_folder = text_folder
        self.times_file = self.folder / "seconds.json"
        self._claim_folder()
        self.seconds = read_json(self.times_file) if self.times_file.exists() else {}

    def _claim_folder(self):
        """Write config.json, or check that the one there is ours: two runs must not mix in one folder."""
        ours = {**dataclasses.asdict(self.settings), "text": str(self.text_folder or "shipped")}
        file = self.folder / "config.json"
        if file.exists():
            theirs = read_json(file)
            for name in ours:
                if theirs.get(name) != ours[name]:
                    raise ValueError(
                        f"{file}: found a run with {name} = {theirs.get(name)}, expected {name} = {ours[name]};"
                        " choose another folder with --out (make: OUT=...)"
                    )
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(file, ours)

    def stage(self, name, function, *arguments):
        """Run one stage and remember its time; a stage that only reloads its result keeps the time it had."""
        start = time.perf_counter()
        result = function(*arguments)
        spent = time.perf_counter() - start
        self.seconds[name] = max(self.seconds.get(name, 0.0), spent)
        write_json(self.times_file, self.seconds)
        return result


def run(*, seed=1, out=None, text=None, settings=None):
    """The command `train-tiny`.

    seed: every random number of the run comes from it; out: folder of the run (default runs/tiny);
    text: a folder of .txt files instead of the shipped texts; settings: {name: text} from `--set`
    -> the summary, a dict. ConfigError and ValueError for bad input, before anything is trained.
    """
    tiny = settings_from_strings(seed, settings or {})
    this = Run(out or "runs/tiny", tiny, text)
    data = this.stage("text", prepare_text, tiny, text, this.folder)
    expected = this.stage("compile", forecast, tiny, data)
    say("forecast: " + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in expected.items()))
    say(f"forecast: {sum(expected.values()) / 60:.1f} minutes in all, less what is already done")

    folder = this.folder
    teacher = this.stage("teacher", stages.pretrain_teacher, tiny, data.batches, folder)
    transferred = this.stage("transfer", stages.transfer_knowledge, tiny, data.batches, teacher, folder)
    student = this.stage("student", stages.distil_student, tiny, data.batches, teacher, transferred, folder)
    scratch = this.stage("student_from_scratch", stages.train_from_scratch, tiny, data.batches, folder)
    models = {"teacher": teacher, "student": student, "student_from_scratch": scratch}
    on_task = this.stage("tasks", fine_tune_all, this, data, models) if data.task else {}
    return this.stage("report", summarise, this, data, models, transferred, on_task)


def fine_tune_all(run, data, models):
    """Fine-tune teacher and both students on the era task -> {model name: accuracy on held-out addresses}"""
    accuracies = {}
    for name, pretrained in models.items():
        config = _config(run.settings, name)
        params = stages.fine_tune(
            run.settings, data.task.batches, data.task.num_labels, pretrained, config, name, run.folder
        )
        accuracies[name] = evaluate_classification(params, config, data.task.evaluation)
    return accuracies


def _config(settings, name):
    return settings.teacher_config if name == "teacher" else settings.student_config


def summarise(run, data, models, transferred, task_accuracies):
    """Evaluate every model on held-out documents; write summary.json and report.html; print the table."""
    settings, teacher = run.settings, models["teacher"]
    summary = {"seed": settings.seed, "steps": settings.steps_by_stage(), "settings": dataclasses.asdict(settings)}
    for name, params in models.items():
        config = _config(settings, name)
        summary[name] = {
            "parameters": count_parameters(parameter_shapes(config, "pretraining")),
            **evaluate_pretraining(params, config, data.evaluation),
            "task_accuracy": task_accuracies.get(name),
        }
    summary["unigram_mlm_loss"] = unigram_loss(data.train_ids, settings.vocab_size, data.evaluation)
    summary["task_majority_accuracy"] = data.task.majority_accuracy if data.task else None

    pair = (teacher, settings.teacher_config)
    few = data.evaluation[:4]
    untaught = stages.student_before_transfer(settings, teacher)
    summary["transfer_before"] = transfer_losses_by_layer(untaught, settings.student_config, *pair, few)
    summary["transfer_after"] = transfer_losses_by_layer(transferred, settings.student_config, *pair, few)
    summary["activation_scales"] = {
        name: activation_scales(params, _config(settings, name), few[0]) for name, params in models.items()
    }
    summary["seconds"] = {**run.seconds, "total": sum(run.seconds.values())}

    tokens, teacher_maps = attention_maps(*pair, data.tokenizer, EXAMPLE_SENTENCE)
    _, student_maps = attention_maps(models["student"], settings.student_config, data.tokenizer, EXAMPLE_SENTENCE)
    attention = {"sentence": EXAMPLE_SENTENCE, "tokens": tokens, "teacher": teacher_maps, "student": student_maps}
    write_report(run.folder, summary, attention)
    write_json(run.folder / "summary.json", summary)
    return summary
