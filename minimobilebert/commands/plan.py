"""The command that computes what training costs on machines that are not at hand."""

import json

from ..support.numbers import option
from ..support.shapes import Number
from .options import file_name, json_option, positive

_REDUCTIONS = ("deterministic", "fast", "ring", "bfloat16")  # as in distributed/reduction.py
_SECONDS = Number(1e-9, 1e9)


def plan(arguments):
    from ..bench.plan import CORPUS_TOKENS, Request, as_json, check_request, config_of, job_of, make_plan
    from ..bench.plan_table import format_plan, svg_of
    from ..distributed.cost import Network
    from ..support import quantities
    from ..support.extras import require
    from ..support.files import write_text
    from ..support.requirements import check_new_file

    network = Network(
        quantities.bandwidth(arguments.network, "--network"), quantities.seconds(arguments.latency, "--latency"),
        quantities.seconds(arguments.overhead, "--overhead"),
    )  # fmt: skip
    if arguments.svg:
        require("matplotlib", "plots")
        check_new_file(arguments.svg)
    config = config_of(arguments.model)
    job = job_of(config, arguments.batch, arguments.part, arguments.reduction, arguments.overlap)
    tokens = arguments.tokens or CORPUS_TOKENS
    request = Request(arguments.model, config, job, arguments.length, tokens, arguments.ranks, network)
    check_request(request)
    times, measured = _times(arguments, request)
    found = make_plan(request, times)
    source = "--tokens" if arguments.tokens else ""
    print(json.dumps(as_json(found), indent=2) if arguments.json else format_plan(found, source, measured))
    if arguments.svg:
        write_text(arguments.svg, svg_of(found))
    return 0


def _times(arguments, request):
    """-> StepTimes, and how they were found"""
    from ..bench.step_cost import StepTimes

    job = request.job
    if arguments.step_seconds is not None:
        rows = min(job.part, job.batch)
        times = StepTimes({rows: arguments.step_seconds}, arguments.update_seconds)
        return times, "given (--step-seconds), in proportion to the rows; sums count as nothing"
    if arguments.update_seconds:
        raise ValueError("--update-seconds: found it without --step-seconds, expected both or none")

    from ..bench.step_times import measure_step
    from ..kernels.runtime.threads import get_num_threads, set_threads

    if arguments.threads:
        set_threads(arguments.threads)
    times = measure_step(request.config, job.batch, job.part, request.length, job.reduction)
    threads = get_num_threads()
    return times, f"measured on this machine, {threads} thread{'s' * (threads > 1)} a rank"


def _plan_arguments(parser):
    parser.add_argument("--model", required=True, type=file_name, metavar="MODEL",
                        help="a name (`models` lists them; classroom-1, classroom-2), or a model folder")  # fmt: skip
    parser.add_argument("--ranks", required=True, type=positive, metavar="N", help="the most ranks of the table")
    parser.add_argument("--network", required=True, metavar="RATE", help="what each rank can send, such as 10Gbit")
    parser.add_argument("--latency", default="50us", metavar="TIME",
                        help="seconds from one rank to another (default 50us)")  # fmt: skip
    parser.add_argument("--overhead", default="5us", metavar="TIME",
                        help="processor time of one message (default 5us)")  # fmt: skip
    parser.add_argument("--batch", type=positive, default=4096, metavar="ROWS",
                        help="rows of a step, on all ranks together (default 4096, the paper's)")  # fmt: skip
    parser.add_argument("--length", type=positive, default=128, metavar="TOKENS", help="of a row (default 128)")
    parser.add_argument("--part", type=positive, default=8, metavar="ROWS",
                        help="rows that a rank computes at a time, at most (default 8)")  # fmt: skip
    parser.add_argument("--tokens", type=positive, metavar="N",
                        help="tokens of an epoch (default 3,300,000,000: Wikipedia and BooksCorpus)")  # fmt: skip
    parser.add_argument("--reduction", choices=_REDUCTIONS, default=_REDUCTIONS[0],
                        help=f"how gradients are added (default {_REDUCTIONS[0]})")  # fmt: skip
    parser.add_argument("--overlap", action="store_true",
                        help="let gradients travel during the backward pass, as an ideal bound")  # fmt: skip
    parser.add_argument("--step-seconds", type=option(_SECONDS), metavar="S",
                        help="losses and gradients of one part on one rank; measure nothing")  # fmt: skip
    parser.add_argument("--update-seconds", type=option(Number(0.0, 1e9)), default=0.0, metavar="S",
                        help="clipping and update, with --step-seconds (default 0)")  # fmt: skip
    parser.add_argument("--threads", type=positive, metavar="N", help="threads of a rank (default: all)")
    parser.add_argument(
        "--svg", type=file_name, metavar="FILE", help="write time and efficiency as a chart (extra plots)"
    )
    json_option(parser)


COMMANDS = {
    "plan": (
        "compute what training would cost on many machines, from a step that is measured on this one",
        "--model mobilebert --ranks 64 --network 10Gbit", _plan_arguments, plan,
    ),
}  # fmt: skip
