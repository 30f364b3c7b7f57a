"""Commands for fine-tuning on GLUE, SQuAD and tables of your own, evaluation, prediction, and question answering."""

import json
import pathlib
import sys

from ..support.numbers import option
from ..support.project import how_to_install
from .options import (
    file_name,
    json_option,
    model_option,
    names_of,
    number,
    positive,
    seed_numbers,
    seed_option,
    utf8_text,
)

_TASKS = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "squad1", "squad2", "table")
_SWITCH = option(bool)
_SETTINGS = {
    "lr": ("learning_rate", number, "peak learning rate (usual: GLUE 5e-5, SQuAD 4e-5)"),
    "batch": ("batch_size", positive, "rows of a batch (usual: 32)"),
    "epochs": ("epochs", positive, "usual: 3; 5 for SQuAD, CoLA, MRPC, RTE and STS-B"),
    "max-length": ("max_length", positive, "pieces of a row (usual: GLUE 128, SQuAD 384)"),
    "warmup": ("warmup", number, "share of the updates with a rising rate (usual: 0.1)"),
    "weight-decay": ("weight_decay", number, "usual: 0.01"),
    "clip": ("clip_norm", number, "largest gradient norm (usual: 1)"),
    "rows": ("rows", positive, "train only on the first N rows"),
    "stride": ("stride", positive, "SQuAD: pieces from window to window (usual: 128)"),
    "max-query": ("max_query", positive, "SQuAD: pieces of a question (usual: 64)"),
    "sentence-vectors": (
        "sentence_vectors",
        _SWITCH,
        "true or false (default): classify sentence vectors; the texts of a pair are read apart (a bi-encoder)",
    ),
    "precision": ("precision", str, "of products: float32 (default) or bfloat16"),
    "parts": ("parts", positive, "cut each batch into N parts and add their gradients (usual: 1; under mpiexec 4)"),
    "reduction": ("reduction", str, "how ranks add gradients: deterministic (default), fast or bfloat16"),
    "overlap": ("overlap", _SWITCH, "true (default) or false: gradients travel during the backward pass"),
    "shard-optimizer": (
        "shard_optimizer",
        _SWITCH,
        "true or false (default): moments shared among ranks",
    ),
}
_FOR_USE = ("max-length", "stride", "max-query")
TABLE = "table"  # as in finetuning/settings.py


def _settings_options(parser, names=tuple(_SETTINGS)):
    for name in names:
        field, convert, text = _SETTINGS[name]
        metavar = {str: "NAME", _SWITCH: "true|false"}.get(convert, "N")
        parser.add_argument(f"--{name}", dest=field, type=convert, metavar=metavar, help=text)


def _files_options(parser, data=None):
    parser.add_argument("--data", type=file_name, metavar="FOLDER", default=data,
                        help="GLUE's folder of folders, the folder with SQuAD's files, or a table of your own"
                             f" (default {data or 'data/glue or data/squad, by the task'})")  # fmt: skip
    parser.add_argument(
        "--train-file", type=file_name, metavar="FILE", help="SQuAD: this file instead of train-v*.json in the folder"
    )
    parser.add_argument(
        "--dev-file",
        type=file_name,
        metavar="FILE",
        help="SQuAD: this file instead of dev-v*.json in the folder; table: score on these rows",
    )
    parser.add_argument("--split-articles", type=positive, metavar="N",
                        help="SQuAD: train on the training file's first N articles, score on the rest")  # fmt: skip
    parser.add_argument("--leave-out", type=file_name, metavar="FILE", help="SQuAD: a JSON list of ids not to train on")


_COLUMNS = {
    "text": "the column with the text",
    "text-b": "a second text, for pairs",
    "label": "the column with the label",
    "encoding": "of the file, such as cp949 (default: found out)",
}


def _table_options(parser, names=tuple(_COLUMNS)):
    """What a table of your own needs; `glue` and `squad` read none."""
    for name in names:
        metavar = "NAME" if name == "encoding" else "COLUMN"
        parser.add_argument(f"--{name}", type=utf8_text, metavar=metavar, help=f"table: {_COLUMNS[name]}")


def _threads_option(parser):
    parser.add_argument("--threads", type=positive, metavar="N", help="number of threads (default: all)")


def _task_option(parser):
    parser.add_argument("--task", choices=_TASKS, metavar="TASK",
                        help="which task (default: table, a file of your own)")  # fmt: skip
    parser.epilog += f"; tasks: {', '.join(_TASKS)}"


