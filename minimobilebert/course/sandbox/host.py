"""The grader's end of the pipe to a process that runs a student's code (worker.py)."""

import contextlib
import inspect
import os
import pathlib
import signal
import subprocess
import textwrap
import threading
import time

from . import isolation, wire

START_SECONDS = 60.0  # limit for importing NumPy on a busy machine
INSTALL_SECONDS = 5.0  # limit for running a student's helpers at module level
LONGEST_TEXT = 500  # characters of an error's text; worker.py sends no more, but its code may have been replaced
PATIENCE = 6.0  # the wall-clock limit is this multiple of the limit in processor time


def _processor_seconds(pid):
    """The processor time of a process so far; None if the system does not report it"""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return None


class StudentError(Exception):
    """The student's code raised `kind`, with this text, at `where`."""

    def __init__(self, kind, text, where=""):
        super().__init__(f"{kind}: {text}" if text else kind)
        self.kind, self.text, self.where = kind, text, where


class Stopped(Exception):
    """The process did not answer in time, or it ended."""


class Worker:
    """A process that starts at the first request and restarts after it was stopped.

    root: a folder with the package; modules: files to import at the start; memory: the limit in bytes in addition to
    Python and NumPy, or None for no limits at all (a student's own check); isolation: a name of isolation.py, for a
    process with limits; seconds: its processor time in all
    """

    def __init__(self, root, modules=(), memory=None, show_prints=False, isolation="none", seconds=3600.0):
        self.root, self.modules, self.memory = pathlib.Path(root).resolve(), list(modules), memory
        self.isolation, self.seconds = isolation, seconds
        self.show_prints, self.installed, self.broken = show_prints, {}, {}
        self.process = self.pid = None  # what we started, and the number of the worker in it
        self._talk = None  # the thread that waits for the answer
        self.watch, self.seen = [], set()  # functions to trace (course-check only), and those that ran

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()

    def call(self, function, args, kwargs, seconds, keep=False):
        """-> result, the arguments after the call (None unless `keep`)"""
        return self._ask({"do": "call", "function": function, "keep": keep}, [list(args), kwargs], seconds)

    def run(self, driver, args, seconds):
        """-> the result of `driver(*args)` in the process"""
        source = textwrap.dedent(inspect.getsource(driver))
        return self._ask({"do": "run", "source": source, "name": driver.__name__}, [list(args), {}], seconds)[0]

    def install(self, function, source, helpers=""):
        """Replace the body of a function in the process, also after a restart.

        After a start, `broken` has the reasons why some could not be installed, such as a helper that fails.
        """
        self.installed[function] = (source, helpers)
        self.broken.pop(function, None)
        if self.process is not None:
            self._install(function)

    def _install(self, function):
        source, helpers = self.installed[function]
        request = {"do": "install", "function": function, "source": source, "helpers": helpers}
        self._transact(request, [], INSTALL_SECONDS)

    def _ask(self, request, value, seconds):
        functions = []
        structure, arrays = wire.flatten(value, functions=functions)
        if self.process is None:
            self.start()
        return self._transact({**request, "args": structure, "watch": self.watch}, arrays, seconds, functions)

    def start(self):
        """Start the process; StudentError if the student's files cannot be imported."""
        settings = {"modules": self.modules, "limited": self.memory is not None, "seconds": self.seconds}
        environment = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        for name in ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"):
            if name in os.environ:
                environment[name] = os.environ[name]
        started = isolation.start(
            self.isolation, self.root, settings, {**environment, "MINIMOBILEBERT_BACKEND": "numpy"},
            errors=None if self.show_prints else subprocess.DEVNULL,
        )  # fmt: skip
        self.process, self.pid = started.process, started.pid
        if self.memory is None:
            self._transact(None, [], START_SECONDS)
        else:
            self._start_confined()
        for function in self.installed:
            if function in self.broken:
                continue
            try:
                self._install(function)
            except (StudentError, Stopped) as error:
                self.broken[function] = str(error)
                if self.process is None:
                    return self.start()

    def _start_confined(self):
        """Wait for the start of a worker with limits. No code of a student has run yet: a failure is the grader's."""
        try:
            self._transact(None, [], START_SECONDS)
            self.pid = isolation.worker_of(self.isolation, self.pid)
            space = isolation.address_space(self.pid)
            request = {"do": "confine", "address_space": self.memory + space}
            self._transact(request, [], START_SECONDS)
        except (StudentError, Stopped) as error:
            self.stop()
            raise isolation.IsolationError(f"isolation {self.isolation}: found that no process starts in it ({error}),"
                                           " expected one") from None  # fmt: skip

    def stop(self):
        """Kill the process and its children."""
        process, self.process = self.process, None
        if process is None:
            return
        if self.pid != process.pid and process.poll() is None:  # otherwise the number may be another process's by now
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()
        if self._talk is not None:
            self._talk.join(1.0)  # it ends with the pipe, unless the student's code left another process that holds it
            if self._talk.is_alive():
                return
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def _transact(self, request, arrays, seconds, functions=()):
        """Send a request (None: nothing) and wait for the answer. A thread does it, so that the time limit holds."""
        process, outcome = self.process, {}

        def talk():
            try:
                if request is not None:
                    process.stdin.write(wire.to_bytes(request, arrays))
                    process.stdin.flush()
                outcome["reply"] = _reply(process, functions)
            except (OSError, EOFError, ValueError, wire.WireError) as error:
                outcome["lost"] = error
            except BaseException as error:
                outcome["grader error"] = error

        thread = self._talk = threading.Thread(target=talk, daemon=True)
        pid = self.pid
        start, used = time.monotonic(), _processor_seconds(pid)
        thread.start()
        thread.join(seconds)
        # The limit applies to processor time, if the system reports it, so that a busy machine does not matter.
        while thread.is_alive() and used is not None and time.monotonic() - start < PATIENCE * seconds:
            now = _processor_seconds(pid)
            if now is None or now - used >= seconds:
                break
            thread.join(0.1)
        if thread.is_alive():
            self.stop()
            raise Stopped(f"no answer within {seconds:g} seconds: an endless loop, or far more work than the formula")
        if "grader error" in outcome:
            self.stop()
            raise outcome["grader error"]
        if "lost" in outcome:
            self.stop()
            damaged = isinstance(outcome["lost"], wire.WireError)
            text = "the process that runs the code ended: an exit, or no memory"
            raise Stopped(str(outcome["lost"]) if damaged else text)
        reply, arrays = outcome["reply"]
        if "error" in reply:
            if reply["error"][0] == "ImportError":
                self.stop()
            raise StudentError(*(str(part)[:LONGEST_TEXT] for part in reply["error"]))
        if self.watch:
            self.seen.update(reply.get("seen", ()))
        try:
            return wire.unflatten(reply["result"], arrays)
        except wire.WireError as error:
            self.stop()
            raise Stopped(str(error)) from None


