"""Grading: what is handed in how, points, lateness, Gradescope's form, the class's table; mutants and course-check."""

import csv
import dataclasses
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile

import pytest
from course_submissions import BACKWARD, FILE, FORWARD, hand_in, nonorm_file

from minimobilebert.cli import main
from minimobilebert.course.shared import extraction
from minimobilebert.course.shared.manifest import load
from minimobilebert.course.shared.properties import load_properties
from minimobilebert.course.teacher import course_check, grading, mutants
from minimobilebert.course.teacher.grades import format_grades, gradescope
from minimobilebert.course.teacher.gradescope import build
from minimobilebert.course.teacher.grading import Grader, run
from minimobilebert.course.teacher.policy import Policy, late_factor, load_policy
from minimobilebert.course.teacher.submission import read_submission

POLICY = Policy(lessons="3", seeds=[5])
WRONG_BACKWARD = BACKWARD.replace("dy.sum(axis=tokens)", "dy.mean(axis=tokens)")
IN_PLACE = BACKWARD.replace("return dy * cache.weight", "dx = dy * cache.weight; cache.x[...] = 0; return dx").replace(
    "dx = dy", "dweight = (dy * cache.x).sum(axis=tokens); dx = dy").replace(", (dy * cache.x).sum(axis=tokens),", ", dweight,")  # fmt: skip


@pytest.fixture(scope="module")
def grader():
    with Grader(load(), POLICY) as grader:
        grader.tasks = [task for task in grader.tasks if task.id in ("03.4", "03.5")]
        yield grader


def grade(grader, path):
    return grader.grade(read_submission(path, grader.files))


def test_points_are_those_of_the_properties_that_pass(grader, tmp_path):
    for name, text, scores in (
        ("right", nonorm_file(), [2, 4]),
        ("half", nonorm_file(backward=WRONG_BACKWARD), [2, 0]),
        ("in place", nonorm_file(backward=IN_PLACE), [2, 3.6]),
        ("forward alone", nonorm_file(backward=""), [2, 0]),
        ("nothing", "import numpy as np\n", [0, 0]),
    ):
        graded = grade(grader, hand_in(tmp_path / name, text))
        assert [result.score for result in graded.results] == scores, (name, graded.results)
        assert graded.score == sum(scores) and graded.points == 6


def test_helpers_of_the_same_file_come_along_and_other_files_do_not(grader, tmp_path):
    text = nonorm_file("""
FACTOR = 1.0

def _student_scale(x, weight):
    return FACTOR * weight * x

def nonorm_forward(x, weight, bias):
    return _student_scale(x, weight) + bias, NoNormCache(x, weight)
""")
    assert grade(grader, hand_in(tmp_path / "a", text)).score == 6
    other = text.replace(
        "def _student_scale(x, weight):\n    return FACTOR * weight * x", "from .mine import _student_scale"
    )
    hand_in(tmp_path / "b", other)
    hand_in(tmp_path / "b", "def _student_scale(x, weight):\n    return weight * x", "minimobilebert/ops/mine.py")
    graded = grade(grader, tmp_path / "b")
    assert [result.score for result in graded.results] == [0, 4]


def zipped(path, name):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, nonorm_file())
        archive.writestr("__MACOSX/._nonorm.py", b"\0")
    return path


def tarred(path, name):
    with tarfile.open(path, "w:bz2") as archive:
        info, data = tarfile.TarInfo(name), nonorm_file().encode()
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    "how", ["folder", "nested folder", "flat folder", "file", "zip", "nested zip", "flat zip", "tar"]
)
def test_every_way_of_handing_in(grader, tmp_path, how):
    path = {
        "folder": lambda: hand_in(tmp_path / "ada", nonorm_file()),
        "nested folder": lambda: hand_in(tmp_path / "ada", nonorm_file(), f"student/{FILE}"),
        "flat folder": lambda: hand_in(tmp_path / "ada", nonorm_file(), "nonorm.py"),
        "file": lambda: hand_in(tmp_path, nonorm_file(), "nonorm.py") / "nonorm.py",
        "zip": lambda: zipped(tmp_path / "ada.zip", FILE),
        "nested zip": lambda: zipped(tmp_path / "ada.zip", f"student-1/{FILE}"),
        "flat zip": lambda: zipped(tmp_path / "ada.zip", "nonorm.py"),
        "tar": lambda: tarred(tmp_path / "ada.tar.bz2", FILE),
    }[how]()
    submission = read_submission(path, grader.files)
    assert submission.problem == "" and list(submission.files) == [FILE] and len(submission.sha256) == 64
    assert submission.name == ("nonorm" if how == "file" else "ada")
    assert submission.files[FILE][1].decode() == nonorm_file()


