"""What a class needs around grading: hand-in times, gradebooks, folders for comparison, the solved edition, workflows."""

import csv
import io
import json
import re
import signal
import subprocess
import sys
import time

import pytest
from course_submissions import FILE, hand_in, nonorm_file

from minimobilebert.cli import main
from minimobilebert.course.shared.extraction import Refused, parse
from minimobilebert.course.shared.manifest import load
from minimobilebert.course.teacher.edition import write_edition
from minimobilebert.course.teacher.gradebook import fill
from minimobilebert.course.teacher.gradescope import grade_there
from minimobilebert.course.teacher.grading import Grader
from minimobilebert.course.teacher.policy import Policy
from minimobilebert.course.teacher.solved import solved_files

POLICY = 'lessons = "3"\nseeds = [5]\nisolation = "none"\n'
LATE = POLICY + 'due = "2027-03-01T12:00:00+00:00"\npercent_lost_per_day_late = 50\n'


def graded(tmp_path, names, policy=POLICY, *more):
    """Grade a class of right submissions with these names -> the exit code"""
    for name in names:
        hand_in(tmp_path / "in" / name, nonorm_file())
    (tmp_path / "p.toml").write_text(policy)
    return main(["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--policy", str(tmp_path / "p.toml"),
                 *map(str, more)])  # fmt: skip


