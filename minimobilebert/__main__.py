"""`python -m minimobilebert`, also installed as `minimobilebert`: see cli.py."""

import sys

from .cli import main
from .kernels.runtime.waiting import this_process_is_ours


def run():
    """The command line in a process of its own -> exit code"""
    this_process_is_ours()
    return main()


if __name__ == "__main__":
    sys.exit(run())
