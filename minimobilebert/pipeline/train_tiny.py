"""`train-tiny`: the whole paper at classroom size, from text to report.

    text -> teacher -> transfer -> distillation -> fine-tuning -> report
                       the same student from scratch  ------^

A run is one folder. After an interruption, even by `kill -9`, the same command resumes from the last checkpoint.
"""

import dataclasses

import numpy as np

from ..distributed.communicator import leader_only
from ..distributed.parts import check_parts
from ..kernels.runtime.precision import use_precision
from ..model.parameters import count_parameters, parameter_shapes
from ..support.files import write_json
from ..support.locks import claimed
from ..support.terminal import say
from . import stages
from .evaluation import evaluate_classification, evaluate_pretraining, majority_share, unigram_loss
from .forecast import forecast
from .measurements import activation_scales, attention_maps, transfer_losses_by_layer
from .needs import check_pretraining
from .report import MODELS, write_report
from .result_files import RUN_SUMMARY, read_result
from .run import Run, begun_with, check_same_contents
from .settings import settings_from_strings
from .strategies import student_before_transfer, teach_student
from .text_data import documents_of, prepare_text

SUMMARY = "summary.json"
EXAMPLE_SENTENCE = "The people of the United States have a right to expect that their government will be honest."


def run(*, seed=1, out="runs/tiny", text=None, settings=None):
    """The command `train-tiny`.

    seed: determines all random numbers of the run; out: the folder of the run; text: folders of .txt files
    (or one folder) instead of the shipped texts; settings: {name: text} from `--set`
    -> the summary, a dict. ConfigError and ValueError for bad input, before anything is written.
    """
    tiny_run = Run(out, settings_from_strings(seed, settings or {}), text)
    if tiny_run.finished(SUMMARY):
        check_same_contents(out, {**begun_with(out), "text": documents_of(text)[1]})
        say(f"{tiny_run.folder} holds this run already; delete the folder to run it again")
        return read_result(tiny_run.folder / SUMMARY, RUN_SUMMARY)
    check_parts(tiny_run.settings.parts)
    with claimed(out), use_precision("float32"):  # of all scores; a stage trains in that of the settings
        check_pretraining(out, tiny_run.settings)
        return _train(tiny_run, text)


def _train(tiny_run, text):
    """Run the unfinished stages -> the summary"""
    tiny_run.use_text(tiny_run.timed("text", prepare_text, tiny_run.settings, text, tiny_run.folder))
    say("forecast: timing a few steps of every stage ...")
    expected = tiny_run.timed("compile", forecast, tiny_run.settings, tiny_run.data)
    say("forecast: " + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in expected.items()))
    say(f"forecast: {sum(expected.values()) / 60:.1f} minutes of training, less what is already done")

    teacher = stages.pretrain_teacher(tiny_run)
    student = teach_student(tiny_run, teacher)
    models = {
        "teacher": teacher,
        "student": student["student"],
        "student_from_scratch": stages.train_from_scratch(tiny_run),
    }
    on_task = fine_tune_all(tiny_run, models) if tiny_run.data.task else {}
    leader_only()
    summary, attention = measure(tiny_run, models, student.get("transfer", student["student"]), on_task)
    summary["seconds"] = {**tiny_run.seconds, "total": sum(tiny_run.seconds.values())}
    write_report(tiny_run.folder, summary, attention)
    write_json(tiny_run.folder / SUMMARY, summary)
    tiny_run.finish(SUMMARY, "report.html")
    return summary


def _config(settings, model):
    return settings.teacher_config if model == "teacher" else settings.student_config


def fine_tune_all(run, models):
    """Fine-tune teacher and both students on the era task -> {model: accuracy on held-out addresses}"""
    accuracies = {}
    for name, pretrained in models.items():
        config = _config(run.settings, name)
        params = stages.fine_tune(run, name, config, pretrained)
        accuracies[name] = evaluate_classification(params, config, run.data.task.evaluation)
    return accuracies


def score(run, models, task_accuracies):
    """The scores of all models on held-out documents, and the baselines (unigram, majority) -> dict"""
    settings, data = run.settings, run.data
    scores = {}
    for name in MODELS:
        config = _config(settings, name)
        scores[name] = {
            "parameters": count_parameters(parameter_shapes(config, "pretraining")),
            **evaluate_pretraining(models[name], config, data.evaluation),
            "task_accuracy": task_accuracies.get(name),
        }
    scores["unigram_mlm_loss"] = unigram_loss(data.train_ids, settings.vocab_size, data.evaluation)
    pairs = np.concatenate([batch.next_sentence_labels for batch in data.evaluation])
    scores["nsp_majority_accuracy"] = majority_share(pairs)
    scores["task_majority_accuracy"] = data.task.majority_accuracy if data.task else None
    return scores


def measure(run, models, transferred, task_accuracies):
    """Take the measurements of the report -> the summary without seconds, the attention maps"""
    settings, data, teacher = run.settings, run.data, models["teacher"]
    summary = {"seed": settings.seed, "steps": settings.steps_by_stage(), "settings": dataclasses.asdict(settings)}
    summary |= run.timed("evaluation", score, run, models, task_accuracies)

    pair, few = (teacher, settings.teacher_config), data.evaluation[:4]
    before_transfer = student_before_transfer(settings, teacher)
    summary["transfer_before"] = transfer_losses_by_layer(before_transfer, settings.student_config, *pair, few)
    summary["transfer_after"] = transfer_losses_by_layer(transferred, settings.student_config, *pair, few)
    summary["activation_scales"] = {
        name: activation_scales(params, _config(settings, name), few[0]) for name, params in models.items()
    }
    tokens, teacher_maps = attention_maps(*pair, data.tokenizer, EXAMPLE_SENTENCE)
    _, student_maps = attention_maps(models["student"], settings.student_config, data.tokenizer, EXAMPLE_SENTENCE)
    return summary, {"sentence": EXAMPLE_SENTENCE, "tokens": tokens, "teacher": teacher_maps, "student": student_maps}
