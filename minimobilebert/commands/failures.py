"""Convert exceptions to a message of one line and an exit code.

    2    invalid input or arguments: a ValueError or OSError of this project, with file, found, expected;
         a package that every command needs is not installed
    1    a failure: diverged training, a task of the course that is not written yet, not enough memory, or a bug

A reader should raise ValueError for damaged input. If it misses the damage, the resulting KeyError is handled here too.
With MINIMOBILEBERT_DEBUG=1 in the environment, each failure also prints its traceback.
"""

import os
import pathlib
import sys
import traceback

from ..support.errors import TrainingDiverged
from ..support.project import how_to_install_all
from ..support.streams import OutputLost
from .memory import smaller

PACKAGE = pathlib.Path(__file__).resolve().parents[1]
REQUIRED = ("numpy", "numba", "llvmlite", "tqdm")  # pyproject.toml's dependencies, and numba's own
SWITCH = "MINIMOBILEBERT_DEBUG"


def failure(error, command):
    """The message and exit code for an exception that ended `command` -> text, int"""
    if os.environ.get(SWITCH, "0") not in ("", "0"):
        traceback.print_exception(error, file=sys.stderr)
    cause = error.__cause__ if isinstance(error, SystemError) else error  # compiled threads wrap their exceptions
    if isinstance(cause, NotImplementedError):  # a task of the course that is not written yet
        return f"failed: {_one_line(cause)}", 1
    if isinstance(error, TrainingDiverged | OutputLost):
        return f"failed: {_one_line(error)}", 1
    if isinstance(cause, MemoryError):
        return f"failed: not enough memory{_wanted(cause)}; try {smaller(command)}", 1
    # A UnicodeError is a ValueError, but this project does not raise it: it names no file.
    if isinstance(error, ValueError | OSError) and not isinstance(error, UnicodeError):
        filename = getattr(error, "filename", None)
        return f"error: {_one_line(f'{filename}: {error.strerror}' if filename and error.strerror else error)}", 2
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith(f"{PACKAGE.name}."):
        return f"error: {command} is not part of a student edition", 2
    if isinstance(error, ModuleNotFoundError) and error.name in REQUIRED:
        return f"error: {error.name} is not installed for {sys.executable}: {how_to_install_all()}", 2
    if isinstance(error, SyntaxError) and PACKAGE in pathlib.Path(error.filename or "").parents:  # changed by a student
        return f"error: {_one_line(f'{_in_project(error.filename)}, line {error.lineno}: {error.msg}')}", 2
    return f"failed: {_bug(error)}", 1


def _in_project(path):
    return pathlib.Path(path).relative_to(PACKAGE.parent).as_posix()


def _one_line(text):
    return " ".join(str(text).split())


def _wanted(error):
    """The message of a MemoryError: NumPy's has the requested size, Python's is empty."""
    return f" ({_one_line(error)})" if str(error) else ""


def _bug(error):
    """A text for a bug report: the exception's type, its message, and the innermost line in this package"""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if PACKAGE in pathlib.Path(frame.filename).parents
    ]
    location = ""
    if frames:
        location = f" at {_in_project(frames[-1].filename)}:{frames[-1].lineno}"
    text = _one_line(error)
    text = f" ({text if len(text) <= 200 else text[:197] + '...'})" if text else ""
    return (
        f"{type(error).__name__}{text}{location}: this is a bug in minimobilebert, or a damaged file that it did not"
        f" recognise; {SWITCH}=1 shows where it comes from"
    )
