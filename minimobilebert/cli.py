"""The command line. It parses and prints; a command imports the room it calls only when it runs, so help is instant."""

import argparse
import json
import pathlib
import subprocess
import sys

from . import __version__
from .errors import TrainingDiverged
from .extras import require


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

    rows = describe_presets(arguments.tokens, arguments.batch)
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


def convert(arguments):
    from .interop.convert import from_hf, to_hf

    forward = (arguments.from_hf, arguments.to)
    backward = (arguments.from_run, arguments.to_hf)
    if all(forward) and not any(backward):
        done = from_hf(*forward)
    elif all(backward) and not any(forward):
        done = to_hf(*backward)
    else:
        raise ValueError("convert: expected --from-hf FOLDER --to FOLDER, or --from FOLDER --to-hf FOLDER")
    for name, reason in done.notes.items():
        print(f"left out {name}: {reason}", file=sys.stderr)
    print(f"{done.tensors} tensors, {done.config.prefix}, head: {done.head or 'none'}")
    return 0


def _model(arguments):
    from .inference.model import Model

    return Model.load(arguments.model)


def fill_mask(arguments):
    from .inference.fill_mask import fill_mask, format_answers

    answers = fill_mask(_model(arguments), arguments.text, arguments.top)
    print(json.dumps(answers, indent=2) if arguments.json else format_answers(arguments.text, answers))
    return 0


def _lines_of_standard_input():
    """Its lines that are not empty, read as UTF-8 whatever the terminal's encoding is -> list of str"""
    if sys.stdin.isatty():
        print("reading texts, one a line, until the end of the input (Ctrl-D; on Windows Ctrl-Z)", file=sys.stderr)
    lines = sys.stdin.buffer.read().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"standard input, line {number}: found byte 0x{line[error.start]:02x}, expected UTF-8"
            ) from None
    return [line.decode("utf-8") for line in lines if line.strip()]


def embed(arguments):
    from .inference.embed import embed, format_similarities

    texts = arguments.text or _lines_of_standard_input()
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise ValueError(f"text {number}: found nothing, expected words")
    if not texts:
        raise ValueError("text: found none, expected some as arguments or as lines of the standard input")
    vectors = embed(_model(arguments), texts, pooling=arguments.pooling)
    rows = [{"text": text, "vector": vector.tolist()} for text, vector in zip(texts, vectors, strict=True)]
    print(json.dumps(rows) if arguments.json else format_similarities(texts, vectors))
    return 0


def nsp(arguments):
    from .inference.next_sentence import next_sentence

    answer = next_sentence(_model(arguments), arguments.first, arguments.second)
    print(json.dumps(answer) if arguments.json else f"follows {answer['follows']:.4f}  random {answer['random']:.4f}")
    return 0


def parity(arguments):
    from .parity.run import run
    from .parity.table import format_report

    report = run(arguments.seed)
    print(json.dumps(report, indent=2) if arguments.json else format_report(report))
    return 0 if report["ok"] else 1


def ablate(arguments):
    from .pipeline.ablate import run
    from .pipeline.ablation_report import format_ablations

    summary = run(seeds=_numbers(arguments.seeds), out=arguments.out, settings=_pairs(arguments.set))
    print(json.dumps(summary, indent=2) if arguments.json else format_ablations(summary))
    return 0


def bench(arguments):
    from .bench.arguments import libraries_of, parts_of, threads_of
    from .bench.libraries import describe, load

    names, threads = parts_of(arguments.only), threads_of(arguments.threads)
    if arguments.svg:
        if "ladder" not in names:
            raise ValueError("--svg: found no ladder among the parts, expected it: it is what the chart shows")
        require("matplotlib", "plots")
    others = load(libraries_of(names))  # before our kernels: see libraries.py

    from .bench.ladder import chart, write_chart
    from .bench.run import run
    from .bench.table import format_rows

    print("\n".join(describe(others)), file=sys.stderr)
    rows, peaks = run(names, threads, others, arguments.turns)
    if arguments.svg:
        write_chart(arguments.svg, rows, peaks)
    if arguments.json:
        print(json.dumps([row.data for row in rows], indent=2))
    else:
        print("\n\n".join(filter(None, [format_rows(rows, peaks), chart(rows, peaks)])))
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


def _models_arguments(parser):
    parser.add_argument("--tokens", type=int, default=128, metavar="N", help="length of a sequence (default 128)")
    parser.add_argument("--batch", type=int, default=32, metavar="N", help="sequences in a batch (default 32)")
    _json_option(parser)


