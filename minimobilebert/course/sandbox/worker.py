"""The process that runs a student's code. It receives inputs and returns results; it never gets the expected results.

host.py starts it as `python -I -B -u worker.py SETTINGS`, with requests on standard input and answers on standard
output. Comparison and points are in the grader's process. This process has no reference, no tests and no results, so
code that modifies NumPy, files or stack frames in it cannot change a score.

For grading it is started in an isolation (isolation.py), and `confine` gives up the rest before any student's code
arrives (confinement.py): that boundary is the kernel's. The audit hook at the end of `confine` is none: it gives honest
students a message that says what a task has no use for.
"""

import importlib
import inspect
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
    """The pipe to the grader. Afterwards `print` writes to standard error, and `input` finds no data."""

    def __init__(self):
        self.incoming, self.outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)

    def read(self, count):
        data = self.incoming.read(count)
        if len(data) < count:
            os._exit(0)  # the grader has ended
        return data

    def write(self, data):
        self.outgoing.write(data)
        self.outgoing.flush()


def resolve(function):
    """The function named "minimobilebert/ops/linear.py:linear_forward", and its module or class.

    Where a compiled or fused function may take over, this is the function itself, which is the one that runs here.
    """
    file, _, name = function.partition(":")
    owner = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    value = getattr(owner, last)
    return inspect.unwrap(value), owner


def compiled(source, label):
    """Compile `source`, and register its lines for tracebacks."""
    linecache.cache[label] = (len(source), None, source.splitlines(keepends=True), label)
    return compile(source, label, "exec")


def install(function, source, helpers):
    """Replace the code of the package's function object by `source`, so that earlier imports of it see the change."""
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

    def __init__(self, channel, wire, settings):
        self.channel, self.wire, self.settings = channel, wire, settings

    def value(self, structure, arrays):
        return self.wire.unflatten(structure, arrays, call_back=self.call_back, with_classes=True)

    def call_back(self, number):
        """A proxy for a function of the grader: a call sends a request to the grader."""

        def function(*args):
            structure, arrays = self.wire.flatten(args)
            self.channel.write(self.wire.to_bytes({"ask": number, "args": structure}, arrays))
            structure, arrays = self.wire.read_message(self.channel.read)
            if "error" in structure:
                raise ValueError(structure["error"])
            return self.wire.unflatten(structure["result"], arrays)

        return function

    def watched(self, request, arrays):
        """Like `answer`; it also records which of the functions in request["watch"] ran."""
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
        action = request["do"]
        if action == "confine":
            confine(self.settings, request["address_space"])
            return None
        if action == "install":
            install(request["function"], request["source"], request["helpers"])
            return None
        args, kwargs = self.value(request["args"], arrays)
        if action == "call":
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
    """The line that failed and the calls that led to it: an earlier one may have passed a wrong value."""
    try:
        frames = [
            frame for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename[0] == "<" or "minimobilebert" in frame.filename and frame.filename != __file__
        ]  # fmt: skip
        frames = [frame for frame in frames if frame.filename != "<driver>"] or frames
        calls = [f"line {frame.lineno} of {frame.name}" for frame in frames]
        calls = calls if len(calls) <= 5 else [*calls[:2], "...", *calls[-2:]]
        return f"{', '.join(calls)}: {frames[-1].line}"[:300] if frames else ""
    except Exception:
        return ""


def confine(settings, address_space):
    """Give up files, processes, the network and memory. The order matters: each step needs what the next gives up."""
    from minimobilebert.course.sandbox import confinement

    isolation, root = settings["isolation"], settings["root"]
    confinement.forbid_new_privileges()
    confinement.limit_memory(address_space)
    if isolation == "user":
        confinement.change_root(root)
    if isolation == "landlock":
        confinement.see_only(root)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        confinement.become(settings["user"])
    confinement.end_with_parent()
    if isolation != "bubblewrap":  # where there is no parent to be seen
        leave_with(os.getppid())
    confinement.limit_resources(settings["seconds"])
    if not confinement.filter_system_calls() and isolation == "landlock":
        raise OSError("system call filter: not on this system")
    guard_with_messages(root)


def guard_with_messages(root):
    """Refuse, with a message, what no task has a use for."""
    import numpy

    readable = [os.path.realpath(path).rstrip(os.sep) + os.sep for path in
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
    """End when the grader has ended, so that a student's endless loop does not keep running."""

    def watch():
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def main():
    settings = json.loads(sys.argv[1])
    channel = Channel()
    if not settings["limited"]:
        leave_with(os.getppid())
    sys.path[:0] = [settings["root"], *([settings["site"]] if settings["site"] else [])]
    # Remove finders of editable installations: they would import modules that this copy of the package omits.
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
    if settings["limited"]:
        from minimobilebert.course.sandbox import confinement

        confinement.preload()
    channel.write(wire.to_bytes({"result": None}, []))
    Server(channel, wire, settings).serve()


if __name__ == "__main__":
    main()
