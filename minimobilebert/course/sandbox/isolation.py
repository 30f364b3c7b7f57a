"""The isolation of the process that runs a student's code: which one this system has, and how to start a worker in it.

    bubblewrap   a file system with Python, NumPy and the package without the tasks, all read-only; no network; its own
                 process numbers; no capabilities; as root also another user. Needs the program bwrap
    user         for root: only the package is visible (chroot), and the process is another user
    landlock     for everyone else on Linux 5.13 or newer: only the package can be read (Landlock)
    none         limits of time and memory only; the code can read what the teacher can read

In all of them but `none` the kernel also refuses sockets, new processes, signals and the like (confinement.py).

An isolation is tried before the first submission. One that does not start is an IsolationError, and nothing is graded:
we never grade with less isolation than we say.
"""

import contextlib
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys

from . import confinement

NAMES = ("bubblewrap", "user", "landlock", "none")
BEST, REQUIRED = "best", "required"  # the best that this system has; the same, and an error if it has none
WANTED = (BEST, REQUIRED, *NAMES)
EXPLAINED = {
    "bubblewrap": "submissions run in a file system of their own, without network",
    "user": "submissions run as another user, and see only the package without the tasks",
    "landlock": "submissions run as you, and can read only the package without the tasks (Landlock)",
    "none": "submissions run as you and could read or change your files; install bubblewrap for isolation",
}
_USERS = range(61184, 65520)  # systemd's range for temporary users: no file belongs to them
_INSIDE = pathlib.PurePosixPath("/grader")


class IsolationError(ValueError):
    """The isolation does not start, or this system does not have the one that is required."""


def choose(wanted=BEST):
    """-> the name of the isolation to use. IsolationError if this system does not have it"""
    if wanted not in WANTED:
        raise IsolationError(f"isolation: found {wanted!r}, expected one of {', '.join(WANTED)}")
    if wanted not in (BEST, REQUIRED):
        if reason := missing(wanted):
            raise IsolationError(f"isolation: found no {wanted} ({reason}), expected it as required")
        return wanted
    found = next(name for name in NAMES if not missing(name))
    if wanted == REQUIRED and found == "none":
        raise IsolationError("isolation: found none on this system, expected one as required: install bubblewrap")
    return found


def missing(name):
    """The reason why this system does not have an isolation, "" if it has it; nothing is started."""
    if name == "none":
        return ""
    if sys.platform != "linux":
        return "it needs Linux"
    if name == "bubblewrap":
        return "" if shutil.which("bwrap") else "the program bwrap is not installed"
    if name == "user":
        return "" if os.geteuid() == 0 else "it needs root"
    if not confinement.landlock_version():
        return "this kernel has no Landlock"
    return "" if confinement.system_call_filter(os.uname().machine) else f"no filter for {os.uname().machine}"


def try_out(name, root):
    """Start Python in the isolation, with the package in `root`. IsolationError if it does not start"""
    if name != "bubblewrap":
        return  # the worker itself says what failed
    reader, writer = os.pipe()
    try:
        command = [*bubblewrap(root, writer, _free_user()), _interpreter(), "-I", "-S", "-c", "import ctypes, json"]
        done = subprocess.run(command, env={}, pass_fds=[writer], capture_output=True, timeout=60, check=False)
        lines = done.stderr.decode(errors="replace").strip().splitlines()
    except (OSError, subprocess.TimeoutExpired) as error:
        done, lines = None, [str(error)]
    finally:
        os.close(reader)
        os.close(writer)
    if done is None or done.returncode:
        reason = lines[-1] if lines else f"exit code {done.returncode}"
        raise IsolationError(f"isolation: found that bubblewrap is installed and does not start ({reason}), expected it"
                             " to; --isolation user, landlock or none grades without it")  # fmt: skip


class Started:
    """A worker that was started.

    process: what we started; pid: the worker itself or, in bubblewrap, the first process of its name space. When the
    grader ends, bubblewrap ends, with it that first process, and with it the worker, even as another user
    """

    def __init__(self, process, pid):
        self.process, self.pid = process, pid