def _parity_arguments(parser):
    parser.add_argument("--seed", type=int, default=1, help="draws small models, weights and batches (default 1)")
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


def _convert_arguments(parser):
    parser.add_argument("--from-hf", metavar="FOLDER", help="a folder with config.json, model.safetensors, vocab.txt")
    parser.add_argument("--to", metavar="FOLDER", help="where to write our model folder; new or empty")
    parser.add_argument("--from", dest="from_run", metavar="FOLDER", help="a run, a stage of it, or a converted model")
    parser.add_argument("--to-hf", metavar="FOLDER", help="where to write for Hugging Face; new or empty")


def _model_option(parser):
    parser.add_argument("--model", default="runs/tiny", metavar="FOLDER",
                        help="a run, a stage of it, or a converted model (default runs/tiny)")  # fmt: skip


def _fill_mask_arguments(parser):
    parser.add_argument("text", help="with [MASK] where a word is to be guessed")
    parser.add_argument("--top", type=int, default=5, help="how many candidates (default 5)")
    _model_option(parser)
    _json_option(parser)


def _embed_arguments(parser):
    parser.add_argument("text", nargs="*", help="texts; without any, every line of the standard input is one")
    parser.add_argument("--pooling", default="mean", choices=("mean", "cls"), help="how a text becomes one vector")
    _model_option(parser)
    _json_option(parser)


def _nsp_arguments(parser):
    parser.add_argument("first", help="a text")
    parser.add_argument("second", help="the text that may follow it")
    _model_option(parser)
    _json_option(parser)


def _ablate_arguments(parser):
    parser.add_argument("--seeds", default="1,2,3", help="which ones, comma separated (default 1,2,3)")
    parser.add_argument("--out", default="runs/ablate", metavar="FOLDER", help="where to write (default runs/ablate)")
    _settings_option(parser)
    _json_option(parser)


def _positive(text):
    number = int(text)
    if number < 1:
        raise ValueError
    return number


_positive.__name__ = "whole number above 0"  # argparse puts it into its message


def _bench_arguments(parser):
    parser.add_argument("--only", action="append", default=[], metavar="NAME",
                        help="this part; again, or with commas, for more (bench/arguments.py has them)")  # fmt: skip
    parser.add_argument("--threads", default="", help="numbers of threads, comma separated (default: 1 and all)")
    parser.add_argument(
        "--turns",
        type=_positive,
        help="how often each side is measured (default: 4 to 15, less often on a slow machine)",
    )
    parser.add_argument("--svg", metavar="FILE", help="write the matrix product's ladder as a chart (extra plots)")
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
    "models": (
        "parameters, operations and memory of every model, beside the paper's figures",
        "--tokens 384 --batch 8", _models_arguments, models,
    ),
    "train-tiny": (
        "the whole paper at classroom size: teacher, transfer, distillation, report",
        "--seed 2 --out runs/second --set teacher_steps=500", _train_tiny_arguments, train_tiny,
    ),
    "sweep": (
        "both students at several learning rates, from a finished run",
        "--rates 4e-3,8e-3", _sweep_arguments, sweep,
    ),
    "fill-mask": (
        "guess the words behind [MASK]",
        "'The [MASK] of the United States.' --model runs/tiny --top 3", _fill_mask_arguments, fill_mask,
    ),
    "embed": (
        "turn texts into vectors, and compare them",
        "'A ship at sea.' 'A boat on the water.' --model runs/tiny", _embed_arguments, embed,
    ),
    "nsp": (
        "does the second text follow the first?",
        "'We set sail at dawn.' 'The wind was fair.' --model runs/tiny", _nsp_arguments, nsp,
    ),
    "convert": (
        "read or write a Hugging Face checkpoint (extra interop)",
        "--from-hf mobilebert-uncased --to runs/mobilebert", _convert_arguments, convert,
    ),
    "parity": (
        "compare with transformers: every layer, every gradient (extra compare)",
        "--seed 2", _parity_arguments, parity,
    ),
    "bench": (
        "speed beside NumPy, PyTorch and ONNX Runtime, in turns (the last two: extra compare)",
        "--only matmul_forward,ladder --threads 1", _bench_arguments, bench,
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
        place = getattr(error, "filename", None)
        text = f"{place}: {error.strerror}" if place and error.strerror else str(error)
        print(f"minimobilebert: error: {' '.join(text.split())}", file=sys.stderr)
        return 2
    except TrainingDiverged as error:
        print(f"minimobilebert: failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interruption:
        print(f"minimobilebert: {str(interruption) or 'interrupted; nothing is lost'}", file=sys.stderr)
        return 130
