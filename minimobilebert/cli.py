"""The command line: parse the command, run it, and convert errors to a message of one line and an exit code.

The commands are in commands/. Each imports the code that it calls only when it runs, so that --help is fast.
"""

import argparse
import contextlib
import sys

from . import __version__
from .commands import (
    course,
    distilling,
    download,
    latency,
    models,
    plan,
    prepare,
    project,
    sentences,
    squad,
    training,
    website,
)
from .commands import finetuning as fine_tuning
from .commands.failures import failure
from .commands.ranks import report_failure, report_interruption, run_on_ranks, words_of_leader
from .commands.words import with_words
from .support import streams

COMMANDS = (
    project.COMMANDS
    | latency.COMMANDS
    | plan.COMMANDS
    | prepare.COMMANDS
    | training.COMMANDS
    | distilling.COMMANDS
    | fine_tuning.COMMANDS
    | models.COMMANDS
    | sentences.COMMANDS
    | squad.COMMANDS
    | download.COMMANDS
    | course.COMMANDS
    | website.COMMANDS
)


def make_parser():
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="minimobilebert", description="MobileBERT from scratch, to read and to train."
    )
    parser.add_argument("--version", action="version", version=f"minimobilebert {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (description, example, add_arguments, function) in COMMANDS.items():
        sentence = description[0].upper() + description[1:] + ("" if description.endswith("?") else ".")
        command = commands.add_parser(
            name, help=description, description=sentence, epilog=f"example: python -m minimobilebert {name} {example}"
        )
        add_arguments(command)
        command.set_defaults(function=function, refuse=command.error)
    return parser


def _run(parser, words):
    """Parse `words` and run the command -> exit code"""
    try:
        with words_of_leader():
            if not words:
                parser.print_help(sys.stderr)
                raise SystemExit(2)
            arguments, others = parser.parse_known_args(with_words(words))
            if hasattr(arguments, "pytest"):
                arguments.pytest = others
            elif others:
                arguments.refuse(f"unrecognized arguments: {' '.join(others)}")
        code = run_on_ranks(arguments)
    except SystemExit:  # --help printed something
        streams.deliver()
        raise
    except BaseException:
        with contextlib.suppress(streams.OutputLost):  # report the first failure only
            streams.deliver()
        raise
    streams.deliver()
    return code


def main(argv=None):
    """Run one command -> exit code: 0 success, 1 failure, 2 invalid input or arguments, 130 interrupted"""
    streams.prepare()
    parser = make_parser()
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        if not words:
            with contextlib.suppress(SystemExit):
                _run(parser, words)
            return 2
        return _run(parser, words)
    except KeyboardInterrupt as interruption:
        text = str(interruption) or "interrupted; nothing is lost"
        report_interruption(text, 130, getattr(interruption, "communicator", None))
        return 130
    except Exception as error:
        text, code = failure(error, words[0])
        report_failure(text, code, getattr(error, "communicator", None))
        return code
