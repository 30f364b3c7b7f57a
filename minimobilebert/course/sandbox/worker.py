"""The process that runs a student's code. It gets arrays and gives arrays back; what they should be it never learns.

Started by host.py as `python -I -B -u worker.py SETTINGS`, with requests on standard input and answers on standard
output. The grader's process compares, counts and keeps the points, so nothing that is done HERE to NumPy, to the
grader's files or to the caller's frames can change a score: there is no reference, no test and no result in here.

With limits (grading) the process may not open files but those of Python and NumPy that an import needs, start
processes, use the network, or take more memory than it was given; as root it becomes `nobody` first.
"""

import importlib
import json
import linecache
import os
import sys
import threading
import time
import traceback

ALLOWED_ROOTS = {"numpy", "minimobilebert"}
DENIED_MODULES = {"ctypes", "multiprocessing", "subprocess", "socket", "ssl", "http", "urllib", "asyncio", "concurrent"}
DENIED_EVENTS = ("os.", "subprocess.", "socket.", "ctypes.", "shutil.", "tempfile.", "signal.", "pty.", "fcntl.",
                 "mmap.", "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser.", "winreg.", "_winapi.", "msvcrt.",
                 "gc.get_", "sys.settrace", "sys.setprofile", "syslog.", "resource.", "sqlite3.")  # fmt: skip


class Channel:
    """The two ends of the pipe; afterwards `print` goes to standard error and `input` finds nothing."""

    def __init__(self):
        self.incoming, self.outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)

    def read(self, count):
        data = self.incoming.read(count)
        if len(data) < count:
            os._exit(0)  # the grader has left
        return data

    def write(self, data):
        self.outgoing.write(data)
        self.outgoing.flush()


def resolve(function):
    """The object behind "minimobilebert/ops/linear.py:linear_forward", and what holds it.

    Of an operation with a compiled twin that is its NumPy form: the other one does not run here.
    """
    file, _, name = function.partition(":")
    owner = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    value = getattr(owner, last)
    return getattr(value, "numpy_twin", value), owner


def compiled(source, label):
    """`source` as a code object whose lines a traceback can show."""
    linecache.cache[label] = (len(source), None, source.splitlines(keepends=True), label)
    return compile(source, label, "exec")


def install(function, source, helpers):
    """Give the package's own function object the code in `source`: whoever imported it before has it too."""
    old, _ = resolve(function)
    module = sys.modules[old.__module__]
    label = f"<{function}>"
    if helpers:
        exec(compiled(helpers, f"{label} helpers"), module.__dict__)
    scope = {}
    exec(compiled(source, label), module.__dict__, scope)
    (new,) = scope.values()
    old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__


class Server:
    """Answers requests until the pipe ends."""

    def __init__(self, channel, wire):
        self.channel, self.wire = channel, wire

    def value(self, structure, arrays):
        return self.wire.unflatten(structure, arrays, call_back=self.call_back, with_classes=True)

    def call_back(self, number):
        """Stands for a function of the grader's: calling it asks the grader."""

        def function(*args):
            structure, arrays = self.wire.flatten(args)
            self.channel.write(self.wire.to_bytes({"ask": number, "args": structure}, arrays))
            structure, arrays = self.wire.read_message(self.channel.read)
            if "error" in structure:
                raise ValueError(structure["error"])
            return self.wire.unflatten(structure["result"], arrays)

        return function

    def watched(self, request, arrays):
        """`answer`, and which of the functions in request["watch"] ran on the way."""
        codes = {resolve(function)[0].__code__: function for function in request["watch"]}

        def note(frame, event, _):
            if event == "call" and frame.f_code in codes:
                self.seen.add(codes[frame.f_code])

        sys.setprofile(note)
        try:
            return self.answer(request, arrays)
        finally:
            sys.setprofile(None)

    def answer(self, request, arrays):
        what = request["do"]
        if what == "install":
            install(request["function"], request["source"], request["helpers"])
            return None
        args, kwargs = self.value(request["args"], arrays)
        if what == "call":
            result = resolve(request["function"])[0](*args, **kwargs)
        else:
            scope = {}
            exec(compiled(request["source"], "<driver>"), scope)
            result = scope[request["name"]](*args)
        return (result, args) if request.get("keep") else (result, None)

    def serve(self):
        while True:
            request, arrays = self.wire.read_message(self.channel.read)
            try:
                self.seen = set()
                answer = self.watched if request.get("watch") else self.answer
                structure, arrays = self.wire.flatten(answer(request, arrays))
                reply = self.wire.to_bytes({"result": structure, "seen": sorted(self.seen)}, arrays)
            except KeyboardInterrupt:
                os._exit(0)
            except BaseException as error:
                structure = {"error": [type(error).__name__, _text(error), _where(error)]}
                reply = self.wire.to_bytes(structure, [])
            self.channel.write(reply)


