"""Gradescope: the set-up script finds or brings a Python, and a results.json is left whatever ends the grading."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import zipfile

import pytest
from course_submissions import FILE, hand_in, nonorm_file

from minimobilebert.course.shared.manifest import load
from minimobilebert.course.teacher import gradescope as there
from minimobilebert.course.teacher.gradescope import build, fitted, grade_there
from minimobilebert.course.teacher.gradescope_scripts import RUN, SETUP
from minimobilebert.course.teacher.grading import Grader
from minimobilebert.course.teacher.policy import Policy

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Gradescope's images are Linux")
MB = 1 << 20

# A python that says which version it is and can make an environment; what it was asked for goes into the log.
PYTHON = """#!/bin/sh
echo "$(basename $0) $*" >> {log}
case "$*" in
    *version_info*) [ {new} = yes ] ;;
    *--version*) echo "Python {version}" ;;
    "-m pip"*) {pip} ;;
    "-m venv"* | "-m uv"*) for last; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;
esac
"""
# An apt-get that brings a Python if it is asked for one that this image can have.
APT = """#!/bin/sh
echo "apt-get $*" >> {log}
case "$*" in update*) exit 0 ;; esac
for name in {has}; do case " $* " in *" $name "*) cp {bin}/new {bin}/$name; exit 0 ;; esac; done
case "$*" in *software-properties-common*) [ {ppa} = yes ] ;; *python3.*) exit 100 ;; esac
"""


def image(folder, *, new="no", has="", ppa="no", pip="false"):
    """A folder with the commands of an image -> its PATH, the log"""
    bin_, log = folder / "bin", folder / "log"
    bin_.mkdir()
    for name in ("sh", "env", "bash", "basename", "cp", "mkdir", "chmod"):
        (bin_ / name).symlink_to(
            pathlib.Path("/bin") / name if pathlib.Path("/bin", name).exists() else f"/usr/bin/{name}"
        )
    version = "3.12.3" if new == "yes" else "3.10.12"
    texts = {
        "python3": PYTHON.format(log=log, new=new, version=version, pip=pip),
        "new": PYTHON.format(log=log, new="yes", version="3.12.9", pip="true"),
        "apt-get": APT.format(log=log, has=has, bin=bin_, ppa=ppa),
        "add-apt-repository": f'#!/bin/sh\necho "add-apt-repository $*" >> {log}\n[ {ppa} = yes ]\n',
    }
    for name, text in texts.items():
        (bin_ / name).write_text(text)
        (bin_ / name).chmod(0o755)
    return bin_, log


@pytest.mark.parametrize(("settings", "code", "words"), [
    ({"new": "yes", "pip": "true"}, 0, "from python3\n"),
    ({"has": "python3.12", "ppa": "yes"}, 0, "from python3.12\n"),  # Ubuntu 22.04 with deadsnakes
    ({"has": "python3.11"}, 0, "from python3.11\n"),  # without: Ubuntu's own
    ({"pip": "true"}, 0, "from uv's Python 3.12\n"),
    ({}, 1, "found Python 3.10.12, expected 3.11 or newer, and none could be installed.\nChoose an image that has one:"),
])  # fmt: skip
def test_set_up_brings_a_python_or_says_what_to_choose(tmp_path, settings, code, words):
    path, log = image(tmp_path, **settings)
    before = (path / "python3").read_text()
    (tmp_path / "ag" / "source").mkdir(parents=True)
    (tmp_path / "setup.sh").write_text(SETUP.replace("/autograder", str(tmp_path / "ag")))
    done = subprocess.run(["bash", str(tmp_path / "setup.sh")], env={"PATH": str(path)}, capture_output=True, text=True,
                          check=False)  # fmt: skip
    output, asked = done.stdout + done.stderr, log.read_text()
    assert done.returncode == code and words in output, output
    assert (tmp_path / "ag" / "venv" / "bin" / "python").exists() == (code == 0)
    assert ("-m pip install -q numpy>=1.26 tqdm" in asked) == (code == 0)
    assert "apt-get install" not in asked or "new" not in settings
    assert (path / "python3").read_text() == before  # Gradescope's harness runs with it


def test_the_first_results_are_there_before_python_is(tmp_path):
    script = tmp_path / "run_autograder"
    script.write_text(RUN.replace("/autograder", str(tmp_path)))
    assert subprocess.run(["bash", str(script)], capture_output=True, check=False).returncode != 0  # no Python at all
    result = json.loads((tmp_path / "results" / "results.json").read_text())
    assert result["score"] == 0 and "not your mistake" in result["output"]


@pytest.mark.parametrize(("memory", "policy", "expected"), [
    (None, 1024, 1024), (768 * MB, 1024, 368), (768 * MB, 100, 100), (4096 * MB, 1024, 1024), (100 * MB, 1024, 64),
])  # fmt: skip
def test_a_student_s_code_has_less_memory_than_the_container(memory, policy, expected):
    assert fitted(Policy(memory_mb=policy, due="2027-03-01T20:00:00+01:00"), memory) == Policy(memory_mb=expected)


@pytest.mark.parametrize(("files", "expected"), [
    ({}, None), ({"memory.max": "max\n"}, None), ({"memory.max": "805306368\n"}, 805306368),
    ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None), ({"memory/memory.limit_in_bytes": "5000000\n"}, 5000000),
])  # fmt: skip
def test_the_container_s_memory(tmp_path, monkeypatch, files, expected):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(
        there.pathlib, "Path", lambda path: pathlib.PosixPath(str(path).replace("/sys/fs/cgroup", str(tmp_path)))
    )
    assert there.memory_of_container() == expected


@pytest.fixture
def autograder(tmp_path):
    hand_in(tmp_path / "submission", nonorm_file(), "nonorm.py")
    return tmp_path


def results(folder):
    return json.loads((folder / "results" / "results.json").read_text(encoding="utf-8"))


def test_every_task_leaves_what_is_known_so_far(autograder, monkeypatch):
    seen, task = [], Grader._task

    def noted(self, *more):
        seen.append(results(autograder))
        return task(self, *more)

    monkeypatch.setattr(Grader, "_task", noted)
    grade = grade_there(load(), autograder, lambda: Policy(lessons="3"))
    assert [before["score"] for before in seen] == [0, 2] and grade.score == 6
    for before in seen:
        assert before["output"].startswith("not finished:") and len(before["tests"]) == len(grade.results)
        assert "the grading was stopped before this task" in before["tests"][-1]["output"]
    whole = results(autograder)
    assert (
        whole["score"] == 6
        and "not finished" not in whole["output"]
        and "(as minimobilebert/ops/nonorm.py)" in whole["output"]
    )


@pytest.mark.parametrize("how", ["time", "TERM", "error"])
def test_whatever_ends_it_the_points_so_far_are_kept(autograder, monkeypatch, how):
    task = Grader._task

    def ends(self, what, worker):
        if what.id != "03.5":
            return task(self, what, worker)
        if how == "error":
            raise MemoryError
        if how == "TERM":
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)

    monkeypatch.setattr(Grader, "_task", ends)
    start = time.monotonic()
    grade_there(load(), autograder, lambda: Policy(lessons="3", seconds_per_submission=3.0 if how == "time" else 60.0))
    assert time.monotonic() - start < 25
    result = results(autograder)
    words = (
        "the grader failed, which is not the student's fault: MemoryError"
        if how == "error"
        else "not finished: the time"
    )
    assert result["score"] == 2 and result["output"].startswith(words)


def test_nothing_handed_in_is_a_result_too(tmp_path):
    (tmp_path / "submission").mkdir()
    grade_there(load(), tmp_path, lambda: Policy(lessons="3"))
    assert results(tmp_path)["score"] == 0 and "found an empty folder" in results(tmp_path)["output"]


def test_the_zip_has_both_scripts(tmp_path):
    with zipfile.ZipFile(build(load(), tmp_path / "a.zip")) as archive:
        assert (archive.read("setup.sh").decode(), archive.read("run_autograder").decode()) == (SETUP, RUN)
        assert FILE in archive.namelist()
