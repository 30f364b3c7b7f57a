"""The command line. It parses and prints; a command imports the room it calls only when it runs, so help is instant."""

import argparse
import json
import pathlib
import subprocess
import sys

from . import __version__
from .errors import TrainingDiverged


def _pairs(words):
    pairs = {}
    for word in words:
        name, _, value = word.partition("=")
        if not (name and value):
            raise ValueError(f"--set: found {word!r}, expected NAME=VALUE")
        pairs[name] = value
    return pairs


def _numbers(text):
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise ValueError(f"--seeds: found {text!r}, expected whole numbers, comma separated") from None


def setup(arguments):
    from .bootstrap import setup

    return setup([extra for extra in arguments.extras.split(",") if extra])


def doctor(arguments):
    from .doctor import diagnose, format_diagnosis

    checks = diagnose()
    print(json.dumps(checks, indent=2) if arguments.json else format_diagnosis(checks))
    return 0 if all(check["ok"] for check in checks) else 1


def test(arguments):
    root = pathlib.Path(__file__).resolve().parents[1]
    return subprocess.call([sys.executable, "-m", "pytest", *arguments.pytest], cwd=root)


def gradcheck(arguments):
    from .gradcheck_table import format_rows, run_all

    rows = run_all(arguments.seed)
    print(json.dumps(rows, indent=2) if arguments.json else format_rows(rows))
    return 0 if all(row["ok"] for row in rows) else 1


def models(arguments):
    from .model.sizes import describe_presets, format_sizes

    rows = describe_presets()
    print(json.dumps(rows, indent=2) if arguments.json else format_sizes(rows))
    return 0


def train_tiny(arguments):
    from .pipeline.report import format_table, results_table
    from .pipeline.train_tiny import run

    summary = run(seed=arguments.seed, out=arguments.out, text=arguments.text, settings=_pairs(arguments.set))
    print(format_table(results_table(summary)))
    print(f"\n{summary['seconds']['total'] / 60:.1f} minutes. Report: {pathlib.Path(arguments.out) / 'report.html'}")
    return 0


def seeds(arguments):
    from .pipeline.seeds import run

    print(run(seeds=_numbers(arguments.seeds), out=arguments.out, settings=_pairs(arguments.set)))
    return 0


def ablate(arguments):
    from .pipeline.ablate import run
    from .pipeline.ablation_report import format_ablations

    summary = run(seeds=_numbers(arguments.seeds), out=arguments.out, settings=_pairs(arguments.set))
    print(json.dumps(summary, indent=2) if arguments.json else format_ablations(summary))
    return 0


def sweep(arguments):
    from .pipeline.sweep import RATES, format_rows, run

    rates = [float(rate) for rate in arguments.rates.split(",")] if arguments.rates else RATES
    rows = run(folder=arguments.run, rates=rates)
    print(json.dumps(rows, indent=2) if arguments.json else format_rows(rows))
    return 0


def _json_option(parser):
    parser.add_argument("--json", action="store_true", help="print the data as JSON")


def _settings_option(parser):
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE",
                        help="change settings of the run (minimobilebert/pipeline/settings.py lists them)")  # fmt: skip


def _setup_arguments(parser):
    parser.add_argument("--extras", default="", help="more extras than test and plots, comma separated")


def _gradcheck_arguments(parser):
    parser.add_argument("--seed", type=int, default=1, help="draws sizes, inputs and upstream gradients (default 1)")
    _json_option(parser)


def _test_arguments(parser):
    parser.epilog += "; every argument goes to pytest"
    parser.set_defaults(pytest=[])


def _train_tiny_arguments(parser):
    parser.add_argument("--seed", type=int, default=1, help="every random number of the run comes from it (default 1)")
    parser.add_argument("--out", default="runs/tiny", metavar="FOLDER", help="where to write (default runs/tiny)")
    parser.add_argument("--text", metavar="FOLDER", help="your own .txt files, one document a file, UTF-8")
    _settings_option(parser)


def _seeds_arguments(parser):
    parser.add_argument("--seeds", default="1,2,3,4,5", help="which ones, comma separated (default 1,2,3,4,5)")
    parser.add_argument("--out", default="runs/seeds", metavar="FOLDER", help="where to write (default runs/seeds)")
    _settings_option(parser)


def _ablate_arguments(parser):
    parser.add_argument("--seeds", default="1,2,3", help="which ones, comma separated (default 1,2,3)")
    parser.add_argument("--out", default="runs/ablate", metavar="FOLDER", help="where to write (default runs/ablate)")
    _settings_option(parser)
    _json_option(parser)


def _sweep_arguments(parser):
    parser.add_argument("--run", default="runs/tiny", metavar="FOLDER", help="a finished run (default runs/tiny)")
    parser.add_argument("--rates", help="learning rates, comma separated")
    _json_option(parser)


# name: (what it does, example, arguments, function)
COMMANDS = {
    "setup": ("make .venv and install the project into it", "--extras compare", _setup_arguments, setup),
    "doctor": ("check Python, packages, processor and texts", "--json", _json_option, doctor),
    "test": ("run the tests", "-k attention", _test_arguments, test),
    "gradcheck": ("check every backward pass against finite differences", "--seed 7", _gradcheck_arguments, gradcheck),
    "models": ("parameters and operations of every model of the paper", "--json", _json_option, models),
    "train-tiny": (
        "the whole paper at classroom size: teacher, transfer, distillation, report",
        "--seed 2 --out runs/second --set teacher_steps=500", _train_tiny_arguments, train_tiny,
    ),
    "sweep": (
        "both students at several learning rates, from a finished run",
        "--rates 4e-3,8e-3", _sweep_arguments, sweep,
    ),
    "ablate": (
        "the paper's Tables 7, 8 and 9 at classroom size, with several seeds",
        "--seeds 1,2 --out runs/ablate", _ablate_arguments, ablate,
    ),
    "seeds": ("train-tiny with several seeds, and the table of results", "--seeds 1,2,3", _seeds_arguments, seeds),
}  # fmt: skip


def make_parser():
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="minimobilebert", description="MobileBERT from scratch, to read and to train."
    )
    parser.add_argument("--version", action="version", version=f"minimobilebert {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (description, example, add_arguments, function) in COMMANDS.items():
        command = commands.add_parser(name, help=description, description=description.capitalize() + ".",
                                      epilog=f"example: python -m minimobilebert {name} {example}")  # fmt: skip
        add_arguments(command)
        command.set_defaults(function=function)
    return parser


def main(argv=None):
    """Run one command -> exit code: 0 done, 1 failed, 2 unusable input or arguments, 130 interrupted."""
    parser = make_parser()
    arguments, others = parser.parse_known_args(argv)
    if hasattr(arguments, "pytest"):
        arguments.pytest = others
    elif others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    try:
        return arguments.function(arguments)
    except BrokenPipeError:
        sys.stderr.close()  # the reader (head, less) has left; nobody wants a message about it
        return 0
    except (ValueError, OSError) as error:
        print(f"minimobilebert: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except TrainingDiverged as error:
        print(f"minimobilebert: failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interruption:
        print(f"minimobilebert: {str(interruption) or 'interrupted; nothing is lost'}", file=sys.stderr)
        return 130
