"""Submissions that would rather have points than earn them: none gets any, and none does harm.

Most are stopped twice: by the rules (extraction.py), which name what they found, and by the process they run in
(worker.py), which has nothing to steal. The second half of this file switches the rules off and asks the process alone.
"""

import io
import os
import stat
import sys
import tarfile
import zipfile

import pytest
from course_submissions import BACKWARD, FILE, FORWARD, bodies, hand_in, nonorm_file

from minimobilebert.course.sandbox.host import Worker
from minimobilebert.course.shared import extraction
from minimobilebert.course.shared.manifest import load
from minimobilebert.course.teacher.grades import format_grades, gradescope
from minimobilebert.course.teacher.grading import Grader, run
from minimobilebert.course.teacher.policy import Policy
from minimobilebert.course.teacher.submission import read_submission

POLICY = Policy(lessons="3", seeds=[41, 42], seconds_per_call=1.0, memory_mb=256)
TASKS = ("03.4", "03.5")


@pytest.fixture(scope="module")
def grader():
    with Grader(load(), POLICY) as grader:
        grader.tasks = [task for task in grader.tasks if task.id in TASKS]
        yield grader


def grade(grader, path):
    """-> Grade; the bank of tests that follows expects that the honest solution earns everything"""
    return grader.grade(read_submission(path, grader.files))


def reasons(graded):
    return " ".join(f"{o.headline} {o.looks_like}" for result in graded.results for o in result.outcomes)


def test_an_honest_submission_earns_everything(grader, tmp_path):
    graded = grade(grader, hand_in(tmp_path, nonorm_file()))
    assert graded.score == graded.points == 6, reasons(graded)


ROOT = str(load().root)

# name -> body of both functions, and words that the grader answers with
BY_RULE = {
    "reads the reference": (f"source = open({ROOT + '/' + FILE!r}).read()\nreturn source", "found open"),
    "reads it through numpy": (f"import numpy\nreturn numpy.fromfile({ROOT + '/' + FILE!r}, 'u1')", "found .fromfile"),
    "imports the reference from elsewhere": (
        f"import sys\nsys.path.insert(0, {ROOT!r})\nimport importlib\nreturn 1", "import sys"),
    "imports by name": ("return __import__('os').listdir('/')", "found __import__"),
    "imports the gradient checker": ("from minimobilebert.gradcheck import check_gradients\nreturn 1", "gradcheck"),
    "patches the grader": ("from minimobilebert.course import checking\nchecking.PASSED = 'failed'", "minimobilebert.course"),
    "patches the grader, relatively": ("from ..course import checking\nreturn 1", "course"),
    "patches numpy.testing": ("import numpy\nnumpy.testing.assert_allclose = lambda *a, **k: None", "found .testing"),
    "writes the results": ("open('/autograder/results/results.json', 'w').write('{}')", "found open"),
    "exits": ("import sys\nsys.exit(0)", "import sys"),
    "exits by name": ("exit(0)", "found exit"),
    "forks": ("import os\nwhile True:\n    os.fork()", "import os"),
    "starts a process": ("import subprocess\nsubprocess.run(['id'])", "import subprocess"),
    "peeks at the caller": ("import sys\nreturn sys._getframe(1).f_locals", "import sys"),
    "peeks through a traceback": (
        "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    return e.__traceback__.tb_frame.f_back", "found ."),
    "climbs to every class": ("return ().__class__.__base__.__subclasses__()", "found .__"),
    "evaluates a text": ("return eval('1')", "found eval"),
    "asks a module for its system": ("import numpy\nreturn numpy.f2py.os.environ", "found .os"),
    "uses a framework": ("import torch\nreturn torch.tensor(1)", "import torch"),
    "calls C": ("import ctypes\nctypes.string_at(0)", "import ctypes"),
}  # fmt: skip


@pytest.mark.parametrize("case", BY_RULE)
def test_the_rules_name_what_they_found(grader, tmp_path, case):
    body, words = BY_RULE[case]
    graded = grade(grader, hand_in(tmp_path, bodies(body)))
    assert graded.score == 0
    assert words in reasons(graded)


