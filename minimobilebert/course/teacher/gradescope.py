"""`make gradescope`: the zip that Gradescope's autograder takes: setup.sh, run_autograder, and the project.

Gradescope runs setup.sh once when the image is built; for each submission run_autograder, with the student's files in
/autograder/submission, and reads /autograder/results/results.json (see the "Autograder Specifications" of its
documentation). The hidden seeds are in the zip, so it is the teacher's alone.

There a submission has 768 MB, half a processor and ten minutes, unless the teacher chooses more; who takes longer or
more is killed, and without a results.json the student sees nothing. So it is written after every task.
"""

import contextlib
import dataclasses
import pathlib
import signal
import zipfile

from ...support.files import replacing, write_json
from .gradescope_scripts import RUN, SETUP
from .grading import STOPPED, Grader, terminated_as_interrupted

OURS = 400 << 20  # bytes for the grader and the student's process; with every solution both took 104 MB together
LEAST = 64  # megabytes of the student's own
_STAMP = (2020, 1, 1, 0, 0, 0)  # the same project gives the same zip


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
    """Bytes that the processes of this container may have together; None where there is no limit"""
    found = []
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            found.append(int(pathlib.Path(path).read_text()))
    return min((size for size in found if size < 1 << 50), default=None)


def fitted(policy, memory):
    """The policy for a container with so many bytes: code that takes too much has to fail before the grader does.

    The due date is Gradescope's own, which counts lateness itself, so the policy's is not applied.
    """
    policy = dataclasses.replace(policy, due="")
    if memory is None:
        return policy
    return dataclasses.replace(policy, memory_mb=max(LEAST, min(policy.memory_mb, (memory - OURS) >> 20)))


def grade_there(course, folder, policy):
    """What run_autograder calls: grade /autograder/submission and write results/results.json -> Grade"""
    from .grades import Grade, gradescope

    folder = pathlib.Path(folder)
    results = folder / "results" / "results.json"
    results.parent.mkdir(exist_ok=True)
    policy = fitted(policy, memory_of_container())
    with terminated_as_interrupted(), Grader(course, policy) as grader:
        submission = grader.read(folder / "submission")
        last = Grade(submission, [grader.without(task, STOPPED) for task in grader.tasks])

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
    """KeyboardInterrupt after so many seconds, where the system has an alarm"""
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