def _common(arguments, names=tuple(_SETTINGS)):
    """-> keyword arguments of the functions in finetuning/, from the command line"""
    from ..finetuning.jobs import TaskFiles
    from ..kernels.runtime.jit import set_threads

    if arguments.threads:
        set_threads(arguments.threads)
    columns = {name: getattr(arguments, name, None) for name in ("text", "text_b", "label", "regression", "encoding")}
    data = arguments.data
    if not data and arguments.task != TABLE:
        data = f"data/{'squad' if arguments.task.startswith('squad') else 'glue'}"
    files = TaskFiles(data, arguments.train_file, arguments.dev_file, arguments.split_articles, arguments.leave_out,
                      **columns)  # fmt: skip
    return {
        "model": arguments.model,
        "files": files,
        **{f: getattr(arguments, f) for f, *_ in map(_SETTINGS.get, names)},
    }


def finetune(arguments):
    arguments.task = arguments.task or TABLE
    common = {"task": arguments.task, "out": arguments.out, "seed": arguments.seed, **_common(arguments)}
    if arguments.search is not None:
        from ..finetuning.search import format_search, search

        result = search(words=arguments.search, **common)
        print(json.dumps(result, indent=2) if arguments.json else format_search(result))
        return 0
    from ..finetuning.run import REPORT, format_summary, run

    summary = run(report=True, **common)
    print(json.dumps(summary, indent=2) if arguments.json else format_summary(summary))
    if not arguments.json and (report := pathlib.Path(arguments.out, REPORT)).is_file():
        print(f"Report: {report}")
    return 0


def _finetune_arguments(parser):
    _task_option(parser)
    _files_options(parser)
    _table_options(parser)
    parser.add_argument("--regression", action="store_true", default=None, help="table: labels are numbers to predict")
    model_option(parser)
    parser.add_argument(
        "--out",
        required=True,
        type=file_name,
        metavar="FOLDER",
        help="the folder of the run; the same command resumes it",
    )
    seed_option(parser)
    _settings_options(parser)
    parser.add_argument("--search", nargs="*", action="extend", metavar="NAME=VALUES",
                        help="all points of the paper's space, or of lr=1e-5,3e-5 batch=32 epochs=2,3")  # fmt: skip
    _threads_option(parser)
    json_option(parser)


def _use(arguments):
    """-> keyword arguments of `evaluate` and `predict`; whether they are about a table: if no task is named"""
    arguments.task = arguments.task or TABLE
    return _common(arguments, _FOR_USE), arguments.task == TABLE


def evaluate(arguments):
    common, table = _use(arguments)
    if arguments.report:
        from ..support.drawing import pyplot
        from ..support.files import check_replaceable

        if not arguments.report.lower().endswith((".html", ".htm")):
            raise ValueError(f"--report: found {arguments.report!r}, expected a name that ends in .html")
        check_replaceable(arguments.report)
        pyplot()  # what is missing must not show after the work
        common["report"] = arguments.report
    if table:
        from ..finetuning.table_evaluation import evaluate, format_evaluation

        result = evaluate(**common)
        print(json.dumps(result, indent=2) if arguments.json else format_evaluation(result))
        return 0
    from ..finetuning.saved_model import evaluate

    scores = evaluate(task=arguments.task, **common)
    if arguments.json:
        print(json.dumps(scores, indent=2))
        return 0
    for split, found in scores.items():
        for name, value in found.items():
            print(f"{split}  {name:<18}  {value:.4f}" if type(value) is float else f"{split}  {name:<18}  {value}")
    return 0


def _use_arguments(parser, columns):
    _task_option(parser)
    _files_options(parser)
    _table_options(parser, columns)
    model_option(parser)
    _settings_options(parser, _FOR_USE)
    _threads_option(parser)


def _evaluate_arguments(parser):
    _use_arguments(parser, tuple(_COLUMNS))
    parser.add_argument("--report", type=file_name, metavar="FILE", help="also write a page about it (extra plots)")
    json_option(parser)


def baselines(arguments):
    from ..finetuning.jobs import TaskFiles
    from ..finetuning.run import format_scores
    from ..pipeline.baselines import baselines

    found = baselines(task=arguments.task, data=TaskFiles(arguments.data or "data/glue").folder())
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        for name, scores in found.items():
            print(f"{name:<12}  {format_scores(scores)}")
    return 0


def _baselines_arguments(parser):
    tasks = tuple(task for task in _TASKS if task not in ("stsb", "squad1", "squad2"))
    parser.add_argument("--task", required=True, choices=tasks, help="one with classes", metavar="TASK")
    parser.add_argument("--data", type=file_name, metavar="FOLDER", help="GLUE's folder of folders (default data/glue)")
    parser.epilog += f"; tasks: {', '.join(tasks)}"
    json_option(parser)


def predict(arguments):
    common, table = _use(arguments)
    if table:
        from ..finetuning.table_prediction import predict

        print(predict(out=arguments.out, **common))
        return 0
    from ..finetuning.saved_model import predict

    for path in predict(task=arguments.task, out=arguments.out, **common):
        print(path)
    return 0


