"""The three standard streams as somebody's shell left them: closed, full, without a reader, or in another encoding.

    stdout   results. Full or closed: OutputLost, for what cannot be shown was not delivered. Its reader (`| head`) has
             left: the command goes on to its end, so that the exit code says how the work went.
    stderr   messages. Whatever becomes of it, no work ends for want of somebody to tell about it.
    both     a character that the encoding does not have is written as its escape, "\\u2014".

Standard library only: `setup` runs on a bare Python.
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
    """A raw stream that forgets what its reader did not stay for; `lossy`: and what cannot be written at all."""

    def __init__(self, raw, lossy):
        self._raw, self._lossy, self._lost = raw, lossy, False

    def write(self, data):
        if not self._lost:
            try:
                return self._raw.write(data)
            except OSError as error:
                self._lost = True  # also what is still in a buffer when the program ends
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
    """A closed descriptor would be the next file's: messages and its contents would meet."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # Standard output is opened for reading, so that writing to it fails here as it does elsewhere.
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
    """Make the three streams usable. Streams that somebody has put in their places (a test, a notebook) stay."""
    _open_closed_descriptors()
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _wrapped(sys.stderr, 2, lossy=True)
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _wrapped(sys.stdout, 1, lossy=False)


def deliver():
    """Write the results that are still in the buffer. OutputLost where that is impossible."""
    with contextlib.suppress(ValueError):  # closed by somebody
        sys.stdout.flush()