def _reply(process, functions):
    """Read the answer. Before it, the process may request calls of the grader's functions, which we answer."""
    while True:
        structure, arrays = wire.read_message(lambda count: _read(process.stdout, count))
        if not isinstance(structure, dict):
            raise wire.WireError("found a damaged answer")
        if "ask" not in structure:
            if "error" in structure:
                error = structure["error"]
                if not isinstance(error, list) or len(error) != 3:
                    raise wire.WireError("found a damaged answer")
            elif "result" not in structure:
                raise wire.WireError("found a damaged answer")
            return structure, arrays
        try:
            number = structure["ask"]
            if type(number) is not int or not 0 <= number < len(functions):
                raise wire.WireError("found a call of a function that was not sent")
            result = functions[number](*wire.unflatten(structure["args"], arrays))
            value, arrays = wire.flatten(result)
            answer = wire.to_bytes({"result": value}, arrays)
        except wire.WireError:
            raise
        except (TypeError, LookupError, ValueError, ArithmeticError, AttributeError) as error:
            answer = wire.to_bytes({"error": f"{type(error).__name__}: {error}"[:300]}, [])
        process.stdin.write(answer)
        process.stdin.flush()


def _read(pipe, count):
    data = pipe.read(count)
    if len(data) < count:
        raise EOFError
    return data