def start(name, root, settings, environment, errors=None):
    """Start worker.py in the isolation `name` -> Started. root: the folder with the package"""
    settings = {**settings, "root": str(root), "site": None, "isolation": name, "user": _free_user()}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors, "cwd": root}
    if name != "bubblewrap":
        script = root / "minimobilebert" / "course" / "sandbox" / "worker.py"
        command = [sys.executable, "-I", "-B", "-u", str(script), json.dumps(settings)]
        process = subprocess.Popen(command, env=environment, start_new_session=os.name == "posix", **pipes)
        return Started(process, process.pid)
    settings["root"], settings["site"] = str(_INSIDE / "package"), str(_INSIDE / "site")
    script = _INSIDE / "package/minimobilebert/course/sandbox/worker.py"
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as information:
        try:
            command = [*bubblewrap(root, writer, settings["user"]), _interpreter(), "-I", "-S", "-B", "-u", str(script)]
            process = subprocess.Popen([*command, json.dumps(settings)], env=environment, pass_fds=[writer],
                                       start_new_session=True, **pipes)  # fmt: skip
        finally:
            os.close(writer)
        with contextlib.suppress(ValueError, KeyError):
            return Started(process, json.loads(information.read())["child-pid"])
    return Started(process, process.pid)  # it ends at once; the caller finds that no worker answers


def worker_of(name, pid):
    """The worker's own number, for its processor time and memory: in bubblewrap the child of Started.pid"""
    if name != "bubblewrap":
        return pid
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            if int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1]) == pid:
                return int(folder.name)
    return pid


def address_space(pid):
    """The bytes that a process has mapped; 0 if the system does not say"""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0


def _free_user():
    """A user number that no process of an earlier worker has"""
    return _USERS[(os.getpid() * 64 + next(_COUNT)) % len(_USERS)]


_COUNT = iter(range(sys.maxsize))


def _interpreter():
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def bubblewrap(root, information, user):
    """The command that starts a program in bubblewrap, which writes the worker's number to the file `information`."""
    command = [shutil.which("bwrap"), "--die-with-parent", "--new-session", "--info-fd", str(information)]
    command += ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--unshare-cgroup-try"]
    command += ["--hostname", "grader", "--cap-drop", "ALL"]
    if os.geteuid() == 0:  # the worker becomes `user` itself
        command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command += ["--unshare-user", "--uid", str(user), "--gid", str(user)]
    shown = _system_files()
    folders = {str(above) for path in (*shown, _INSIDE / "site" / "x") for above in pathlib.PurePosixPath(path).parents}
    for path in sorted(folders - {"/"}):  # those that bubblewrap makes by itself can be read by root only
        command += ["--dir", path]
    for path in shown:
        command += ["--symlink", os.readlink(path), path] if os.path.islink(path) else ["--ro-bind", path, path]
    for path in _other_packages():
        command += ["--tmpfs", path, "--remount-ro", path]
    for path in _packages():
        command += ["--ro-bind", str(path), str(_INSIDE / "site" / path.name)]
    command += ["--ro-bind", str(root), str(_INSIDE / "package"), "--dev-bind", "/dev/null", "/dev/null"]
    return [*command, "--dir", "/tmp", "--remount-ro", "/", "--chdir", str(_INSIDE / "package"), "--"]


def _standard_library():
    """The folders of Python's own modules, and of its shared library if that is outside the system's folders."""
    folders = [os.path.realpath(os.path.dirname(os.__file__))]
    prefix = os.path.realpath(sys.base_prefix)
    if prefix not in ("/usr", "/"):
        folders.append(os.path.join(prefix, "lib"))
    return [path for path in folders if os.path.isdir(path)]


def _system_files():
    """Python, its modules, the system's libraries and what the loader needs to find them."""
    libraries = [path for path in ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/nix/store") if os.path.isdir(path)]
    extra = [path for path in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if path.strip("/.")]
    files = [path for path in ("/etc/ld.so.cache", "/etc/alternatives", *extra) if os.path.exists(path)]
    return list(dict.fromkeys([*libraries, *files, *_standard_library(), _interpreter()]))


def _other_packages():
    """The folders of installed packages inside the visible ones: the project itself may be installed there."""
    found = []
    for folder in dict.fromkeys(os.path.realpath(path) for path in _system_files() if os.path.isdir(path)):
        for inside in (pathlib.Path(folder), *pathlib.Path(folder).glob("python*")):
            found += [inside / name for name in ("site-packages", "dist-packages")]
    project = pathlib.Path(__file__).resolve().parents[3]
    if any(project.is_relative_to(os.path.realpath(path)) for path in _system_files()):
        found.append(project)
    return [str(path) for path in dict.fromkeys(found) if path.is_dir() and not path.is_symlink()]


def _packages():
    """What the package imports: NumPy with the folder of its shared libraries, and tqdm"""
    import numpy

    package = pathlib.Path(numpy.__file__).resolve().parent
    found = [package, package.with_name("numpy.libs")]
    if specification := importlib.util.find_spec("tqdm"):
        found.append(pathlib.Path(specification.origin).resolve().parent)
    return [path for path in found if path.is_dir()]
