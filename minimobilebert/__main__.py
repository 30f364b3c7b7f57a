"""`python -m minimobilebert`, also installed as `minimobilebert`: see cli.py."""

import sys

from .cli import main
from .kernels.runtime.waiting import the_process_is_the_command_line


def run():
    """The command line in a process of its own -> exit code"""
    the_process_is_the_command_line()
    return main()


if __name__ == "__main__":
    sys.exit(run())