def rows_of(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


# --- hand-in times


def test_each_student_has_a_time_of_her_own(tmp_path, capsys):
    times = tmp_path / "times.csv"
    times.write_text("name,handed_in,comment\nada,2027-03-01T11:00:00+00:00,\n\nbob,2027-03-01T13:00:00+00:00,ill\n")
    assert graded(tmp_path, ["ada", "bob", "cleo"], LATE, "--handed-in", times) == 0
    assert [(row["name"], row["score"], row["late"]) for row in rows_of(tmp_path / "out" / "grades.csv")] == [
        ("ada", "6", ""), ("bob", "3", "1 day late: 50 % lost"), ("cleo", "6", ""),
    ]  # fmt: skip
    assert "note: found no time for cleo" in capsys.readouterr().err
    before = (tmp_path / "out" / "grades.csv").read_bytes()
    assert graded(tmp_path, [], LATE, "--handed-in", times) == 0  # the same command changes nothing
    assert (tmp_path / "out" / "grades.csv").read_bytes() == before


@pytest.mark.parametrize(("text", "words"), [
    ("", "line 1: found 'nothing', expected name,handed_in"), ("a,b\n", "line 1: found 'a,b', expected name,handed_in"),
    ("name,handed_in\nada,tomorrow\n", "row 2: found the date 'tomorrow'"), ("name,handed_in\nada\n", "row 2: found 1 columns"),
    ("name,handed_in\nada,2027-03-01T11:00:00+00:00\nada,2027-03-01T11:00:00+00:00\n", "row 3: found 'ada' again"),
    ("name,handed_in\neve,2027-03-01T11:00:00+00:00\n", "found a time of 'eve', expected one of the submissions: ada"),
])  # fmt: skip
def test_a_mistake_in_the_times_is_one_line_before_anything_is_graded(tmp_path, capsys, text, words):
    (tmp_path / "times.csv").write_text(text)
    assert graded(tmp_path, ["ada"], LATE, "--handed-in", tmp_path / "times.csv") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line and not list(tmp_path.glob("out/*.json"))


# --- the class's table


def test_an_empty_cell_is_empty(tmp_path):
    assert graded(tmp_path, ["ada", "=eve"]) == 0
    text = (tmp_path / "out" / "grades.csv").read_text()
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert "" in cells and "'" not in cells and "'=eve" in cells


CANVAS = (
    "\ufeffStudent,ID,SIS User ID,SIS Login ID,Section,A1 (4711),A2 (4712)\n    Points Possible,,,,,6,10\n"
    '"Lovelace, Ada",1815,S1,ada@u.edu,1,,9\n"Babbage, Bob",1791,S2,bob@u.edu,1,,\n"Doe, Jo",1,S3,jo@u.edu,1,,\n'
)
MOODLE = (
    "Identifier,Full name,Email address,Status,Grade,Maximum Grade\nParticipant 1815,Ada Lovelace,ada@u.edu,Submitted,,6\n"
    "Participant 1791,Bob Babbage,bob@u.edu,Submitted,,6\nParticipant 1,Jo Doe,jo@u.edu,,-,6\n"
)
NAMES = {
    "canvas": ["lovelaceada_LATE_1815_70001_work", "babbagebob_1791_70002_work-1"],
    "moodle": ["Ada Lovelace_1815_assignsubmission_file", "Bob Babbage_1791_assignsubmission_file_"],
    "mail": ["ada@u.edu", "BOB@u.edu"],
}


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize(("table", "column", "index"), [(CANVAS, "A1", 5), (CANVAS, "A1 (4711)", 5), (MOODLE, None, 4)])
def test_scores_in_the_table_of_canvas_and_moodle(tmp_path, capsys, names, table, column, index):
    assert graded(tmp_path, NAMES[names]) == 0
    (tmp_path / "table.csv").write_text(table, encoding="utf-8")
    command = ["gradebook", str(tmp_path / "out"), str(tmp_path / "table.csv"), "--out", str(tmp_path / "new.csv")]
    assert main([*command, *(["--column", column] if column else [])]) == 0
    before = list(csv.reader(io.StringIO(table.removeprefix("\ufeff"))))
    after = list(csv.reader(io.StringIO((tmp_path / "new.csv").read_text(encoding="utf-8"))))
    changed = [(i, j, b) for i, row in enumerate(after) for j, b in enumerate(row) if b != before[i][j]]
    first = 2 if table is CANVAS else 1
    assert changed == [(first, index, "6"), (first + 1, index, "6")]


def test_who_is_not_in_the_table_is_named(tmp_path, capsys):
    assert graded(tmp_path, ["ada@u.edu", "eve", "x_9999_1_y"]) == 0
    (tmp_path / "table.csv").write_text(MOODLE)
    command = ["gradebook", str(tmp_path / "out"), str(tmp_path / "table.csv"), "--out", str(tmp_path / "new.csv")]
    assert main(command) == 1
    captured = capsys.readouterr()
    assert "new.csv: 1 scores" in captured.out and "not in" in captured.err and "eve, x_9999_1_y" in captured.err


@pytest.mark.parametrize(("table", "column", "words"), [
    ("a,b\n1,2\n", None, "line 1: found none of the columns ID, SIS User ID"), (CANVAS, None, "found no column Grade, expected --column"),
    (CANVAS, "A3", "found no column 'A3', expected one of 'Student'"), ("", None, "line 1: found none of the columns"),
    (CANVAS.replace("A2 (4712)", "A1 (4712)"), "A1", "found 2 columns 'A1'"),
])  # fmt: skip
def test_a_table_that_is_none(tmp_path, table, column, words):
    (tmp_path / "t.csv").write_text(table, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(words)):
        fill([], tmp_path / "t.csv", column)


def test_two_submissions_of_one_student(tmp_path):
    results = [{"score": 1, "extra_data": {"name": name, "path": name}} for name in ("ada@u.edu", "a_1815_2_b")]
    (tmp_path / "t.csv").write_text(CANVAS, encoding="utf-8")
    with pytest.raises(ValueError, match="row 3: found two submissions of this student, ada@u.edu and a_1815_2_b"):
        fill(results, tmp_path / "t.csv", "A1")


def test_the_layout_of_nbgrader_and_of_github_classroom(tmp_path):
    """submitted/STUDENT/ASSIGNMENT/file, and one clone of a repository per student, are classes as they are."""
    hand_in(tmp_path / "in" / "ada", nonorm_file(), "a1/nonorm.py")
    hand_in(tmp_path / "in" / "a1-bob", nonorm_file())
    hand_in(tmp_path / "in" / "a1-bob", nonorm_file(), f".git/worktrees/{FILE}")
    assert graded(tmp_path, []) == 0
    assert [(row["name"], row["score"]) for row in rows_of(tmp_path / "out" / "grades.csv")] == [
        ("a1-bob", "6"),
        ("ada", "6"),
    ]


def test_a_syntax_error_is_shown_with_file_and_line(tmp_path):
    broken = nonorm_file(
        "\ndef nonorm_forward(x, weight, bias):\n    return weight * x + bias NoNormCache(x, weight)\n"
    )
    with pytest.raises(Refused, match=r"^ops/nonorm.py, line 15: syntax error: .*: return weight \* x \+ bias NoNorm"):
        parse(broken.encode(), "ops/nonorm.py")
    hand_in(tmp_path / "in" / "eve", broken)
    assert graded(tmp_path, []) == 0
    result = json.loads((tmp_path / "out" / "eve.json").read_text())
    for text in (result["output"], result["extra_data"]["problem"], *(test["output"] for test in result["tests"])):
        assert f"{FILE}, line 15: syntax error" in text or "not handed in" in text
    assert f"{FILE}, line 15: syntax error" in result["output"]


# --- comparison


def test_the_functions_of_a_class_for_jplag_and_moss(tmp_path, capsys):
    hand_in(tmp_path / "in" / "ada", nonorm_file("\nFACTOR = 1.0\n\ndef nonorm_forward(x, weight, bias):\n    return FACTOR * weight * x + bias, NoNormCache(x, weight)\n"))  # fmt: skip
    hand_in(tmp_path / "in" / "bob", nonorm_file("\ndef nonorm_forward(x, weight, bias):\n    return open('x')\n", ""))
    hand_in(tmp_path / "in" / "cleo", nonorm_file("\ndef nonorm_forward(x, weight, bias):\n    raise NotImplementedError('task')\n", ""))  # fmt: skip
    (tmp_path / "p.toml").write_text(POLICY)
    out = tmp_path / "similar"
    command = ["collect", str(tmp_path / "in"), "--out", str(out), "--policy", str(tmp_path / "p.toml")]
    assert main(command) == 0
    found = {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*.py")}
    assert set(found) == {"ada/03.4.py", "ada/03.5.py", "bob/minimobilebert_ops_nonorm.py"}
    assert found["ada/03.4.py"].startswith("FACTOR = 1.0\n\n\ndef nonorm_forward(x, weight, bias):")
    assert (
        "NoNormCache(NamedTuple)" not in found["ada/03.4.py"]
        and "open('x')" in found["bob/minimobilebert_ops_nonorm.py"]
    )
    captured = capsys.readouterr()
    assert f"-l python3 {out}" in captured.out and "without a function: cleo" in captured.err
    assert main(command) == 2 and "similar" in capsys.readouterr().err  # it is not empty any more


def test_without_any_function_no_folder_is_written(tmp_path, capsys):
    (tmp_path / "in" / "ada").mkdir(parents=True)
    assert main(["collect", str(tmp_path / "in"), "--out", str(tmp_path / "similar")]) == 2
    assert "found no function in any submission" in capsys.readouterr().err and not (tmp_path / "similar").exists()


# --- the submission that gets all points


@pytest.fixture(scope="module")
def whole_course():
    with Grader(load(), Policy(seeds=[7])) as grader:
        yield grader


def test_the_solved_edition_gets_all_points(whole_course, tmp_path):
    course = load()
    write_edition(
        course, [lesson.number for lesson in course.lessons], tmp_path / "solved", record=False, solved=solved_files
    )
    grade = whole_course.grade(whole_course.read(tmp_path / "solved"))
    assert [result.task.id for result in grade.results if not result.passed] == []
    assert grade.score == grade.points == sum(task.points for task in course.tasks)


def test_the_project_itself_gets_all_points(whole_course):
    grade = whole_course.grade(whole_course.read(load().root))
    failed = [result.task for result in grade.results if not result.passed]
    # The package's relation_scores_backward is one call of attention's, which a student may not make; 19.2 calls it.
    assert [task.id for task in failed] == ["19.1", "19.2"]
    assert grade.points == sum(task.points for task in load().tasks)
    assert grade.score == grade.points - sum(task.points for task in failed)


def test_the_command_writes_a_solved_edition_with_a_workflow(tmp_path, capsys):
    out = tmp_path / "solved"
    assert main(["student", "--lessons", "3", "--solved", "--github-classroom", "--out", str(out)]) == 0
    assert "weight * x + bias" in (out / FILE).read_text()
    workflow = (out / ".github" / "workflows" / "classroom.yml").read_text()
    tasks = [task for task in load().tasks if task.lesson == "03"]
    assert re.findall(r"command: python -m minimobilebert check (\S+)", workflow) == [task.id for task in tasks]
    assert list(map(int, re.findall(r"max-score: (\d+)", workflow))) == [task.points for task in tasks]
    ids = re.findall(r"        id: (\S+)", workflow)
    assert re.search(r"runners: (\S+)", workflow)[1].split(",") == ids
    for id in ids:
        assert f'{id.upper()}_RESULTS: "${{{{steps.{id}.outputs.result}}}}"' in workflow
    assert main(["student", "--lessons", "3", "--out", str(tmp_path / "plain")]) == 0
    assert "weight * x + bias, NoNorm" not in (tmp_path / "plain" / FILE).read_text()
    assert not (tmp_path / "plain" / ".github").exists()


# --- Gradescope


def test_a_grader_that_fails_at_once_leaves_a_result_that_says_so(tmp_path):
    hand_in(tmp_path / "submission", nonorm_file(), "nonorm.py")

    def broken():
        raise ValueError("lessons/grading.toml: seeds: found 3\nexpected a list")

    with pytest.raises(ValueError, match="seeds"):
        grade_there(load(), tmp_path, broken)
    result = json.loads((tmp_path / "results" / "results.json").read_text())
    assert result["score"] == 0 and result["output"].endswith(
        "ValueError: lessons/grading.toml: seeds: found 3 expected a list"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Gradescope's images are Linux")
def test_a_grader_that_is_killed_leaves_the_points_so_far(tmp_path):
    endless = "\ndef nonorm_backward(dy, cache):\n    while True:\n        pass\n"
    hand_in(tmp_path / "submission", nonorm_file(backward=endless), "nonorm.py")
    code = (
        "import sys\nfrom minimobilebert.course.teacher.gradescope import grade_there\n"
        "from minimobilebert.course.shared.manifest import load\nfrom minimobilebert.course.teacher.policy import Policy\n"
        "grade_there(load(), sys.argv[1], lambda: Policy(lessons='3', seconds_per_call=60.0))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    file, deadline = tmp_path / "results" / "results.json", time.monotonic() + 120
    while time.monotonic() < deadline and not (file.exists() and json.loads(file.read_text())["score"] == 2):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    result = json.loads(file.read_text())
    assert result["score"] == 2 and result["output"].startswith("not finished: out of time or memory")
