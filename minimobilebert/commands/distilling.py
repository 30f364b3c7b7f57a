"""The commands that distil a student from a teacher of one's own, and that compare sentence encoders."""

import json
import pathlib

from ..distilling.students import NAMES
from ..support.numbers import COUNT, option
from .options import SETTINGS_PAGE, file_name, json_option, names_of, pairs, seed_option, utf8_text


def _pairs_to_measure(arguments):
    """The pairs of --measure -> Pairs or None. ValueError for an option that would be ignored."""
    from ..distilling.measure import STSB, read_pairs

    ignored = {None: ("data", "columns"), STSB: ("columns",)}.get(arguments.measure, ("data",))
    for name in ignored:
        if getattr(arguments, name) is not None:
            found = f"with --measure {arguments.measure}" if arguments.measure else "without --measure"
            expected = f"--measure {STSB}" if name == "data" else "--measure with a table"
            raise ValueError(f"--{name}: found it {found}, expected it with {expected} only")
    if arguments.measure is None:
        return None
    return read_pairs(arguments.measure, arguments.data, names_of(arguments.columns or "", "--columns"))


def _measure_arguments(parser, **options):
    parser.add_argument("--measure", type=file_name, metavar="WHAT", **options,
                        help="compare the models: stsb, or a table of pairs with a score")  # fmt: skip
    parser.add_argument("--data", type=file_name, metavar="FOLDER", help="the GLUE folder of --measure stsb")
    parser.add_argument("--columns", metavar="NAMES", help="the table's columns: first text, second text, score")


def distil(arguments):
    from ..distilling.report import rows_of_retention
    from ..distilling.run import EXAMPLE_SENTENCE, Wanted, run
    from ..support.extras import require
    from ..support.tables import aligned

    require("matplotlib", "plots")  # its report comes last; say so before a download
    sentence = EXAMPLE_SENTENCE if arguments.sentence is None else arguments.sentence
    if not sentence.strip():
        raise ValueError("--sentence: found nothing, expected words")
    wanted = Wanted(sentence, arguments.baseline, arguments.vectors_only, _pairs_to_measure(arguments))
    if arguments.teacher is None:
        from ..distilling.example_teacher import example_teacher

        arguments.teacher = example_teacher()
    summary = run(
        teacher=arguments.teacher, out=arguments.out, text=arguments.text, wanted=wanted, student=arguments.student,
        column=arguments.column, seed=arguments.seed, settings=pairs(arguments.set), layers=arguments.layers,
        steps=arguments.steps,
    )  # fmt: skip
    if arguments.json:
        print(json.dumps(summary, indent=2))
        return 0
    if summary["retention"]:
        print("\n".join(aligned(rows_of_retention(summary), ruled=True)))
    print(f"\n{summary['seconds']['total'] / 60:.1f} minutes. Report: {pathlib.Path(arguments.out) / 'report.html'}")
    return 0


def _distil_arguments(parser):
    parser.add_argument("--teacher", type=file_name, metavar="FOLDER",
                        help="a converted encoder, or a run or a stage of it (default: all-MiniLM-L6-v2, which is"
                        " downloaded and converted to runs/minilm)")  # fmt: skip
    parser.add_argument("--text", nargs="+", type=file_name, metavar="PATH",
                        help="texts to learn from, without labels: prepared text, or what `prepare` reads (default: the"
                        " shipped texts)")  # fmt: skip
    parser.add_argument("--column", type=utf8_text, metavar="NAME", help="tables: the column with the text")
    parser.add_argument(
        "--out",
        default="runs/distilled",
        type=file_name,
        metavar="FOLDER",
        help="where to write (default runs/distilled)",
    )
    parser.add_argument("--student", default="mobile", choices=NAMES, help="its size (default mobile)")
    parser.add_argument("--steps", type=option(COUNT), metavar="N", help="updates of the student")
    parser.add_argument("--layers", metavar="LIST",
                        help="the teacher's layers to imitate, as 1,3,5 (default: evenly spread)")  # fmt: skip
    parser.add_argument("--set", nargs="*", action="extend", default=[], metavar="NAME=VALUE",
                        help=f"change settings of the run ({SETTINGS_PAGE} lists them with their defaults) or fields of"
                        " the student (minimobilebert/config.py)")  # fmt: skip
    seed_option(parser)
    _measure_arguments(parser)
    parser.add_argument("--sentence", type=utf8_text, help="the report draws the attention maps of this sentence")
    parser.add_argument("--vectors-only", action="store_true",
                        help="also train the same student on sentence vectors alone")  # fmt: skip
    parser.add_argument("--baseline", action="store_true", help="also train the same student without a teacher")
    json_option(parser)


def pareto(arguments):
    from ..distilling.pareto import chart, rows_of, side_by_side
    from ..support.extras import require
    from ..support.files import write_text
    from ..support.requirements import check_new_file
    from ..support.tables import aligned

    if arguments.svg:
        require("matplotlib", "plots")
        check_new_file(arguments.svg)
    measured = _pairs_to_measure(arguments)
    found = side_by_side(arguments.models, measured)
    print(json.dumps(found, indent=2) if arguments.json else "\n".join(aligned(rows_of(found), ruled=True)))
    if arguments.svg:
        write_text(arguments.svg, chart(found, measured.name))
    return 0


def _pareto_arguments(parser):
    parser.add_argument("models", nargs="+", type=file_name, metavar="FOLDER", help="model folders or runs")
    _measure_arguments(parser, required=True)
    parser.add_argument("--svg", type=file_name, metavar="FILE", help="write a chart (extra plots)")
    json_option(parser)


COMMANDS = {
    "distil": (
        "teach a small student what any encoder knows, from text alone",
        "--teacher runs/minilm --out runs/student --measure stsb --data data/glue", _distil_arguments, distil,
    ),
    "pareto": (
        "sentence encoders side by side: size, latency, and how well they know what is alike",
        "runs/minilm runs/distilled --measure stsb --data data/glue", _pareto_arguments, pareto,
    ),
}  # fmt: skip