BY_PROCESS = {
    "endless loop": ("while True:\n    pass", "no answer within"),
    "endless output": ("while True:\n    print('x' * 10_000)", "no answer within"),
    "endless recursion": ("f = lambda n: f(n + 1)\nreturn f(0)", "RecursionError"),
    "memory bomb": ("import numpy as np\nreturn [np.ones(50_000_000) for _ in range(100)]", "MemoryError"),
    "enormous result": ("import numpy as np\nreturn np.broadcast_to(np.ones(1), (10**12,)), None", ""),
    "raises SystemExit": ("raise SystemExit(0)", "SystemExit"),
    "pretends that another task is missing": ("raise NotImplementedError('task 02.1 (...)')", "needs task 02.1"),
    "delegates to the compiled twin": (
        "from ..kernels import nonorm as k\nreturn k.nonorm_forward(x, weight, bias)[0], NoNormCache(x, weight)",
        "found compiled code"),
    "delegates to the fused form": (
        "from .fused import dense_nonorm as d\nimport numpy as np\n"
        "return d.dense_nonorm_forward(x, np.eye(x.shape[-1]), 0 * bias, None, weight, bias)[0], NoNormCache(x, weight)",
        "found compiled code"),
    "returns a class that equals everything": (
        "class Right(float):\n    def __init__(self): pass\n    def equals(self): return True\n"
        "import numpy as np\nreturn np.array([Right()], dtype=object), None", "found an array of object"),
    "returns texts": ("import numpy as np\nreturn np.array(['y'] * 30), None", ""),
    "returns itself": ("a = []\na.append(a)\nreturn a", "RecursionError"),
    "returns NaN": ("import numpy as np\ny = x if 'x' in dir() else dy\nreturn y * np.nan, None", ""),
    "returns nothing": ("return None", ""),
    "changes numpy for everybody": (
        "import numpy as np\nnp.allclose = np.array_equal = lambda *a, **k: True\nnp.abs = lambda a: 0 * a\nreturn 1, 2", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", BY_PROCESS)
def test_what_the_rules_let_through_earns_nothing(grader, tmp_path, case):
    body, words = BY_PROCESS[case]
    graded = grade(grader, hand_in(tmp_path, bodies(body)))
    assert graded.score == 0
    assert words in reasons(graded), reasons(graded)


def test_finite_differences_are_too_slow_and_earn_nothing(grader, tmp_path):
    """The right numbers, ten digits of them, from two evaluations an entry."""
    backward = """
def nonorm_backward(dy, cache):
    given = {"x": cache.x.astype(np.float64), "w": cache.weight.astype(np.float64)}
    found = []
    for key in given:
        slope = np.zeros(given[key].shape)
        for index in np.ndindex(slope.shape):
            ends = []
            for step in (0.5, -0.5):
                moved = {**given, key: given[key].copy()}
                moved[key][index] += step
                ends.append((dy * (moved["w"] * moved["x"])).sum())
            slope[index] = ends[0] - ends[1]
        found.append(slope.astype(dy.dtype))
    return (*found, dy.sum(axis=tuple(range(dy.ndim - 1))))
"""
    graded = grade(grader, hand_in(tmp_path, nonorm_file(backward=backward)))
    forward, result = graded.results
    assert forward.score == 2 and result.score == 0
    states = {outcome.name: outcome.state for outcome in result.outcomes}
    assert states["gradients"] == "passed" and states["in_time"] == "failed"


def test_answers_learnt_from_the_public_numbers_earn_nothing(grader, tmp_path):
    """A table of what the student edition's seed draws; the hidden seeds draw something else."""
    from minimobilebert.course.shared.checking import run_task
    from minimobilebert.course.shared.properties import load_properties
    from minimobilebert.course.shared.trial import Memory

    course, oracle = load(), Memory()
    task = course.task("03.4")
    properties = load_properties(course, [task.id])[task.id]
    with grader.worker() as worker:
        worker.install(
            task.function, "def nonorm_forward(x, weight, bias):\n    return weight * x + bias, NoNormCache(x, weight)"
        )
        assert run_task(task, properties, worker, oracle, 1).passed
    # Others are what digits are compared with.
    pairs = [answer for answer in oracle.answers.values() if isinstance(answer, tuple) and hasattr(answer[0], "size")]
    table = {repr(float(cache.x.flat[0])): y.tolist() for y, cache in pairs if y.size}
    forward = f"\nTABLE = {table!r}\n\ndef nonorm_forward(x, weight, bias):\n    return np.array(TABLE[repr(float(x.flat[0]))]), NoNormCache(x, weight)\n"
    graded = grade(grader, hand_in(tmp_path, nonorm_file(forward)))
    assert graded.results[0].score == 0 and "KeyError" in reasons(graded)


FILES = {
    "syntax error": (nonorm_file("\ndef nonorm_forward(x, weight, bias:\n"), "line "),
    "no Python at all": (b"\x00\xff\xfe PK\x03\x04" * 100, "cannot be read as Python"),
    "nested too deeply": ("x = " + "(" * 5000 + ")" * 5000 + nonorm_file(), ""),
    "nested deeper than trees go": (bodies("return " + "-" * 50_000 + "1"), ""),
    "enormous": ("#" * 3_000_000 + nonorm_file(), "bytes"),
    "another signature": (
        nonorm_file("\ndef nonorm_forward(x, weight, bias, answer=None):\n    return x, None\n",
                    "\ndef nonorm_backward(*args):\n    return None\n"), "expected nonorm_"),
    "functions renamed": (nonorm_file(FORWARD.replace("nonorm_f", "no_norm_f"), BACKWARD.replace("nonorm_b", "no_norm_b")),
                          "found no function"),
    "a class of that name": (nonorm_file("\nclass nonorm_forward:\n    pass\n", "\nnonorm_backward = max\n"),
                             "found no function"),
    "code at module level": ("import os\nos.system('touch harm')\n" + bodies("return 1"), ""),
    "a hostile default": (nonorm_file("\ndef nonorm_forward(x, weight, bias=open('harm', 'w')):\n    return 1\n", ""), ""),
    "a hostile decorator": (nonorm_file("\n@exit\ndef nonorm_forward(x, weight, bias):\n    return 1\n", ""), ""),
    "a hostile helper": (nonorm_file("\nLINE = open('harm', 'w')\n\ndef nonorm_forward(x, weight, bias):\n    return LINE\n", ""),
                         "found open"),
    "a helper that fails": (nonorm_file("\nLINE = 1 / 0\n\ndef nonorm_forward(x, weight, bias):\n    return LINE\n", ""),
                            "ZeroDivisionError"),
    "a helper that never ends": (
        nonorm_file("\nLINE = sum(0 for _ in iter(int, 1))\n\ndef nonorm_forward(x, weight, bias):\n    return LINE\n", ""),
        "no answer within"),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_not_what_it_should_be(grader, tmp_path, case):
    text, words = FILES[case]
    graded = grade(grader, hand_in(tmp_path / "in", text))
    assert graded.score == 0 and words in reasons(graded) + graded.submission.problem
    assert not list(tmp_path.rglob("harm")) and not os.path.exists("harm")


def test_other_file_names_earn_nothing_and_say_so(grader, tmp_path):
    graded = grade(grader, hand_in(tmp_path, nonorm_file(), "minimobilebert/ops/no_norm.py"))
    assert graded.score == 0 and "found no file with a task" in graded.submission.problem


def zipped(path, *entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data, mode in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path


def tarred(path, *entries):
    with tarfile.open(path, "w:gz") as archive:
        for info, data in entries:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


GOOD = nonorm_file().encode()
ARCHIVES = {
    "zip that climbs": lambda p: zipped(p / "a.zip", (f"../../{FILE}", GOOD, 0o644), (FILE, GOOD, 0o644)),
    "zip with an absolute path": lambda p: zipped(p / "a.zip", (f"/tmp/{FILE}", GOOD, 0o644)),
    "zip with a drive": lambda p: zipped(p / "a.zip", (f"C:\\{FILE}", GOOD, 0o644)),
    "zip with a link": lambda p: zipped(p / "a.zip", (FILE, f"{ROOT}/{FILE}".encode(), stat.S_IFLNK | 0o777)),
    "zip bomb": lambda p: zipped(p / "a.zip", (FILE, b"#" * 50_000_000, 0o644)),
    "tar that climbs": lambda p: tarred(p / "a.tar.gz", (member(f"../{FILE}"), GOOD)),
    "tar with an absolute path": lambda p: tarred(p / "a.tar.gz", (member("/etc/passwd"), GOOD)),
    "tar with a link": lambda p: tarred(p / "a.tar.gz", (member(FILE, tarfile.SYMTYPE, f"{ROOT}/{FILE}"), b"")),
    "tar with a hard link": lambda p: tarred(p / "a.tar.gz", (member(FILE, tarfile.LNKTYPE, "/etc/passwd"), b"")),
    "tar with a device": lambda p: tarred(p / "a.tar.gz", (member(FILE, tarfile.CHRTYPE), b"")),
    "neither": lambda p: (p / "a.zip").write_bytes(b"PK nonsense") and p / "a.zip",
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_archives_that_escape_are_refused_whole(grader, tmp_path, case):
    graded = grade(grader, ARCHIVES[case](tmp_path))
    assert graded.score == 0 and "found" in graded.submission.problem
    assert sorted(path.name for path in tmp_path.iterdir()) == [graded.submission.path.name]


def test_a_folder_with_a_link_to_the_reference_is_refused(grader, tmp_path):
    path = tmp_path / "in" / FILE
    path.parent.mkdir(parents=True)
    path.symlink_to(f"{ROOT}/{FILE}")
    graded = grade(grader, tmp_path / "in")
    assert graded.score == 0 and "a link out of the folder" in graded.submission.problem


def test_the_reference_itself_is_a_right_solution(grader):
    """Handing in the project: its operations are NumPy, and the line that names a compiled twin does not count."""
    graded = grade(grader, load().root)
    assert graded.score == sum(task.points for task in grader.tasks)


def test_names_that_a_spreadsheet_would_run(grader, tmp_path):
    hand_in(tmp_path / "=cmd|' C'!A0", nonorm_file())
    run(load(), [tmp_path / "=cmd|' C'!A0"], tmp_path / "out", POLICY)
    assert "\n'=cmd" in (tmp_path / "out" / "grades.csv").read_text()


# --- the process alone


WITHOUT_RULES = {
    "reads the reference": f"return open({ROOT + '/' + FILE!r}).read()",
    "reads the grader's memory": "import os\nreturn open(f'/proc/{os.getppid()}/mem', 'rb').read(1)",
    "lists a folder": "import os\nreturn os.listdir('/')",
    "writes a file": "open(HARM, 'w').write('x')",
    "writes through the system": "import os\nos.open(HARM, os.O_WRONLY | os.O_CREAT)",
    "runs a program": "import os\nos.system('touch ' + HARM)",
    "starts a process": "import subprocess\nsubprocess.run(['touch', HARM])",
    "forks": "import os\nif os.fork() == 0:\n    os._exit(0)",
    "kills the grader": "import os\nos.kill(os.getppid(), 9)",
    "opens a connection": "import socket\nsocket.create_connection(('127.0.0.1', 9))",
    "calls C": "import ctypes\nctypes.CDLL(None).system(b'touch ' + HARM.encode())",
    "imports the reference from elsewhere": (
        f"import sys, importlib\nfor name in [n for n in sys.modules if n.startswith('minimobilebert')]:\n    del sys.modules[name]\n"
        f"sys.path.insert(0, {ROOT!r})\nimport minimobilebert.ops.nonorm as m\n"
        "return m.nonorm_forward(x, weight, bias) if 'x' in dir() else m.nonorm_backward(dy, cache)"),
    "takes the guard away": "import sys\nsys.addaudithook(lambda *a: None)\nreturn open('/etc/passwd').read()",
    "leaves at once": "import os\nos._exit(0)",
    "closes every pipe": "import os\nfor fd in range(3, 64):\n    os.close(fd)",
    "answers for itself": (
        "import os, struct, json\nheader = json.dumps([{'result': [True, None]}, []]).encode()\n"
        "for fd in range(3, 16):\n    try:\n        os.write(fd, struct.pack('<QQ', len(header), 0) + header)\n    except OSError:\n        pass\n"
        "return 1"),
    "answers nonsense": "import os\nfor fd in range(3, 16):\n    try:\n        os.write(fd, b'x' * 1000)\n    except OSError:\n        pass\nreturn 1",
    "answers with a class": (
        "import os, struct, json\nheader = json.dumps([{'result': {'record': 'os:system', 'fields': [['_kind', 'x']]}}, []]).encode()\n"
        "for fd in range(3, 16):\n    try:\n        os.write(fd, struct.pack('<QQ', len(header), 0) + header)\n    except OSError:\n        pass\n"
        "return 1"),
    "asks the grader to call": (
        "import os, struct, json\nheader = json.dumps([{'ask': 0, 'args': []}, []]).encode()\n"
        "for fd in range(3, 16):\n    try:\n        os.write(fd, struct.pack('<QQ', len(header), 0) + header)\n    except OSError:\n        pass\n"
        "return 1"),
    "searches the caller's frames": (
        "import sys\nframe, seen = sys._getframe(), []\nwhile frame:\n    seen += [v for v in frame.f_locals.values() if type(v).__name__ in ('Trial', 'Live')]\n"
        "    frame = frame.f_back\nreturn seen[0]"),
    "searches all objects": "import gc\nreturn [o for o in gc.get_objects() if type(o).__name__ == 'Trial'][0]",
    "patches the worker": (
        "import sys\nmain = sys.modules['__main__']\nmain.Server.answer = lambda *a: (True, None)\nreturn 1"),
}  # fmt: skip


FORBIDDEN = list(WITHOUT_RULES)[: list(WITHOUT_RULES).index("leaves at once")]


@pytest.mark.skipif(sys.platform == "win32", reason="the process's limits are POSIX")
@pytest.mark.parametrize("case", WITHOUT_RULES)
def test_the_process_alone_gives_nothing_away(grader, tmp_path, case, monkeypatch):
    for rule in ("_check", "_check_calls"):
        monkeypatch.setattr(extraction, rule, lambda *_: None)
    harm = tmp_path / "harm"
    body = WITHOUT_RULES[case].replace("HARM", repr(str(harm)))
    graded = grade(grader, hand_in(tmp_path / "in", bodies(body)))
    assert graded.score == 0, reasons(graded)
    assert not harm.exists()
    if case in FORBIDDEN:  # a folder that may not be listed is passed over by an import: it finds the cut file again
        assert "not allowed in grading" in reasons(graded) or (
            case.startswith("imports") and ("not written" in reasons(graded) or "No module named" in reasons(graded))
        )


@pytest.mark.skipif(sys.platform == "win32", reason="the process's limits are POSIX")
@pytest.mark.parametrize("case", ["writes through the system", "imports the reference from elsewhere"])
def test_it_is_the_guard_that_stops_them(grader, tmp_path, case, monkeypatch):
    """The same without the guard: the file is written, and the stolen function earns its points."""
    for rule in ("_check", "_check_calls"):
        monkeypatch.setattr(extraction, rule, lambda *_: None)
    monkeypatch.setattr(grader, "worker", lambda: Worker(grader.root, sorted(grader.files)))
    harm = tmp_path / "harm"
    graded = grade(grader, hand_in(tmp_path / "in", bodies(WITHOUT_RULES[case].replace("HARM", repr(str(harm))))))
    assert harm.exists() or graded.score > 0


def test_one_hostile_submission_does_not_touch_the_next(grader, tmp_path):
    hand_in(tmp_path / "a", bodies("import numpy as np\nnp.sum = None\nwhile True:\n    pass"))
    hand_in(tmp_path / "b", nonorm_file())
    first, second = grade(grader, tmp_path / "a"), grade(grader, tmp_path / "b")
    assert (first.score, second.score) == (0, 6)
    assert "0 of 6" in format_grades([gradescope(first, POLICY)]) and gradescope(second, POLICY)["score"] == 6
