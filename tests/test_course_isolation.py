"""The isolation of submissions: which one is chosen, that it fails closed, and that results say which one it was."""

import csv
import io
import json
import os
import struct
import sys

import pytest
from course_submissions import hand_in, nonorm_file

from minimobilebert.cli import main
from minimobilebert.course.sandbox import confinement, isolation
from minimobilebert.course.shared import extraction
from minimobilebert.course.shared.manifest import load
from minimobilebert.course.teacher.grading import Grader
from minimobilebert.course.teacher.policy import Policy, load_policy
from minimobilebert.course.teacher.submission import read_submission

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the isolation of submissions needs Linux")


def program(folder, text):
    """A program called bwrap that says `text` and fails -> the PATH to find it"""
    folder.mkdir()
    (folder / "bwrap").write_text(f"#!/bin/sh\necho '{text}' >&2\nexit 1\n")
    (folder / "bwrap").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@LINUX
def test_bubblewrap_that_does_not_start_ends_the_grading(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", program(tmp_path / "bin", "bwrap: No permissions to create new namespace"))
    hand_in(tmp_path / "in" / "ada", nonorm_file())
    (tmp_path / "p.toml").write_text('lessons = "3"')
    command = ["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--policy", str(tmp_path / "p.toml")]
    assert main(command) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert "bubblewrap is installed and does not start (bwrap: No permissions to create new namespace)" in errors[-1]
    assert "--isolation user, landlock or none" in errors[-1] and not list((tmp_path / "out").glob("*.json"))
    assert main(["doctor"]) == 1 and "No permissions to create new namespace" in capsys.readouterr().out


@LINUX
@pytest.mark.parametrize("name", [name for name in isolation.NAMES if name not in ("none", "bubblewrap")])
def test_a_step_that_fails_ends_the_grading(tmp_path, monkeypatch, name):
    """The worker says what it could not give up, before it sees any of the student's code."""
    if reason := isolation.missing(name):
        pytest.skip(f"no {name}: {reason}")
    with Grader(load(), Policy(lessons="3", isolation=name)) as grader:
        file = grader.root / "minimobilebert/course/sandbox/confinement.py"
        file.write_text(file.read_text() + "\n\ndef filter_system_calls():\n    raise OSError('no filter')\n")
        with pytest.raises(isolation.IsolationError, match="no process starts in it.*no filter"):
            grader.grade_or_say_why(read_submission(hand_in(tmp_path, nonorm_file()), grader.files))


@LINUX
def test_a_start_that_fails_later_is_not_the_student_s_fault(tmp_path, monkeypatch):
    if reason := isolation.missing("bubblewrap"):
        pytest.skip(f"no bubblewrap: {reason}")
    with Grader(load(), Policy(lessons="3", isolation="bubblewrap")) as grader:
        monkeypatch.setattr(isolation, "bubblewrap", lambda *_: ["false"])
        with pytest.raises(isolation.IsolationError, match="found that no process starts in it"):
            grader.grade_or_say_why(read_submission(hand_in(tmp_path, nonorm_file()), grader.files))


def test_the_best_is_chosen_and_none_may_be_refused(monkeypatch):
    for there in (["bubblewrap", "user"], ["user"], ["landlock"], []):
        monkeypatch.setattr(isolation, "missing", lambda name, there=there: "" if name in [*there, "none"] else "x y")
        assert isolation.choose() == [*there, "none"][0]
        if there:
            assert isolation.choose("required") == there[0]
    assert isolation.choose("none") == "none"
    with pytest.raises(isolation.IsolationError, match="found none on this system, expected one as required"):
        isolation.choose("required")
    with pytest.raises(isolation.IsolationError, match=r"found no bubblewrap \(x y\)"):
        isolation.choose("bubblewrap")
    with pytest.raises(isolation.IsolationError, match="found 'docker', expected one of best, required, bubblewrap"):
        isolation.choose("docker")


def test_a_policy_may_demand_it(tmp_path):
    (tmp_path / "p.toml").write_text('isolation = "required"')
    assert load_policy(tmp_path / "p.toml").isolation == "required"
    (tmp_path / "p.toml").write_text('isolation = "docker"')
    with pytest.raises(ValueError, match="isolation: found 'docker', expected one of best"):
        load_policy(tmp_path / "p.toml")


@pytest.mark.parametrize("name", [isolation.choose(), "none"])
def test_the_first_line_and_every_result_say_which(tmp_path, capsys, name):
    hand_in(tmp_path / "in" / "ada", nonorm_file())
    (tmp_path / "in" / "bob.zip").write_bytes(b"broken")
    (tmp_path / "p.toml").write_text('lessons = "3"')
    command = ["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--policy", str(tmp_path / "p.toml")]
    assert main([*command, "--isolation", name]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"isolation: {name}: {isolation.EXPLAINED[name]}"
    for student in ("ada", "bob"):
        result = json.loads((tmp_path / "out" / f"{student}.json").read_text())
        assert result["extra_data"]["isolation"] == name
    rows = csv.DictReader(io.StringIO((tmp_path / "out" / "grades.csv").read_text()))
    assert [row["isolation"] for row in rows] == [name, name]


def test_doctor_names_it(capsys):
    main(["doctor"])
    assert f"isolation                   {isolation.choose()}: " in capsys.readouterr().out


def answer(program, machine, number):
    """What a seccomp filter answers to a system call: a small interpreter of the five instructions that it uses"""
    position = accumulator = 0
    while True:
        code, if_true, if_false, value = struct.unpack_from("<HBBI", program, 8 * position)
        position += 1
        if code == 0x20:
            accumulator = {0: number, 4: machine}[value]
        elif code == 0x15:
            position += if_true if accumulator == value else if_false
        elif code == 0x35:
            position += if_true if accumulator >= value else if_false
        else:
            return value


@pytest.mark.parametrize(("name", "machine", "denied", "allowed"), [
    ("x86_64", 0xC000003E, {"socket": 41, "clone": 56, "execve": 59, "kill": 62, "ptrace": 101, "chmod": 90, "clone3": 435},
     {"read": 0, "write": 1, "openat": 257, "mmap": 9, "brk": 12, "exit_group": 231, "futex": 202, "getrandom": 318, "lseek": 8}),
    ("aarch64", 0xC00000B7, {"socket": 198, "clone": 220, "execve": 221, "kill": 129, "ptrace": 117, "fchmodat": 53, "clone3": 435},
     {"read": 63, "write": 64, "openat": 56, "mmap": 222, "brk": 214, "exit_group": 94, "futex": 98, "getrandom": 278, "lseek": 62}),
])  # fmt: skip
def test_the_filter_refuses_what_it_should(name, machine, denied, allowed):
    program = confinement.system_call_filter(name)
    for number in denied.values():
        assert answer(program, machine, number) == 0x00050001
    for number in allowed.values():
        assert answer(program, machine, number) == 0x7FFF0000
    assert answer(program, machine, 0x40000000 + 41) == answer(program, 0x40000003, 3) == 0x00050001
    assert confinement.system_call_filter("vax") is None


def test_what_students_may_import_is_loaded_before_files_are_out_of_reach():
    loaded = {name.partition(".")[0] for name in confinement.PRELOADED}
    assert extraction.ALLOWED <= loaded


@LINUX
@pytest.mark.parametrize("name", isolation.NAMES)
def test_modules_and_numbers_that_solutions_use(tmp_path, name):
    """What is imported by a function, and what NumPy and Python import by themselves when they are first used."""
    if reason := isolation.missing(name):
        pytest.skip(f"no {name}: {reason}")
    forward = (
        "\ndef nonorm_forward(x, weight, bias):\n    import collections.abc, dataclasses, fractions, heapq, random, unicodedata\n"
        "    from minimobilebert.ops.softmax import softmax_forward\n"
        "    print('printed', np.array([1.5]), f'{1 / 3:.3f}', 'x'.encode('utf-16'))\n"
        "    np.float64(1) / np.float64(0), np.linalg.norm(x), np.fft.fft(np.ones(4)), np.random.default_rng(1).normal()\n"
        "    np.char.upper(np.array(['a'])), np.ma.array([1]), np.polynomial.Polynomial([1, 2])(3), np.einsum('...i->...', x)\n"
        "    np.lib.stride_tricks.sliding_window_view(np.arange(5), 2), np.vectorize(abs)(np.ones(2)), np.unique(x), np.median(np.ones(3))\n"
        "    return weight * x + bias, NoNormCache(x, weight)\n"
    )
    with Grader(load(), Policy(lessons="3", isolation=name)) as grader:
        grader.tasks = [task for task in grader.tasks if task.id == "03.4"]
        grade = grader.grade(read_submission(hand_in(tmp_path, nonorm_file(forward)), grader.files))
    assert grade.score == grade.points, [(o.headline, o.looks_like, o.lines) for r in grade.results for o in r.outcomes]
