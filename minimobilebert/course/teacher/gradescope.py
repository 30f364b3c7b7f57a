"""`make gradescope`: write the zip for Gradescope's autograder, with setup.sh, run_autograder, and the project.

Gradescope runs setup.sh when it builds the image. For each submission it runs run_autograder, with the student's files
in /autograder/submission, and reads /autograder/results/results.json (see the "Autograder Specifications" of its
documentation). The zip contains the hidden seeds, so students must not get it.

By default a submission has 768 MB, half a processor and ten minutes. If it exceeds them it is killed, and without a
results.json the student sees nothing. We therefore write results.json after each task.
"""

import contextlib
import dataclasses
import json
import pathlib
import signal
import zipfile

from ...support.archive_members import printable
from ...support.files import replacing, write_json
from ..sandbox import isolation
from .grades import Grade, gradescope
from .gradescope_scripts import RUN, SETUP
from .grading import STOPPED, Grader, terminated_as_interrupted

GRADER_BYTES = 400 << 20  # reserved for the grader and the start of the worker; with all solutions both used 104 MB
LEAST = 64  # the least memory limit of the student's code, in megabytes
_STAMP = (2020, 1, 1, 0, 0, 0)  # a fixed date, so that the same project gives the same zip


def build(course, out):
    """Write the autograder's zip -> its path"""
    out = pathlib.Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    names = [
        path for folder in ("minimobilebert", "lessons") for path in sorted((course.root / folder).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and path.suffix in (".py", ".toml", ".md")
    ]  # fmt: skip
    with replacing(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (("setup.sh", SETUP), ("run_autograder", RUN)):
            _add(archive, name, text.encode(), 0o755)
        for path in names:
            _add(archive, path.relative_to(course.root).as_posix(), path.read_bytes(), 0o644)
    return out


def _add(archive, name, data, mode):
    info = zipfile.ZipInfo(name, _STAMP)
    info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
    archive.writestr(info, data)


def memory_of_container():
    """The memory limit of this container in bytes; None if there is no limit"""
    found = []
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            found.append(int(pathlib.Path(path).read_text()))
    return min((size for size in found if size < 1 << 50), default=None)


def fitted(policy, memory):
    """Adapt the policy to a container with `memory` bytes: code that uses too much must fail before the grader does.

    Gradescope handles due dates itself, so the policy's due date is removed.
    """
    policy = dataclasses.replace(policy, due="")
    if memory is None:
        return policy
    return dataclasses.replace(policy, memory_mb=max(LEAST, min(policy.memory_mb, (memory - GRADER_BYTES) >> 20)))


def grade_there(course, folder, load_policy):
    """Grade /autograder/submission and write results/results.json -> Grade; run_autograder calls it

    load_policy: called without arguments. Whatever fails, results.json has a score and says why.
    """
    results = pathlib.Path(folder) / "results" / "results.json"
    results.parent.mkdir(exist_ok=True)
    try:
        return _grade_there(course, pathlib.Path(folder), results, load_policy())
    except BaseException as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        if not _is_result(results):
            write_json(results, {"score": 0, "stdout_visibility": "hidden", "output": "Nothing was graded, which is not"
                                 f" your mistake; please tell your teacher: {printable(reason)}"})  # fmt: skip
        raise


def _is_result(path):
    """True if the grader itself has written a result, with the points so far"""
    try:
        return "tests" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _grade_there(course, folder, results, policy):
    policy = fitted(policy, memory_of_container())
    if policy.isolation in (isolation.BEST, isolation.REQUIRED) and not isolation.missing("user"):
        policy = dataclasses.replace(policy, isolation="user")  # the containers run as root and allow no namespaces
    with terminated_as_interrupted(), Grader(course, policy) as grader:
        submission = grader.read(folder / "submission")
        last = Grade(submission, [grader.without(task, STOPPED) for task in grader.tasks], isolation=grader.isolation)

        def keep(grade):
            nonlocal last
            last = dataclasses.replace(grade, failed="not finished: out of time or memory, or the system ended it")
            write_json(results, gradescope(last, policy))

        keep(last)
        try:
            with _time_limit(policy.seconds_per_submission):
                grade = grader.grade_or_say_why(submission, progress=keep)
            last = dataclasses.replace(last, failed=grade.failed) if grade.failed else grade
        except KeyboardInterrupt:
            last = dataclasses.replace(last, failed="not finished: the time is over, or the system ended it")
        write_json(results, gradescope(last, policy))
    return last


@contextlib.contextmanager
def _time_limit(seconds):
    """Raise KeyboardInterrupt after `seconds` seconds, if the system has an alarm"""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def over(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
