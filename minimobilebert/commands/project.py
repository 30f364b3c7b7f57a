"""Commands for the project itself: setup, tests, checks, benchmarks."""

import json
import os
import subprocess
import sys

from ..support.extras import require
from ..support.project import ROOT, part_of_project
from .options import file_name, json_option, positive, seed_option, whole


def setup(arguments):
    from ..bootstrap import setup

    return setup([extra for extra in arguments.extras.split(",") if extra])


def _setup_arguments(parser):
    parser.add_argument("--extras", default="", help="more extras than test and plots, comma separated")


def doctor(arguments):
    from ..doctor import diagnose, format_diagnosis

    checks = diagnose()
    print(json.dumps(checks, indent=2) if arguments.json else format_diagnosis(checks))
    return 0 if all(check["ok"] for check in checks) else 1


def test(arguments):
    part_of_project("tests")
    require("pytest", "test")
    words = arguments.pytest or ["--workers=auto"]  # see tests/workers.py
    return subprocess.call([sys.executable, "-m", "pytest", *words], cwd=ROOT)


def _test_arguments(parser):
    parser.epilog += "; every argument goes to pytest; without any, all processors share the test files"
    parser.set_defaults(pytest=[])


def lint(arguments):
    part_of_project("pyproject.toml")  # what the programs are to check, and how
    for module in ("ruff", "mypy"):
        require(module, "lint")
    fix, check = (["--fix"], []) if arguments.fix else ([], ["--check"])
    programs = ["ruff", "check", *fix], ["ruff", "format", *check], ["mypy"]
    codes = [subprocess.call([sys.executable, "-m", *words], cwd=ROOT) for words in programs]
    return 1 if any(codes) else 0


def _lint_arguments(parser):
    parser.add_argument("--fix", action="store_true", help="format all files, and fix what can be fixed")


def gradcheck(arguments):
    from ..gradcheck.table import format_rows, run_all

    rows = run_all(arguments.seed)
    print(json.dumps(rows, indent=2) if arguments.json else format_rows(rows))
    return 0 if all(row["ok"] for row in rows) else 1


def _gradcheck_arguments(parser):
    seed_option(parser, "draws sizes, inputs and upstream gradients (default 1)")
    json_option(parser)


def models(arguments):
    from .paper_sizes import describe_presets, format_sizes

    rows = describe_presets(arguments.tokens, arguments.batch, arguments.ranks)
    print(json.dumps(rows, indent=2) if arguments.json else format_sizes(rows))
    return 0


def _models_arguments(parser):
    parser.add_argument("--tokens", type=whole, default=128, metavar="N", help="length of a sequence (default 128)")
    parser.add_argument("--batch", type=whole, default=32, metavar="N", help="sequences in a batch (default 32)")
    parser.add_argument("--ranks", type=whole, default=1, metavar="N",
                        help="memory of one of N ranks that share batch and optimiser (default 1)")  # fmt: skip
    json_option(parser)


def parity(arguments):
    from ..parity.run import run
    from ..parity.table import format_report

    report = run(arguments.seed)
    print(json.dumps(report, indent=2) if arguments.json else format_report(report))
    return 0 if report["ok"] else 1


def _parity_arguments(parser):
    seed_option(parser, "draws small models, weights and batches (default 1)")
    json_option(parser)


def verify(arguments):
    from ..verification.run import BOTH, format_report, verify, write_expected

    report = verify(dtypes=BOTH) if arguments.all or arguments.write else verify()
    if arguments.write:
        write_expected(report)
    print(json.dumps(report, indent=2) if arguments.json else format_report(report))
    return 0 if report["ok"] or arguments.write else 1


def _verify_arguments(parser):
    parser.add_argument("--all", action="store_true", help="operations in float64 too, which no training uses")
    parser.add_argument("--write", action="store_true",
                        help="expect these hashes from now on (after a change of the arithmetic)")  # fmt: skip
    json_option(parser)


def bench(arguments):
    from ..bench.arguments import libraries_of, parts_of, threads_of
    from ..bench.libraries import describe, handicaps, load
    from ..support.requirements import check_new_file

    names, threads = parts_of(arguments.only), threads_of(arguments.threads)
    if arguments.svg:
        if "ladder" not in names:
            raise ValueError("--svg: found no ladder among the parts, expected it: it is what the chart shows")
        require("matplotlib", "plots")
        check_new_file(arguments.svg)
    others = load(libraries_of(names))  # before the kernels; see libraries.py

    from ..bench.ladder import chart, write_chart
    from ..bench.run import run
    from ..bench.table import format_rows

    print("\n".join([*handicaps(os.environ), *describe(others)]), file=sys.stderr)
    rows, peaks = run(names, threads, others, arguments.turns)
    if arguments.svg:
        write_chart(arguments.svg, rows, peaks)
    if arguments.json:
        print(json.dumps([row.data for row in rows], indent=2))
    else:
        print("\n\n".join(filter(None, [format_rows(rows, peaks), chart(rows, peaks)])))
    return 0


def _bench_arguments(parser):
    parser.add_argument("--only", action="append", default=[], metavar="NAME",
                        help="this part; again, or with commas, for more (bench/arguments.py has them)")  # fmt: skip
    parser.add_argument("--threads", default="", help="numbers of threads, comma separated (default: 1 and all)")
    parser.add_argument(
        "--turns",
        type=positive,
        help="how often each side is measured (default: 4 to 15, less often on a slow machine)",
    )
    parser.add_argument(
        "--svg", type=file_name, metavar="FILE", help="write the matrix product's ladder as a chart (extra plots)"
    )
    json_option(parser)


COMMANDS = {
    "setup": ("make .venv and install the project into it", "--extras compare", _setup_arguments, setup),
    "doctor": ("check Python, packages, processor and texts", "--json", json_option, doctor),
    "test": ("run the tests", "-k attention", _test_arguments, test),
    "lint": ("check style, format and type hints (extra lint)", "--fix", _lint_arguments, lint),
    "gradcheck": ("check every backward pass against finite differences", "--seed 7", _gradcheck_arguments, gradcheck),
    "verify": (
        "check that this machine computes the expected results, bit for bit", "--json", _verify_arguments, verify,
    ),
    "models": (
        "show parameters, operations and memory of all models, and the paper's figures",
        "--tokens 384 --batch 8", _models_arguments, models,
    ),
    "parity": (
        "compare with transformers: every layer, every gradient (extra compare)",
        "--seed 2", _parity_arguments, parity,
    ),
    "bench": (
        "compare the speed with NumPy, PyTorch and ONNX Runtime (the last two: extra compare)",
        "--only matmul_forward,ladder --threads 1", _bench_arguments, bench,
    ),
}  # fmt: skip
