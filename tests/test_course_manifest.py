"""lessons/course.toml: it is right, every mistake in it is one clear line, and everything numbered comes from it."""

import re
import shutil

import pytest

from minimobilebert.cli import main
from minimobilebert.course.shared.manifest import chosen_lessons, load
from minimobilebert.course.shared.properties import load_properties
from minimobilebert.course.teacher.mutants import load_mutants
from minimobilebert.course.teacher.tables import describe, lesson_header, lessons_table, update

GOOD = """
[[lesson]]
number = "01"
folder = "01_first"
title = "First"
minutes = 10

[[lesson.task]]
id = "01.1"
title = "NoNorm"
kind = "transcription"
function = "minimobilebert/ops/nonorm.py:nonorm_forward"
points = 2
minutes = 5
hints = ["a", "b", "c"]
after = "done"

[[lesson]]
number = "02"
folder = "02_second"
title = "Second"
minutes = 10
needs = ["01"]

[[lesson.task]]
id = "02.1"
title = "NoNorm, backward"
kind = "design"
function = "minimobilebert/ops/nonorm.py:nonorm_backward"
also_blank = ["minimobilebert/kernels/nonorm.py:nonorm_backward"]
needs = ["01.1"]
points = 3
minutes = 5
hints = ["a", "b", "c"]
after = "done"
"""


@pytest.fixture
def project(tmp_path):
    """A function that writes a manifest into a small project and loads it."""
    for file in ("ops/nonorm.py", "kernels/nonorm.py"):
        target = tmp_path / "minimobilebert" / file
        target.parent.mkdir(parents=True)
        shutil.copy(load().root / "minimobilebert" / file, target)
    for folder in ("01_first", "02_second"):
        (tmp_path / "lessons" / folder).mkdir(parents=True)

    def write(text):
        (tmp_path / "lessons" / "course.toml").write_text(text, encoding="utf-8")
        return load(tmp_path)

    return write


def test_a_good_manifest(project):
    course = project(GOOD)
    assert [task.id for task in course.tasks] == ["01.1", "02.1"]
    task = course.task("02.1")
    assert (task.lesson, task.file, task.name) == ("02", "minimobilebert/ops/nonorm.py", "nonorm_backward")
    assert (task.kind, task.functions, task.written_as) == ("design", (task.function,), "nonorm_backward")
    assert course.needed_by("01.1") == {"01.1", "02.1"} and course.needed_by("02.1") == {"02.1"}
    assert course.folder(task).name == "02_second"
    with pytest.raises(ValueError, match=r"task: found '9.9', expected one of 01.1, 02.1"):
        course.task("9.9")


def test_a_task_of_two_functions(project):
    """They may be in two files; each property is given the task as that of one function."""
    more = '["minimobilebert/kernels/nonorm.py:nonorm_backward"]'
    course = project(GOOD.replace('needs = ["01.1"]', f'needs = ["01.1"]\nalso_write = {more}\nhide = ["dweight = "]')
                     .replace('also_blank = ["minimobilebert/kernels/nonorm.py:nonorm_backward"]\n', ""))  # fmt: skip
    task = course.task("02.1")
    assert task.files == ("minimobilebert/ops/nonorm.py", "minimobilebert/kernels/nonorm.py")
    assert task.names_in(task.files[1]) == ["nonorm_backward"] and task.hide == ("dweight = ",)
    assert task.with_function("nonorm_backward").function == task.function
    found = lesson_header(course, course.lesson("02"))
    assert "`minimobilebert/ops/nonorm.py:nonorm_backward`, `minimobilebert/kernels/nonorm.py:nonorm_backward`" in found


def test_the_kinds_are_counted(project):
    text = describe(project(GOOD))
    assert "    01.1   2 points  transcription  minimobilebert/ops/nonorm.py:nonorm_forward\n" in text
    assert (
        "transcription   1 tasks,   2 points\nderivation      0 tasks,   0 points\ndesign          1 tasks,   3 points\n"
        in text
    )


def test_at_most_two_tasks_are_transcription():
    """AUTHORS.md names them, and says why."""
    course = load()
    found = [task for task in course.tasks if task.kind == "transcription"]
    authors = (course.root / "lessons" / "AUTHORS.md").read_text(encoding="utf-8")
    assert len(found) <= 2 and all(f"`{task.name}`" in authors for task in found)


