"""Make the standard streams robust: they may be closed, full, without a reader, or in another encoding.

    stdout   results. If it is full or closed: OutputLost, because the results are not delivered. If its reader
             (`| head`) has ended, the command continues, so that the exit code shows the result of the work.
    stderr   messages. An error of this stream never ends the command.
    both     a character that is not in the encoding is written as its escape, "\\u2014".

This module uses only the standard library, because `setup` needs it.
"""

import contextlib
import errno
import io
import os
import sys

_READER_LEFT = {errno.EPIPE, errno.EINVAL} if os.name == "nt" else {errno.EPIPE}


class OutputLost(Exception):
    """The results cannot be written to standard output. The command line ends with exit code 1."""


class _Output(io.RawIOBase):
    """A raw stream that ignores a reader that has ended; lossy: it ignores all errors."""

    def __init__(self, raw, lossy):
        self._raw, self._lossy, self._lost = raw, lossy, False

    def write(self, data):
        if not self._lost:
            try:
                return self._raw.write(data)
            except OSError as error:
                self._lost = True  # also ignore what is in a buffer when the program ends
                if not self._lossy and error.errno not in _READER_LEFT:
                    raise OutputLost(f"standard output: cannot be written ({error.strerror})") from None
        return len(data)

    def writable(self):
        return True

    def isatty(self):
        return self._raw.isatty()

    def fileno(self):
        return self._raw.fileno()


def _open_closed_descriptors():
    """Open closed descriptors: otherwise the next opened file would get the number and receive messages."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # Open standard output for reading only, so that writing to it fails.
            os.open(os.devnull, os.O_RDWR if descriptor == 2 else os.O_RDONLY)
            os.set_inheritable(descriptor, True)


def _wrapped(stream, descriptor, lossy):
    if stream is None:  # was closed
        raw, encoding = io.FileIO(descriptor, "w", closefd=False), "utf-8"
    else:
        stream.flush()
        raw, encoding = getattr(stream.buffer, "raw", stream.buffer), stream.encoding  # python -u has no buffer between
    at_once = {"line_buffering": lossy or raw.isatty(), "write_through": bool(stream and stream.write_through)}
    return io.TextIOWrapper(io.BufferedWriter(_Output(raw, lossy)), encoding, "backslashreplace", **at_once)


def prepare():
    """Wrap the standard streams. Streams that a test or notebook has replaced are not changed."""
    _open_closed_descriptors()
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _wrapped(sys.stderr, 2, lossy=True)
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _wrapped(sys.stdout, 1, lossy=False)


def deliver():
    """Write the results that are still in the buffer. OutputLost if this is impossible."""
    with contextlib.suppress(ValueError):  # already closed
        sys.stdout.flush()
