"""The command line: it finds the command, runs it, and turns what went wrong into one line and an exit code.

The commands are in commands/; each imports the room it calls only when it runs, so help is instant.
"""

import argparse
import sys

from . import __version__
from .commands import course, download, fine_tuning, models, project, squad, training
from .commands.failures import failure

COMMANDS = (
    project.COMMANDS
    | training.COMMANDS
    | fine_tuning.COMMANDS
    | models.COMMANDS
    | squad.COMMANDS
    | download.COMMANDS
    | course.COMMANDS
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
        command.set_defaults(function=function)
    return parser


def main(argv=None):
    """Run one command -> exit code: 0 done, 1 failed, 2 unusable input or arguments, 130 interrupted."""
    parser = make_parser()
    if not (sys.argv[1:] if argv is None else argv):
        parser.print_help(sys.stderr)
        return 2
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
    except KeyboardInterrupt as interruption:
        print(f"minimobilebert: {str(interruption) or 'interrupted; nothing is lost'}", file=sys.stderr)
        return 130
    except Exception as error:
        text, code = failure(error, arguments.command)
        print(f"minimobilebert: {text}", file=sys.stderr)
        return code