def _predict_arguments(parser):
    _use_arguments(parser, ("text", "text-b", "encoding"))
    parser.add_argument(
        "--out",
        required=True,
        type=file_name,
        metavar="PATH",
        help="the folder for the files that the sites score; for a table the file with predictions",
    )


def answer(arguments):
    from ..finetuning.saved_model import run_settings
    from ..inference.answer import answer, format_answers
    from ..inference.model import Model
    from ..support.regular_files import read_text

    may_be_none = run_settings(arguments.model).get("task") == "squad2"
    passage = arguments.passage if arguments.passage_file is None else read_text(arguments.passage_file)
    found = answer(Model.load(arguments.model), arguments.question, passage, arguments.top, may_be_none)
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        print(format_answers(passage, found, colour=sys.stdout.isatty()))
    return 0


def _answer_arguments(parser):
    parser.add_argument("--question", type=utf8_text, required=True, help="the question")
    passage = parser.add_mutually_exclusive_group(required=True)
    passage.add_argument("--passage", type=utf8_text, help="the text that contains the answer")
    passage.add_argument(
        "--passage-file", type=file_name, metavar="FILE", help="the same from a file, of any length, UTF-8"
    )
    parser.add_argument("--top", type=positive, default=5, metavar="N", help="number of candidates (default 5)")
    model_option(parser)
    json_option(parser)


def _table(arguments, tasks_of):
    trainers = {}
    if arguments.against:
        from ..bench.libraries import load, set_all_threads

        if arguments.sentence_vectors:
            raise ValueError("--against: found it with --sentence-vectors, which transformers has no head for")
        if not load(["torch"]):  # before our kernels: see libraries.py
            raise ValueError(f"--against: found no torch, expected it: {how_to_install('compare')}")
        from ..bench.finetuning_torch import train_torch
        from ..kernels.runtime.jit import get_num_threads

        set_all_threads(arguments.threads or get_num_threads(), ["torch"])
        trainers["torch"] = train_torch
    from ..finetuning.run import train_plan
    from ..finetuning.task_table import OURS, format_tasks, run_all

    common = _common(arguments)
    names = names_of(arguments.tasks, "--tasks")
    summaries = run_all(tasks=tasks_of(common["files"], names), seeds=seed_numbers(arguments.seeds), out=arguments.out,
                        trainers={OURS: train_plan, **trainers}, **common)  # fmt: skip
    print(json.dumps(summaries, indent=2) if arguments.json else format_tasks(summaries))
    return 0


def _table_arguments(name):
    def add(parser):
        _files_options(parser, f"data/{name}")
        model_option(parser)
        parser.add_argument("--tasks", default="", help="names, comma separated (default: all in the folder)")
        parser.add_argument("--seeds", default="1,2,3", help="numbers, comma separated (default 1,2,3)")
        parser.add_argument(
            "--out", default=f"runs/{name}", type=file_name, metavar="FOLDER", help=f"default runs/{name}"
        )
        parser.add_argument("--against", choices=("torch",),
                            help="train transformers' model on the same batches in the same precision too (extra"
                                 " compare)")  # fmt: skip
        _settings_options(parser)
        _threads_option(parser)
        json_option(parser)

    return add


def glue(arguments):
    from ..finetuning.task_table import glue_tasks

    return _table(arguments, glue_tasks)


def squad(arguments):
    from ..finetuning.task_table import squad_tasks

    return _table(arguments, squad_tasks)


COMMANDS = {
    "finetune": (
        "fine-tune a model on a table of your own, a task of GLUE, or SQuAD",
        "--data reviews.csv --text review --label stars --model runs/tiny --lr 4e-3 --out runs/reviews",
        _finetune_arguments, finetune,
    ),
    "evaluate": (
        "score a fine-tuned model on a task's dev rows, or on a table",
        "--task rte --data data/glue --model runs/rte --json", _evaluate_arguments, evaluate,
    ),
    "baselines": (
        "score a GLUE task without a model: majority, bag of words (extra compare)",
        "--task sst2 --data data/glue", _baselines_arguments, baselines,
    ),
    "predict": (
        "add a fine-tuned model's answers to a table, or write them for a task's site",
        "--data new.csv --model runs/reviews --out answers.csv", _predict_arguments, predict,
    ),
    "answer": (
        "find the answer to a question in a passage",
        "--question 'Who wrote it?' --passage 'Melville wrote it in 1851.' --model runs/squad1",
        _answer_arguments, answer,
    ),
    "glue": (
        "fine-tune all tasks of GLUE with several seeds, and print one table",
        "--data data/glue --model runs/mobilebert --tasks rte,mrpc --seeds 1,2,3", _table_arguments("glue"), glue,
    ),
    "squad": (
        "fine-tune on SQuAD v1.1 and v2.0 with several seeds, and print one table",
        "--data data/squad --model runs/mobilebert --seeds 1,2", _table_arguments("squad"), squad,
    ),
}  # fmt: skip
