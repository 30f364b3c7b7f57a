"""Commands for training at classroom size: one run, several seeds, learning rates, or variants."""

import json
import pathlib

from ..support.numbers import RATE, numbers_of
from ..support.project import ROOT
from .options import file_name, json_option, pairs, seed_numbers, seed_option, settings_option


def train_tiny(arguments):
    from ..distributed.communicator import current
    from ..pipeline.report import format_table, results_table
    from ..pipeline.train_tiny import run

    changes = pairs(arguments.set)
    if (ROOT / "lessons" / "edition.json").exists() and current().rank == 0:
        from ..course.shared.manifest import load
        from ..course.student.before_training import before_training
        from ..pipeline.settings import settings_from_strings

        before_training(load(), settings_from_strings(arguments.seed, changes), arguments.anyway)
    summary = run(seed=arguments.seed, out=arguments.out, text=arguments.text, settings=changes)
    print(format_table(results_table(summary)))
    print(f"\n{summary['seconds']['total'] / 60:.1f} minutes. Report: {pathlib.Path(arguments.out) / 'report.html'}")
    return 0


def _train_tiny_arguments(parser):
    seed_option(parser)
    parser.add_argument(
        "--out", default="runs/tiny", type=file_name, metavar="FOLDER", help="where to write (default runs/tiny)"
    )
    parser.add_argument("--text", nargs="+", type=file_name, metavar="FOLDER",
                        help="your own .txt files in one or more folders, one document per file, UTF-8")  # fmt: skip
    parser.add_argument("--anyway", action="store_true", help="train even if a check of your functions fails (in a"
                        " student edition)")  # fmt: skip
    settings_option(parser)


def seeds(arguments):
    from ..pipeline.seeds import run

    print(run(seeds=seed_numbers(arguments.seeds), out=arguments.out, settings=pairs(arguments.set)))
    return 0


def _seeds_arguments(parser):
    parser.add_argument("--seeds", default="1,2,3,4,5", help="numbers, comma separated (default 1,2,3,4,5)")
    parser.add_argument(
        "--out", default="runs/seeds", type=file_name, metavar="FOLDER", help="where to write (default runs/seeds)"
    )
    settings_option(parser)


def sweep(arguments):
    from ..pipeline.sweep import RATES, format_rows, run

    rates = RATES if arguments.rates is None else numbers_of(arguments.rates, RATE, "--rates")
    rows = run(folder=arguments.run, rates=rates)
    print(json.dumps(rows, indent=2) if arguments.json else format_rows(rows))
    return 0


def _sweep_arguments(parser):
    parser.add_argument(
        "--run", default="runs/tiny", type=file_name, metavar="FOLDER", help="a finished run (default runs/tiny)"
    )
    parser.add_argument("--rates", help="learning rates, comma separated (default 0.002,0.004,0.008,0.012,0.016)")
    json_option(parser)


def ablate(arguments):
    from ..pipeline.ablate import run
    from ..pipeline.ablation_report import format_ablations

    summary = run(seeds=seed_numbers(arguments.seeds), out=arguments.out, settings=pairs(arguments.set))
    print(json.dumps(summary, indent=2) if arguments.json else format_ablations(summary))
    return 0


def _ablate_arguments(parser):
    parser.add_argument("--seeds", default="1,2,3", help="numbers, comma separated (default 1,2,3)")
    parser.add_argument(
        "--out", default="runs/ablate", type=file_name, metavar="FOLDER", help="where to write (default runs/ablate)"
    )
    settings_option(parser)
    json_option(parser)


COMMANDS = {
    "train-tiny": (
        "the whole paper at classroom size: teacher, transfer, distillation, report",
        "--seed 2 --out runs/second --set teacher_steps=500", _train_tiny_arguments, train_tiny,
    ),
    "sweep": (
        "both students at several learning rates, from a finished run",
        "--rates 4e-3,8e-3", _sweep_arguments, sweep,
    ),
    "seeds": ("train-tiny with several seeds, and the table of results", "--seeds 1,2,3", _seeds_arguments, seeds),
    "ablate": (
        "the paper's Tables 7, 8 and 9 at classroom size, with several seeds",
        "--seeds 1,2 --out runs/ablate", _ablate_arguments, ablate,
    ),
}  # fmt: skip
