"""The entry point of `python -m minimobilebert` and of the command `minimobilebert`; see cli.py."""

import sys

from .cli import main
from .kernels.runtime.waiting import the_process_is_the_command_line


def run():
    """Run the command line in its own process -> exit code"""
    the_process_is_the_command_line()
    return main()


if __name__ == "__main__":
    sys.exit(run())