def test_results_in_gradescope_s_form_and_the_class_s_table(tmp_path):
    hand_in(tmp_path / "in" / "ada", nonorm_file())
    hand_in(tmp_path / "in" / "bob", nonorm_file(backward=WRONG_BACKWARD))
    (tmp_path / "in" / "cleo.zip").write_bytes(b"broken")
    results = run(load(), [tmp_path / "in"], tmp_path / "out", POLICY)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "ada.json", "bob.json", "cleo.json", "grades.csv"
    ]  # fmt: skip
    ada, bob, cleo = (json.loads((tmp_path / "out" / f"{name}.json").read_text()) for name in ("ada", "bob", "cleo"))
    assert (ada["score"], bob["score"], cleo["score"]) == (6, 2, 0)
    for result in (ada, bob, cleo):
        assert {"score", "output", "tests", "execution_time", "visibility", "stdout_visibility"} <= set(result)
        for test in result["tests"]:
            assert {"name", "number", "score", "max_score", "status", "output", "visibility"} <= set(test)
            assert 0 <= test["score"] <= test["max_score"] and test["status"] in ("passed", "failed")
        assert result["score"] == sum(test["score"] for test in result["tests"])
    assert ada["extra_data"]["sha256"] in ada["output"] and FILE in ada["output"]
    (test,) = [test for test in bob["tests"] if test["number"] == "03.5"]
    assert "an average where a sum is meant" in test["output"] and "dbias is wrong" in test["output"]
    assert "found neither zip nor tar" in cleo["output"]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "grades.csv").read_text())))
    assert [(row["name"], row["score"], row["03.4"], row["03.5"]) for row in rows] == [
        ("ada", "6", "2", "4"), ("bob", "2", "2", "0"), ("cleo", "0", "0", "0"),
    ]  # fmt: skip
    assert all(len(row["sha256"]) == 64 for row in rows)
    table = format_grades(results)
    assert "ada" in table and rows[0]["sha256"][:16] in table and str(tmp_path / "in" / "ada") in table


def test_a_teacher_may_hide_what_failed(grader, tmp_path):
    graded = grade(grader, hand_in(tmp_path, nonorm_file(backward=WRONG_BACKWARD)))
    hidden = gradescope(graded, dataclasses.replace(POLICY, show_hidden=False))
    assert "average" not in json.dumps(hidden) and "failed      the gradients agree" in json.dumps(hidden)


def test_functions_outside_the_graded_lessons_keep_the_reference(tmp_path):
    """Lesson 2 is not graded: its functions are there, with what they call."""
    with Grader(load(), POLICY) as grader, grader.worker() as worker:
        import numpy as np

        x, weight = np.ones((2, 3)), np.ones((4, 3))
        y, _ = worker.call("minimobilebert/ops/linear.py:linear_forward", [x, weight, np.zeros(4)], {}, 10.0)[0]
        assert y.tolist() == [[3.0] * 4] * 2


LATE = Policy(due="2027-03-01T12:00:00+00:00", grace_hours=1.0, percent_lost_per_day_late=10.0, days_late_at_most=3)


@pytest.mark.parametrize(("when", "factor", "words"), [
    (None, 1.0, ""), ("2027-03-01T11:00:00+00:00", 1.0, ""), ("2027-03-01T12:59:00+00:00", 1.0, ""),
    ("2027-03-01T14:01:00+01:00", 0.9, "1 day late: 10 % lost"), ("2027-03-02T13:00:01+00:00", 0.8, "2 days late"),
    ("2027-03-04T13:00:00+00:00", 0.7, "3 days late"), ("2027-03-04T13:00:01+00:00", 0.0, "100 % lost"),
])  # fmt: skip
def test_late(when, factor, words):
    found, sentence = late_factor(LATE, when)
    assert found == pytest.approx(factor) and words in sentence