def _text(error):
    try:
        return str(error)[:500]
    except Exception:
        return ""


def _where(error):
    """The line that failed, and those that led there: the student's may have handed something wrong on."""
    try:
        frames = traceback.extract_tb(error.__traceback__)
        mine = [f for f in frames if f.filename[0] == "<" or "minimobilebert" in f.filename and f.filename != __file__]
        mine = [f for f in mine if f.filename != "<driver>"] or mine
        way = [f"line {f.lineno} of {f.name}" for f in mine]
        way = way if len(way) <= 5 else [*way[:2], "...", *way[-2:]]
        return f"{', '.join(way)}: {mine[-1].line}"[:300] if mine else ""
    except Exception:
        return ""


def limit(root, memory_bytes):
    """From here on: no more memory, no files, no processes, no network. It cannot be undone from Python."""
    import numpy

    for lazy in ("numpy.fft", "numpy.linalg", "numpy.random", "numpy.ma", "numpy.polynomial"):
        importlib.import_module(lazy)
    try:
        import resource
    except ImportError:
        resource = None  # Windows: time is limited by the grader, the rest by the hook below
    if resource is not None:
        with open("/proc/self/statm") if os.path.exists("/proc/self/statm") else open(os.devnull) as file:
            pages = file.read().split()
        most = memory_bytes + (int(pages[0]) * resource.getpagesize() if pages else 0)
        for name, value in (("RLIMIT_AS", most), ("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0)):
            resource.setrlimit(getattr(resource, name), (value, value))
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    readable = [os.path.realpath(path) + os.sep for path in
                (root, os.path.dirname(numpy.__file__), os.path.dirname(os.__file__))]  # fmt: skip
    site = [path for path in map(os.path.realpath, sys.path) if path.endswith(("site-packages", "dist-packages"))]
    sys.path[:] = [path for path in sys.path if not os.path.realpath(path).endswith(("site-packages", "dist-packages"))]

    def may_read(path):
        if isinstance(path, int):
            return False
        path = os.path.realpath(os.fsdecode(path))
        if any(path.startswith(folder + os.sep) for folder in site) and not path.startswith(readable[1]):
            return False
        return any((path + os.sep).startswith(folder) for folder in readable)

    def guard(event, args):
        if event == "open":
            path, mode, flags = args
            writes = (mode and set(mode) & set("wax+")) or (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes or not may_read(path):
                raise PermissionError(f"not allowed in grading: opening {path!r}")
        elif event in ("os.listdir", "os.scandir"):
            if not args or not may_read(args[0] or "."):
                raise PermissionError("not allowed in grading: listing a folder")
        elif event == "import":
            name = args[0].partition(".")[0]
            if name in DENIED_MODULES or (name not in ALLOWED_ROOTS and name not in sys.stdlib_module_names):
                raise PermissionError(f"not allowed in grading: import {name}")
        elif event.startswith(DENIED_EVENTS):
            raise PermissionError(f"not allowed in grading: {event}")

    sys.addaudithook(guard)


def leave_with(parent):
    """End when the grader has ended, however that came: an endless loop of a student's must not outlive it."""

    def watch():
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def main():
    settings = json.loads(sys.argv[1])
    channel = Channel()
    leave_with(os.getppid())
    sys.path.insert(0, settings["root"])
    # An editable installation would find what this package leaves out in the project it was installed from.
    sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
    from minimobilebert.course.sandbox import wire

    for file in settings["modules"]:
        try:
            importlib.import_module(file.removesuffix(".py").replace("/", "."))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"[:500]
            channel.write(wire.to_bytes({"error": ["ImportError", f"{file} cannot be imported: {text}", ""]}, []))
            return
    sys.argv[1:] = []
    if settings["memory"]:
        limit(settings["root"], settings["memory"])
    channel.write(wire.to_bytes({"result": None}, []))
    Server(channel, wire).serve()


if __name__ == "__main__":
    main()