MISTAKES = {
    "no TOML": ('number = "01"', 'number = 01"', "expected TOML"),
    "an unknown table": ('[[lesson]]\nnumber = "01"', '[terms]\n[[lesson]]\nnumber = "01"', "found an unknown key 'terms', expected only lesson"),
    "an unknown field": ("minutes = 10\n\n[[lesson.task]]", "minuts = 10\n\n[[lesson.task]]", "lesson 01: found an unknown key 'minuts', expected only number, folder"),
    "a field left out": ('after = "done"\n\n[[lesson]]', "\n[[lesson]]", "task 01.1: found no 'after', expected"),
    "a text for a number": ("points = 2", 'points = "2"', "task 01.1: field points: found '2', expected a whole number"),
    "no points": ("points = 2", "points = 0", "task 01.1: field points: found 0, expected a whole number between 1"),
    "truth for a number": ("points = 2", "points = true", "task 01.1: field points: found true"),
    "two hints": ('id = "01.1"', 'id = "01.1"', None),
    "an empty title": ('title = "First"', 'title = " "', "lesson 01: field title: found ' ', expected a text that is not"),
    "a number of one digit": ('number = "01"', 'number = "1"', "lesson 1: found '1', expected a number of two digits"),
    "another folder": ('folder = "01_first"', 'folder = "first"', "lesson 01: folder: found 'first'"),
    "a folder that is not there": ('folder = "01_first"', 'folder = "01_frist"', "found no lessons/01_frist"),
    "a task of another lesson": ('id = "01.1"', 'id = "03.1"', "task 03.1: found '03.1', expected 01.1 to 01.9"),
    "lessons in disorder": (
        '[[lesson]]\nnumber = "02"',
        '[[lesson]]\nnumber = "01"\nfolder = "01_x"\ntitle = "x"\nminutes = 1\n\n[[lesson]]\nnumber = "02"',
        "lesson 01: found it after 01, expected lessons in rising order"),
    "needs a later lesson": ('needs = ["01"]', 'needs = ["03"]', "lesson 02: needs: found '03'"),
    "needs an unknown task": ('needs = ["01.1"]', 'needs = ["02.2"]', "task 02.1: needs: found '02.2'"),
    "a file that is not there": ("ops/nonorm.py:nonorm_forward", "ops/nonrm.py:nonorm_forward", "found no file minimob"),
    "a function that is not there": (":nonorm_forward", ":nonorm_fwd", "found no nonorm_fwd in minimobilebert/ops"),
    "a function twice": (":nonorm_backward", ":nonorm_forward", "task 02.1: function: found that of 01.1"),
    "a file outside": ("minimobilebert/ops/nonorm.py:nonorm_forward", "lessons/x.py:f", "found no file lessons/x.py"),
    "no function": ("minimobilebert/ops/nonorm.py:nonorm_forward", "minimobilebert/ops/nonorm.py", "expected file.py:fu"),
    "another list": ('[[lesson]]\nnumber = "01"', '[[x]]\n[[lesson]]\nnumber = "01"', "an unknown key 'x', expected only"),
    "a list for a lesson": (GOOD, "lesson = [[1]]", "field lesson[0]: found a list, expected an object"),
    "a number for a lesson": (GOOD, "lesson = 3", "field lesson: found 3, expected a list"),
    "no lesson": (GOOD, "", "found no 'lesson', expected 'lesson' with a list"),
    "a number for an id": ('id = "01.1"', "id = 3", "task 3: field id: found 3, expected a text"),
    "a table for a number": ('number = "01"', "number = {a = 1}", "lesson an object: field number: found an object"),
    "Arabic digits": ('number = "01"', 'number = "\u0660\u0661"', "expected a number of two digits"),
    "a number of 5,000 digits": ("points = 2", "points = " + 5000 * "9", "found a whole number of more than 100 digits"),
    "a hint that is no text": ('["a", "b", "c"]', '["a", 2, "c"]', "task 01.1: field hints[1]: found 2"),
    "a damaged seal": ('after = "done"', 'after = "sealed:x"', "task 01.1: found a damaged seal 'sealed:x', expected"),
    "a seal of other bytes": ('after = "done"', 'after = "sealed:/w=="', "task 01.1: found a damaged seal"),
    "a kind left out": ('kind = "design"\n', "", "task 02.1: found no 'kind', expected"),
    "an unknown kind": ('kind = "design"', 'kind = "copying"', "task 02.1: kind: found 'copying', expected one of transcription, derivation, design"),
    "a function of another task": (
        'needs = ["01.1"]', 'needs = ["01.1"]\nalso_write = ["minimobilebert/ops/nonorm.py:nonorm_forward"]',
        "task 02.1: function: found that of 01.1, expected one of its own"),
    "another function that is not there": (
        'needs = ["01.1"]', 'needs = ["01.1"]\nalso_write = ["minimobilebert/ops/nonorm.py:nonorm"]',
        "task 02.1: also_write: found no nonorm in minimobilebert/ops/nonorm.py"),
    "words to hide that are not there": (
        'needs = ["01.1"]', 'needs = ["01.1"]\nhide = ["z = 3"]', "task 02.1: hide: found 'z = 3' 0 times in its files, expected it once"),
    "nothing to blank": ("kernels/nonorm.py:nonorm_backward", "kernels/nonorm.py:nonorm", "also_blank: found no nonorm in"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_clear_line(project, name):
    old, new, words = MISTAKES[name]
    if words is None:
        old, new, words = '["a", "b", "c"]', '["a", "b"]', "task 01.1: hints: found 2 of them, expected 3 texts"
    assert old in GOOD
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        project(GOOD.replace(old, new, 1))
    assert "course.toml: " in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("edition", "words"),
    [
        ("[]", "found a list, expected an object"),
        ('{"lessons": ["01"]}', "found no 'seed', expected 'seed' with a whole number"),
        ('{"lessons": "01", "seed": 1}', "field lessons: found '01', expected a list"),
        ('{"lessons": ["01", "07"], "seed": 1}', "lessons: found '07', expected some of 01, 02"),
        ('{"lessons": [], "seed": -1}', "field seed: found -1"),
        ("", "line 1: found an empty file, expected JSON"),
    ],
)
def test_a_damaged_edition_is_one_clear_line(project, tmp_path, edition, words):
    (tmp_path / "lessons" / "edition.json").write_text(edition)
    with pytest.raises(ValueError, match=re.escape(f"edition.json: {words}")):
        project(GOOD)


def test_lessons_are_chosen_by_number(project):
    course = load()
    assert chosen_lessons(course, "") == [lesson.number for lesson in course.lessons]
    assert chosen_lessons(course, "1-3,2,5") == ["01", "02", "03", "05"]
    for text, words in (("x", "found 'x'"), ("1-", "found '1-'"), ("99", "found 99"), ("9" * 5000, "found '999")):
        with pytest.raises(ValueError, match=f"--lessons: {words}"):
            chosen_lessons(course, text)


def test_this_project_s_course_is_complete():
    course = load()
    properties = load_properties(course)
    assert set(properties) == {task.id for task in course.tasks} and len(course.tasks) >= 4
    mutants = load_mutants(course, course.tasks)
    assert all(sum(mutant.task == task.id for mutant in mutants) >= 5 for task in course.tasks)


def test_tables_and_headers_are_up_to_date():
    assert update(load(), write=False) == [], "python -m minimobilebert course --write"


def test_numbers_stand_in_the_manifest_only():
    """No lesson text carries a task's number or points outside the marks; a walkthrough carries none at all."""
    course = load()
    for path in sorted((course.root / "lessons").glob("*_*/*")):
        if path.suffix not in (".md", ".py") or path.name in ("properties.py", "solutions.py"):
            continue
        text = re.sub(
            r"<!-- course:lesson -->.*?<!-- /course:lesson -->", "", path.read_text(encoding="utf-8"), flags=re.S
        )
        for task in course.tasks:
            assert not re.search(rf"[Tt]asks?[\d., toand]* {re.escape(task.id)}\b", text), f"{path}: task {task.id}"


def test_the_tables_show_what_the_manifest_says(project):
    course = project(GOOD)
    table, header = lessons_table(course), lesson_header(course, course.lesson("02"))
    assert "| 02 | Second | 15 | 02.1 | 3 |" in table and "2 tasks, 5 points." in table
    assert header.startswith("# Lesson 02: Second") and "`make check T=02.1`" in header
    assert "comes after [01](../01_first/README.md)" in header


def test_writing_the_tables(project, tmp_path):
    course = project(GOOD)
    readme = tmp_path / "lessons" / "README.md"
    readme.write_text("before\n<!-- course:table -->\nold\n<!-- /course:table -->\nafter\n")
    assert update(course, write=False) == [readme] and "old" in readme.read_text()
    assert update(course, write=True) == [readme] and update(course, write=True) == []
    assert readme.read_text().startswith("before\n") and readme.read_text().endswith("after\n")
    readme.write_text("no marks\n")
    with pytest.raises(ValueError, match="found 0 places between <!-- course:table -->"):
        update(course, write=False)


def test_the_command_shows_the_course(capsys):
    assert main(["course"]) == 0
    assert "02.1   4 points  derivation     minimobilebert/ops/linear.py:linear_forward" in capsys.readouterr().out