@pytest.mark.parametrize(("text", "words"), [
    ("seeds = 3", "field seeds: found 3, expected a list"), ("seeds = []", "seeds: found [], expected at least one"),
    ("seeds = [1.5]", "field seeds[0]: found 1.5"), ("sedes = [1]", "found an unknown key 'sedes', expected only lessons, seeds"), ("memory_mb = -1", "found -1"),
    ('due = "tomorrow"', "found the date 'tomorrow'"), ('due = "2027-03-01"', "found the date '2027-03-01'"),
    ("show_hidden = 1", "field show_hidden: found 1, expected true or false"), ("x", "expected TOML"),
    ("grace_hours = nan", "grace_hours: found nan"), ("grace_hours = 1e400", "found inf"), ("seconds_per_call = true", "found true"),
    ("due = 2027-03-01T23:59:00+01:00", "field due: found datetime"), ("seeds = [[1]]", "field seeds[0]: found a list"),
    ("percent_lost_per_day_late = 101", "expected a number between 0 and 100"), ("lessons = 3", "field lessons: found 3"),
])  # fmt: skip
def test_a_mistake_in_the_policy_is_one_clear_line(tmp_path, text, words):
    (tmp_path / "grading.toml").write_text(text)
    with pytest.raises(ValueError) as caught:
        load_policy(tmp_path / "grading.toml")
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_the_project_s_policy_and_the_defaults(tmp_path):
    policy = load_policy(load().root / "lessons" / "grading.toml")
    assert policy.seeds != Policy().seeds  # hidden ones
    assert dataclasses.replace(policy, seeds=[1]) == Policy() == load_policy(tmp_path / "none.toml")
    (tmp_path / "whole.toml").write_text("grace_hours = 2")
    assert load_policy(tmp_path / "whole.toml").grace_hours == 2.0


def test_the_command_grades(tmp_path, capsys):
    hand_in(tmp_path / "ada", nonorm_file())
    (tmp_path / "policy.toml").write_text('lessons = "3"\nseeds = [3]\n' + 'due = "2027-01-01T00:00:00+00:00"\n'
                                          + "percent_lost_per_day_late = 50")  # fmt: skip
    arguments = [
        "grade",
        str(tmp_path / "ada"),
        "--out",
        str(tmp_path / "out"),
        "--policy",
        str(tmp_path / "policy.toml"),
    ]
    assert main([*arguments, "--handed-in", "2027-01-01T05:00:00+00:00"]) == 0
    assert "1 day late: 50 % lost" in capsys.readouterr().out
    assert main([*arguments, "--handed-in", "x"]) == 2
    assert "found the date 'x'" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Gradescope's images are Linux")
def test_the_autograder_s_zip_grades_where_it_is_unpacked(tmp_path):
    """As Gradescope does it: source unpacked, submission beside it, results written; without this project's folder."""
    archive = build(load(), tmp_path / "autograder.zip")
    assert archive.read_bytes() == build(load(), tmp_path / "again.zip").read_bytes()
    source = tmp_path / "autograder" / "source"
    with zipfile.ZipFile(archive) as file:
        assert {"setup.sh", "run_autograder", "lessons/grading.toml", "lessons/course.toml"} <= set(file.namelist())
        assert file.getinfo("run_autograder").external_attr >> 16 & 0o111
        file.extractall(source)
    hand_in(tmp_path / "autograder" / "submission", nonorm_file(), "nonorm.py")
    command = (source / "run_autograder").read_text().splitlines()[-1].split()
    assert command[0] == "MINIMOBILEBERT_BACKEND=numpy" and command[1] == "/autograder/venv/bin/python"
    arguments = [word.replace("/autograder", str(tmp_path / "autograder")) for word in command[2:]]
    environment = {**os.environ, "MINIMOBILEBERT_BACKEND": "numpy", "PYTHONPATH": str(source)}
    done = subprocess.run([sys.executable, *arguments], cwd=source, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "autograder" / "results" / "results.json").read_text())
    assert result["score"] == 6
    scores = {test["number"]: test["score"] for test in result["tests"]}
    assert scores["03.4"] == 2 and scores["03.5"] == 4 and scores["02.1"] == 0


