"""What went wrong, in one line and an exit code: the one place where no exception becomes a traceback.

    2    unusable input or arguments: a ValueError or OSError that our code raised with file, found, expected
    1    the work failed: a diverged training, a task of the course that is not written yet, too little memory, or a bug

Damaged input should end in a ValueError where it is read. Where a reader missed some damage, the KeyError of it ends
here. With MINIMOBILEBERT_DEBUG=1 in the environment the traceback is printed before the line, for every failure.
"""

import os
import pathlib
import sys
import traceback

from ..support.errors import TrainingDiverged
from ..support.streams import OutputLost
from .memory import smaller

PACKAGE = pathlib.Path(__file__).resolve().parents[1]
SWITCH = "MINIMOBILEBERT_DEBUG"


def failure(error, command):
    """An exception that ended `command` -> what to print, exit code"""
    if os.environ.get(SWITCH, "0") not in ("", "0"):
        traceback.print_exception(error, file=sys.stderr)
    missing = error.__cause__ if isinstance(error, SystemError) else error  # compiled threads wrap what they raise
    if isinstance(missing, NotImplementedError):  # a task of the course, on the way of what was asked for
        return f"failed: {_one_line(missing)}", 1
    if isinstance(error, TrainingDiverged | OutputLost):
        return f"failed: {_one_line(error)}", 1
    if isinstance(missing, MemoryError):
        return f"failed: not enough memory{_wanted(missing)}; try {smaller(command)}", 1
    # A UnicodeError is a ValueError, but never one of ours: it names no file.
    if isinstance(error, ValueError | OSError) and not isinstance(error, UnicodeError):
        place = getattr(error, "filename", None)
        return f"error: {_one_line(f'{place}: {error.strerror}' if place and error.strerror else error)}", 2
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith(f"{PACKAGE.name}."):
        return f"error: {command} is not part of a student edition", 2
    return f"failed: {_bug(error)}", 1


def _one_line(text):
    return " ".join(str(text).split())


def _wanted(error):
    """NumPy says how much memory it asked for, Python nothing."""
    return f" ({_one_line(error)})" if str(error) else ""


def _bug(error):
    """What the maintainers need: the kind, the message, the innermost line of this package"""
    places = [
        frame for frame in traceback.extract_tb(error.__traceback__) if PACKAGE in pathlib.Path(frame.filename).parents
    ]
    at = ""
    if places:
        file = pathlib.Path(places[-1].filename).relative_to(PACKAGE.parent).as_posix()
        at = f" at {file}:{places[-1].lineno}"
    text = _one_line(error)
    text = f" ({text if len(text) <= 200 else text[:197] + '...'})" if text else ""
    return (
        f"{type(error).__name__}{text}{at}: this is a bug in minimobilebert, or a damaged file that it did not"
        f" recognise; {SWITCH}=1 shows where it comes from"
    )
