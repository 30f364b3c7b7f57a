"""Messages and progress bars on stderr, so that stdout contains only results."""

import contextlib
import sys
import threading
import time

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 10.0
SHORT = 2.0  # seconds; shorter work gets no final line


class _Tqdm(tqdm):
    """tqdm without what it does to the whole process.

    Its own lock is multiprocessing's, and making one settles how the process starts others: a program could not call
    `multiprocessing.set_start_method` any more. Its monitor is a thread that never ends.
    """

    monitor_interval = 0


_Tqdm.set_lock(threading.RLock())


_silent = threading.local()


@contextlib.contextmanager
def silence():
    """`with silence():` nothing is said and no bar is shown, in this thread"""
    before = getattr(_silent, "on", False)
    _silent.on = True
    try:
        yield
    finally:
        _silent.on = before


def say(text):
    """One line on stderr."""
    if getattr(_silent, "on", False):
        return
    _Tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()


class _Bar:
    """A tqdm bar on a terminal; otherwise (a log file, CI) a line with percent and remaining time each ten seconds."""

    def __init__(self, name, total, first, unit):
        self.name, self.total, self.done, self.first = name, total, first, first
        self.start = self.last_line = time.perf_counter()
        self.bar = None
        if sys.stderr.isatty() and not getattr(_silent, "on", False):
            self.bar = _Tqdm(desc=name, total=total, initial=first, unit=unit, file=sys.stderr, dynamic_ncols=True)

    def update(self, text="", steps=1):
        """Advance by `steps`; `text` is shown after the bar."""
        self.done += steps
        if self.bar is not None:
            self.bar.set_postfix_str(text, refresh=False)
            self.bar.update(steps)
            return
        now = time.perf_counter()
        if self.total is None:
            if now - self.last_line >= _SECONDS_BETWEEN_LINES:
                self.last_line = now
                say(f"{self.name}: {now - self.start:.0f} s  {text}".rstrip())
            return
        ended = self.done == self.total and now - self.start >= SHORT
        if now - self.last_line >= _SECONDS_BETWEEN_LINES or ended:
            self.last_line = now
            left = (now - self.start) / (self.done - self.first) * (self.total - self.done)
            share = 100.0 * self.done / self.total
            say(f"{self.name}: {self.done}/{self.total} ({share:.0f} %), {left:.0f} s left  {text}".rstrip())

    def close(self):
        if self.bar is not None:
            self.bar.close()


@contextlib.contextmanager
def progress_bar(name, total, first=0, unit="step"):
    """`with progress_bar("teacher", 1000) as bar: ... bar.update("loss 4.2")`; total: None if it is unknown"""
    bar = _Bar(name, total, first, unit)
    try:
        yield bar
    finally:
        bar.close()