# --- the mutant bank


def test_every_mutant_of_nonorm_dies_and_the_table_says_where(capsys):
    assert main(["mutants", "03.4", "03.5"]) == 0
    out = capsys.readouterr().out
    assert "task 03.4" in out and "0 survive" in out and "SURVIVES" not in out


def test_a_survivor_is_seen(grader):
    course = load()
    right = mutants.Mutant("03.4", "no mutant", "the solution itself", nonorm_file())
    rows = mutants.run(course, grader, [right])
    assert mutants.survivors(rows) == [right] and "SURVIVES" in mutants.format_rows(rows)


@pytest.mark.parametrize(("entry", "words"), [
    ('name = "x"\ntask = "03.5"', "mutant 'x': found no 'explains'"),
    ('name = "x"\ntask = "09.1"\nexplains = "y"', "task: found '09.1', expected a task of lesson 03"),
    ('name = "x"\ntask = "03.5"\nexplains = "y"', "expected either code, or find and replace"),
    ('name = "x"\ntask = "03.5"\nexplains = "y"\nfind = "dy"\nreplace = "dx"', "find: found 'dy'"),
    ('name = "x"\ntask = "03.5"\nexplains = "y"\nfind = "nothing"\nreplace = "dx"', "0 times in solutions.py"),
    ('name = "x"\ntask = "03.5"\nexplains = "y"\ncolour = "red"', "found an unknown key 'colour'"),
    ('name = "x"\ntask = "03.5"\nexplains = "y"\nfind = "dy"\nreplace = "dx"\nfunction = "relu"', "found 'relu', expected nonorm_backward"),
    ('name = "x', "expected TOML"),
])  # fmt: skip
def test_a_mistake_in_the_bank_is_one_clear_line(tmp_path, entry, words):
    course = load()
    lesson = course.lesson("03")
    folder = tmp_path / "lessons" / lesson.folder
    folder.mkdir(parents=True)
    (folder / "solutions.py").write_text((load().root / "lessons" / lesson.folder / "solutions.py").read_text())
    (folder / "mutants.toml").write_text(f"[[mutant]]\n{entry}\n")
    here = dataclasses.replace(course, root=tmp_path, lessons=(lesson,))
    with pytest.raises(ValueError) as caught:
        mutants.load_mutants(here, here.tasks)
    assert words in str(caught.value) and "mutants.toml: " in str(caught.value)


# --- course-check


def some(course, *ids):
    """The course with only these tasks."""
    lessons = (dataclasses.replace(lesson, tasks=tuple(task for task in lesson.tasks if task.id in ids))
               for lesson in course.lessons)  # fmt: skip
    return dataclasses.replace(course, lessons=tuple(lessons))


def test_the_course_is_what_it_promises_to_be(monkeypatch):
    for name in ("update", "differences"):  # tables and results of the whole course
        monkeypatch.setattr(course_check, name, lambda *_: [])
    checks = course_check.run(some(load(), "02.1", "02.2"))
    assert len(checks) == 9 and [wrong for _, wrong in checks if wrong] == []


def test_a_course_that_promises_too_much_is_seen(monkeypatch, tmp_path):
    """A solution that is wrong, a task that secretly needs another one, a mutant that lives."""
    whole = load_properties(load())
    monkeypatch.setattr(grading, "load_properties", lambda _, ids: {id: whole[id] for id in ids})
    monkeypatch.setattr(extraction, "_check_calls", lambda *_: None)  # which refuses what this is about
    course = some(load(), "03.4", "03.5")
    wrong = nonorm_file(FORWARD.replace("+ bias", "- bias"), BACKWARD + "\n").replace(
        "    tokens =", "    from .nonorm import nonorm_forward\n    nonorm_forward(cache.x, cache.weight, cache.weight)\n    tokens ="
    )  # fmt: skip
    monkeypatch.setattr(course_check.bank, "solutions_of", lambda *_: wrong)
    with Grader(course, POLICY) as grader:
        calls = {}
        assert "03.4" in " ".join(course_check._solved(course, grader, calls))
        assert list(course_check._needs(course, calls)) == [
            "task 03.5 calls the function of 03.4, which its needs does not name"
        ]  # fmt: skip
        assert list(course_check._one_missing(grader, calls)) == []
