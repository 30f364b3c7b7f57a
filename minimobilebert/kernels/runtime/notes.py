"""Lines that kernels write to stderr: each once in a process, however many kernels have the same to say."""

import contextlib
import sys

_said = set()


def say_once(text, about=None):
    """One line on stderr, unless one was said `about` the same; a process without stderr goes without."""
    about = about or text
    if about in _said or sys.stderr is None:
        return
    _said.add(about)
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)
