"""The command that measures models side by side on one text."""

import json
import os
import sys

from .options import file_name, json_option, positive


def latency(arguments):
    from ..bench.arguments import threads_of
    from ..bench.latency_models import lengths_of, libraries_of, names_of, sides_of
    from ..bench.libraries import describe, handicaps, load
    from ..support.extras import require
    from ..support.files import write_text
    from ..support.requirements import check_new_file

    names = names_of(arguments.models)
    lengths = None if arguments.length is None else lengths_of(arguments.length)
    threads, libraries = threads_of(arguments.threads), libraries_of(arguments.against)
    if arguments.svg:
        require("matplotlib", "plots")
        check_new_file(arguments.svg)
    others = load(sides_of(libraries))  # before the kernels

    from ..bench.latency import check_lengths, default_length, load_models, rows_of, run
    from ..bench.latency_table import format_report, svg_of

    models = load_models(names)
    lengths = lengths or [default_length(models)]
    check_lengths(models, lengths)
    print("\n".join([*handicaps(os.environ), *describe(others)]), file=sys.stderr)
    report = run(models, lengths, threads, others, arguments.turns, arguments.memory)
    print(json.dumps(rows_of(report), indent=2) if arguments.json else format_report(report))
    if arguments.svg:
        write_text(arguments.svg, svg_of(report))
    return 0


def _latency_arguments(parser):
    parser.add_argument("models", nargs="+", type=file_name, metavar="MODEL",
                        help="names of models (bench/latency_models.py has them; random weights), or `paper` for all"
                        " of the paper's, and model folders")  # fmt: skip
    parser.add_argument(
        "--length", metavar="N", help="tokens of the text, comma separated (default 128, or what all models can read)"
    )
    parser.add_argument("--threads", default="", help="numbers of threads, comma separated (default: 1 and all)")
    parser.add_argument("--against", metavar="NAMES",
                        help="torch,onnxruntime, or none (default: those that are installed)")  # fmt: skip
    parser.add_argument("--turns", type=positive, help="how often each side is measured (default 15, less often on a"
                        " slow machine)")  # fmt: skip
    parser.add_argument("--memory", action="store_true", help="measure peak memory, in a new process for each model")
    parser.add_argument("--svg", type=file_name, metavar="FILE", help="write the chart of bars (extra plots)")
    json_option(parser)


COMMANDS = {
    "latency": (
        "measure models on one text, in three precisions, beside PyTorch and ONNX Runtime (those: extra compare)",
        "mobilebert bert-base --threads 1", _latency_arguments, latency,
    ),
}  # fmt: skip
