"""The student edition, used as a student uses it: nothing is given away, every command works, training is theirs."""

import ast
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from test_train_tiny import SMALL, write_text

from minimobilebert.course.shared.extraction import replaceable_in
from minimobilebert.course.shared.manifest import load
from minimobilebert.course.shared.properties import load_properties
from minimobilebert.course.shared.recording import load_recordings
from minimobilebert.course.student.check import Checker, watch
from minimobilebert.course.student.line_counts import counted, known_lines, lines_of, update_lines
from minimobilebert.course.student.progress_map import OTHERS, box_of, draw_map
from minimobilebert.course.teacher.edition import cuts_of, find_leaks, solution_lines, write_edition, write_package
from minimobilebert.course.teacher.mutants import extracted, solutions_of
from minimobilebert.course.teacher.solved import solved_files


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    """An untouched edition of lessons 2 and 3; tests that write into it take a copy."""
    out = tmp_path_factory.mktemp("edition") / "student"
    write_edition(load(), ["02", "03"], out)
    return out


# As `python -m minimobilebert`; but an editable installation of the project must not lend what an edition leaves out.
START = """import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
from minimobilebert.cli import main
sys.exit(main(sys.argv[1:]))"""


def python(folder, *arguments, **environment):
    command = [sys.executable, "-c", START, *map(str, arguments)]
    here = {**os.environ, "MINIMOBILEBERT_BACKEND": "numpy", "PYTHONPATH": str(folder), **environment}
    return subprocess.run(command, cwd=folder, env=here, capture_output=True, text=True, check=False)


def tasks():
    """Those of lessons 2 and 3."""
    return [task for task in load().tasks if task.lesson in ("02", "03")]


def write_function(folder, name, body):
    """Replace the body of one of lesson 2 or 3's functions by `body`, indented lines."""
    path = folder / next(file for task in tasks() for file in task.files if name in task.names_in(file))
    text = path.read_text()
    pattern = rf'(def {name}\(.*?""".*?"""\n)    raise NotImplementedError\(.*?\)\n'
    new, count = re.subn(pattern, lambda match: match[1] + body, text, flags=re.S)
    assert count == 1
    path.write_text(new)


def solution(name):
    """The body of a function in lesson 2's or 3's solutions"""
    for folder in ("02_linear", "03_normalisation"):
        text = (load().root / "lessons" / folder / "solutions.py").read_text()
        for node in ast.parse(text).body:
            if getattr(node, "name", "") == name:
                return "\n".join(text.splitlines()[node.lineno : node.end_lineno]) + "\n"
    raise AssertionError(name)


def test_only_what_was_chosen_is_a_task(edition):
    course = load(edition)
    assert {task.lesson for task in course.tasks} == {"02", "03"}
    assert course.edition == {"lessons": ["02", "03"], "seed": 1}
    assert all(not task.also_blank for task in course.tasks)  # the list itself would tell where to look


def test_the_bodies_are_gone_in_every_back_end(edition):
    chosen = tasks()
    cuts = cuts_of(chosen)
    assert "minimobilebert/kernels/nonorm.py" in cuts
    for file, functions in cuts.items():
        text = (edition / file).read_text()
        for name, message in functions.items():
            assert re.search(rf"def {re.escape(name.rpartition('.')[2])}\(", text)
            assert repr(message)[1:-1] in text


def test_nothing_else_gives_them_away(edition):
    names = {path.relative_to(edition).as_posix() for path in edition.rglob("*")}
    for gone in ("tests", ".git", "minimobilebert/bench", "minimobilebert/parity", "minimobilebert/gradcheck/cases.py",
                 "minimobilebert/course/teacher/grading.py", "lessons/grading.toml", "lessons/AUTHORS.md"):  # fmt: skip
        assert gone not in names
    assert not [name for name in names if name.endswith(("solutions.py", "mutants.toml", ".pyc", ".nbi", ".nbc"))]
    assert not [name for name in names if "__pycache__" in name]


# Functions of kernels/ that only left-out functions call, and that compute nothing that a task asks for: they find the
# memory, the rows and the head that a loop works on, or put two numbers into one word.
PLUMBING = {
    "activation_scalars.py": {"_clip"}, "activations.py": {"_mapped_back"}, "exponential.py": {"tanh_scalar"},
    "attention.py": {"matmul_transposed", "matmul_head", "_head_of", "_sequence_of", "_square_of", "_dropout", "_scale_of",
                     "_squares_in", "_attention_forward", "_attention_backward"},
    "cross_entropy.py": {"_backward"}, "gemm/quads.py": {"_clip"}, "quantized.py": {"_quantized_linear"},
    "rows.py": {"row_maximum"}, "gemm/bfloat16.py": {"_pair"},
}  # fmt: skip


def test_no_part_of_a_left_out_kernel_is_left_behind(tmp_path):
    """A helper that only a left-out kernel calls may be the answer itself, such as the slope of GELU for one number."""
    course = load()
    write_package(course, course.tasks, tmp_path)
    cuts = cuts_of(course.tasks)
    mentioned_there, mentioned = mentions(tmp_path / "minimobilebert"), mentions(course.root / "minimobilebert")
    left = {}
    paths = (tmp_path / "minimobilebert/kernels").rglob("*.py")
    for path in sorted(path for path in paths if "teaching" not in path.parts):
        inside = path.relative_to(tmp_path / "minimobilebert/kernels").as_posix()
        cut = cuts.get(f"minimobilebert/kernels/{inside}") or {}
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name in mentioned - mentioned_there - set(cut):
                left.setdefault(inside, set()).add(node.name)
    assert left == PLUMBING


def mentions(folder):
    """The names that the code of a folder uses"""
    nodes = [node for path in folder.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    return {node.id for node in nodes if isinstance(node, ast.Name)} | {
        node.attr for node in nodes if isinstance(node, ast.Attribute)}  # fmt: skip


def test_the_top_of_a_file_keeps_the_forward_and_not_the_gradients(edition):
    top = (edition / "minimobilebert/ops/layernorm.py").read_text().partition("import")[0]
    for kept in ("y    = weight * n + bias", "rstd = 1 / sqrt(var + eps)", "three terms", "5.   dn = ...", "dweight = ...",
                 "1-4. dx = ...", "yours to derive: lesson 03"):  # fmt: skip
        assert kept in top
    assert "average(dn * n)" in (load().root / "minimobilebert/ops/layernorm.py").read_text()
    for file, gone in (("ops/layernorm.py", "average(dn"), ("ops/linear.py", "dy^T x"), ("kernels/linear.py", "dy^T x"),
                       ("ops/nonorm.py", "sum over all tokens"), ("ops/relu.py", "where x > 0")):  # fmt: skip
        assert gone not in (edition / "minimobilebert" / file).read_text().partition("import")[0]
    # Lesson 04 is not in this edition: its functions are there, and so is their derivation.
    assert "dx = y (dy - sum_i dy_i y_i)" in (edition / "minimobilebert/ops/softmax.py").read_text()


def test_a_line_of_a_solution_anywhere_is_found(tmp_path):
    course = load()
    tasks = [task for task in course.tasks if task.lesson == "02"]
    assert any("rows.T @ x" in line for line in solution_lines(course, tasks))
    (tmp_path / "notes.md").write_text(
        "Remember:   dweight = rows.T   @ x.reshape(-1)\nor dx = dy @ cache.weight  # so\n"
    )
    assert find_leaks(course, tasks, tmp_path) == [
        "notes.md:1: shows task 02.2's 'dweight = rows.T @ x'", "notes.md:2: shows task 02.2's 'dx = dy @ cache.weight'"
    ]  # fmt: skip


def test_an_edition_that_would_show_a_solution_is_not_written(tmp_path):
    import dataclasses

    course = load()
    lessons = [dataclasses.replace(lesson, tasks=tuple(dataclasses.replace(task, also_blank=()) for task in lesson.tasks))
               for lesson in course.lessons]  # fmt: skip
    bare = dataclasses.replace(course, lessons=tuple(lessons))
    with pytest.raises(ValueError, match="shows task .* add that place to the task's also_blank"):
        write_edition(bare, ["06"], tmp_path / "out", record=False)
    assert not (tmp_path / "out").exists()


def test_an_edition_of_each_lesson_alone_can_be_written(tmp_path):
    """Other lessons' functions and kernels are in it, and show no line of its solutions."""
    course = load()
    for lesson in course.lessons:
        write_edition(course, [lesson.number], tmp_path / lesson.number, record=False)
        assert (tmp_path / lesson.number / "lessons" / lesson.folder / "README.md").exists()


def test_it_is_written_only_into_a_new_folder_and_never_from_an_edition(edition, tmp_path):
    import dataclasses

    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ValueError, match="expected a new or empty folder"):
        write_edition(load(), ["02"], tmp_path)
    with pytest.raises(ValueError, match="found a student edition"):
        write_edition(load(edition), ["02"], tmp_path / "again")
    course = load()
    bare = dataclasses.replace(
        course, lessons=tuple(dataclasses.replace(lesson, tasks=()) for lesson in course.lessons)
    )
    with pytest.raises(ValueError, match="--lessons: found none with a task"):
        write_edition(bare, ["02"], tmp_path / "none")


def test_the_same_seed_records_the_same_and_another_seed_others(edition, tmp_path):
    write_edition(load(), ["02", "03"], tmp_path / "again")
    write_edition(load(), ["02", "03"], tmp_path / "other", seed=2)
    first, again, other = (load_recordings(load(f)).answers for f in (edition, tmp_path / "again", tmp_path / "other"))
    assert set(first) == set(again) and not set(first) & set(other)
    for key, (structure, arrays) in first.items():
        assert structure == again[key][0]
        for a, b in zip(arrays, again[key][1], strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_damaged_recording_is_named(edition, copy_of):
    folder = copy_of(edition)
    path = next(folder.rglob("recorded.npz"))
    path.write_bytes(path.read_bytes()[:200])
    found = python(folder, "check", "02")
    assert found.returncode == 2 and "recorded.npz: damaged" in found.stderr and "Traceback" not in found.stderr


@pytest.fixture
def copy_of(tmp_path):
    import shutil

    def copy(folder):
        return shutil.copytree(folder, tmp_path / "copy")

    return copy


def test_a_student_s_way_through_a_task(edition, copy_of):
    """Not written; wrong; a hint; right; and what progress says on the way."""
    folder = copy_of(edition)
    found = python(folder, "check")
    assert found.returncode == 1 and "nothing is written yet; begin with minimobilebert/ops/linear.py" in found.stdout
    found = python(folder, "check", "03.4")
    assert found.returncode == 1
    assert found.stdout.splitlines()[0] == "task 03.4  nonorm_forward: not written yet"
    assert "make hint T=03.4" in found.stdout

    hints = load().task("03.4").hints
    for count in (1, 2, 3, 3):
        found = python(folder, "hint", "03.4")
        assert found.returncode == 0
        assert [hint in found.stdout for hint in hints] == [True] * count + [False] * (3 - count)
    assert "that was the last one" in found.stdout

    write_function(folder, "nonorm_forward", "    return weight * (x + bias), NoNormCache(x, weight)\n")
    found = python(folder, "check")
    assert found.returncode == 1 and "task 03.4  nonorm_forward: y is wrong" in found.stdout
    assert "make check T=03.4 " in found.stdout and "SEED" not in found.stdout
    assert f"0 of {len(tasks())} tasks pass" in found.stdout
    rows = {row["task"]: row for row in json.loads(python(folder, "progress", "--json").stdout)}
    assert (rows["03.4"]["state"], rows["03.4"]["hints"], rows["02.1"]["state"]) == ("failed", 3, "not checked")

    path = folder / "minimobilebert/ops/nonorm.py"
    path.write_text(path.read_text().replace("weight * (x + bias)", "print('here') or weight * x + bias"))
    assert "changed since" in python(folder, "progress").stdout
    found = python(folder, "check", "03.4")
    assert found.returncode == 0 and "passed, 7 properties, 2 points" in found.stdout
    assert load().task("03.4").after in found.stdout and "here" in found.stderr
    assert (
        f"1 of {len(tasks())} tasks, 2 of {sum(task.points for task in tasks())} points"
        in python(folder, "progress").stdout
    )
    state = json.loads((folder / ".course/progress.json").read_text())
    state["hints"]["03.4"] = 1
    (folder / ".course/progress.json").write_text(json.dumps(state))
    found = python(folder, "hint", "03.4")  # once it has passed: all hints, and none is counted
    assert all(hint in found.stdout for hint in hints)
    assert {row["task"]: row for row in json.loads(python(folder, "progress", "--json").stdout)}["03.4"]["hints"] == 1


def test_what_grading_would_not_take_is_said_at_once(edition, copy_of):
    folder = copy_of(edition)
    write_function(folder, "nonorm_forward", "    import scipy\n    return weight * x + bias, NoNormCache(x, weight)\n")
    found = python(folder, "check", "03.4")
    assert found.returncode == 1 and "found import scipy, which no task has a use for" in found.stdout
    path = folder / "minimobilebert/ops/nonorm.py"
    path.write_text(path.read_text().replace("def nonorm_forward(x, weight, bias):", "def nonorm_forward(x, w, b):"))
    found = python(folder, "check", "03.4")
    assert "found nonorm_forward(x, w, b), expected nonorm_forward(x, weight, bias)" in found.stdout
    path.write_text(path.read_text() + "\ndef broken(:\n")
    found = python(folder, "check", "03.4")
    assert (
        found.returncode == 1 and re.search(r"nonorm.py, line \d+: ", found.stdout) and "Traceback" not in found.stderr
    )


def test_a_wrong_function_that_is_called_is_named(tmp_path):
    """A task that fails because of another one says so."""
    course = load()
    caller, called = next((task, course.task(id)) for task in course.tasks if task.lesson == "21" for id in task.needs)
    folder = tmp_path / "solved"
    write_edition(course, ["21"], folder, solved=solved_files)
    path = folder / called.file
    text, head = path.read_text(), rf"(\n( *)def {called.name}\([^\n]*:\n)"
    assert "passed" in python(folder, "check", caller.id).stdout
    path.write_text(re.sub(head, r"\1\2    return None\n", text, count=1))
    found = python(folder, "check", caller.id).stdout
    assert f"first       task {called.id}, which this one needs, does not pass: {called.name}" in found
    assert "which this one needs" not in python(folder, "check", called.id).stdout


def test_a_changed_given_function_is_noted(edition, copy_of):
    course = load(edition)
    file = next(task.file for task in course.tasks)
    folder = copy_of(edition)
    originals = json.loads((folder / "lessons/originals.json").read_text())
    originals[file] += "\n\ndef given(x):\n    return x\n"
    (folder / "lessons/originals.json").write_text(json.dumps(originals))
    path = folder / file
    path.write_text(path.read_text() + "\n\ndef given(x):\n    return 2 * x\n")
    assert "note        given in minimobilebert/ops/linear.py was changed" in python(folder, "check", "02.1").stdout


@pytest.mark.parametrize(
    "line", ["from .extra import own", "from . import extra", "from minimobilebert.ops.extra import own"]
)
def test_a_file_of_one_s_own_is_not_taken_along(edition, copy_of, line):
    folder = copy_of(edition)
    (folder / "minimobilebert/ops/extra.py").write_text("def own(x):\n    return x\n")
    path = folder / "minimobilebert/ops/linear.py"
    path.write_text(f"{line}\n{path.read_text()}")
    write_function(folder, "linear_forward", "    return own(x), extra\n")
    said = python(folder, "check", "02.1").stdout
    assert "found an import of minimobilebert/ops/extra.py, a file of your own, which is not taken along" in said


def test_changed_values_imports_and_methods_are_noted():
    """What `check` runs with and `grade` does not take"""
    original = """
from ..ops.sums import dot
LIMIT = 1.0

class Rule:
    def __init__(self, rate):
        self.rate = rate

    def step(self):
        raise NotImplementedError("task 01.1")

    def other(self):
        raise NotImplementedError("... it is left out of a student edition")
"""
    course = SimpleNamespace(tasks=[SimpleNamespace(names_in=lambda file: ["Rule.step"])])
    checker = SimpleNamespace(course=course, originals={"a.py": original})

    def changed(*replaced):
        text = original
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        return Checker._changed(checker, "a.py", ast.parse(text), set())

    assert changed() == []
    assert changed(('raise NotImplementedError("task 01.1")', "return 1"), ("it is left out", "mine")) == []
    assert changed(("LIMIT = 1.0", "LIMIT = 2.0")) == ["LIMIT"]
    assert changed(("from ..ops.sums import dot", "def dot(a):\n    return a")) == ["dot"]
    assert changed(("self.rate = rate", "self.rate = 2 * rate")) == ["Rule.__init__"]
    assert changed(("LIMIT = 1.0", "import math\nLIMIT = 1.0\nOWN = 2")) == []


def test_teachers_commands_are_not_in_it_and_say_so(edition):
    for arguments in (["grade", "x", "--out", "y"], ["mutants"], ["course-check"], ["student"], ["bench"]):
        found = python(edition, *arguments)
        assert found.returncode == 2 and "is not part of a student edition" in found.stderr, arguments
        assert "Traceback" not in found.stderr


def test_a_task_inside_compiled_threads_is_named_too(monkeypatch, capsys):
    """Numba raises SystemError there, from what was raised inside; any other one is a fault, and called so."""
    from minimobilebert import cli

    def threads(_):
        raise SystemError("returned a result with an exception set") from cause

    monkeypatch.setitem(cli.COMMANDS, "course", ("x", "x", lambda parser: None, threads))
    cause = NotImplementedError("task 08.3 (Packing a panel): write it")
    assert cli.main(["course"]) == 1
    assert capsys.readouterr().err == "minimobilebert: failed: task 08.3 (Packing a panel): write it\n"
    cause = ZeroDivisionError("a fault")
    assert cli.main(["course"]) == 1
    assert "SystemError (returned a result with an exception set)" in capsys.readouterr().err


def test_seeds_that_were_not_recorded(edition):
    found = python(edition, "check", "02.1", "--seed", "9")
    assert found.returncode in (1, 2) and "Traceback" not in found.stderr


def test_watch_checks_again_after_a_change_and_moves_on(edition, copy_of):
    """03.4 passes after a change; the next one is 03.5, then nothing is left."""
    course, said = load(copy_of(edition)), []

    def show(text):
        said.append(text)
        for number, name in ((2, "nonorm_forward"), (6, "nonorm_backward")):
            if len(said) == number:
                write_function(course.root, name, solution(name))

    watch(course, [course.task("03.4")], None, show, turns=4)
    assert "03.4  nonorm_forward: not written yet" in said[0] and said[1] == "watching nonorm.py; Ctrl-C ends it"
    assert "03.4  nonorm_forward: passed" in said[2] and said[3] == "next: task 03.5  NoNorm, backward\n"
    assert "03.5  nonorm_backward: not written yet" in said[4] and "03.5  nonorm_backward: passed" in said[6]
    assert said[7:] == ["all tasks pass"]
    said.clear()
    watch(course, course.tasks, None, said.append, turns=1)  # none named: from the first that has not passed
    assert "02.1  linear_forward: not written yet" in said[0]


def test_a_task_says_how_much_there_is_to_write(edition, copy_of):
    """Lines of the reference, and how many properties of the course pass before it and after it."""
    folder = copy_of(edition)
    course = load(folder)
    assert known_lines(course) == counted(load()) and update_lines(load(), write=False) == []
    count = {id: len(found) for id, found in load_properties(course).items()}
    lines = "about {} before this task {} properties pass, after it {}\n"
    found = python(folder, "check", "03.4").stdout
    assert "  size    " + lines.format("1 line;", 0, count["03.4"]) in found
    write_function(folder, "nonorm_forward", solution("nonorm_forward"))
    assert "before this task" not in python(folder, "check", "03.4").stdout  # passed
    found = python(folder, "check", "03.1").stdout
    assert lines.format("4 lines;", count["03.4"], count["03.4"] + count["03.1"]) in found  # of its two functions
    write_function(folder, "relu_backward", "    return 2.0 * dy\n")
    write_function(folder, "gelu_backward", solution("gelu_backward"))
    result = python(folder, "check", "03.1").stdout
    assert "relu_backward: dx is wrong" in result and "before this task" not in result
    entry = json.loads((folder / ".course/progress.json").read_text())["tasks"]["03.1"]
    assert 0 <= entry["passing"] < count["03.1"]
    (folder / "lessons/lines.json").unlink()  # an older edition
    assert (
        f"  size    before this task {count['03.4'] + entry['passing']} properties"
        in python(folder, "check", "03.5").stdout
    )


def test_a_task_of_two_functions_is_checked_one_by_one(edition, copy_of):
    """The second one is checked before the first is written; a mistake is reported under the function's name."""
    folder = copy_of(edition)
    found = python(folder, "check", "03.1").stdout
    assert found.startswith("task 03.1  relu_backward, gelu_backward: not written yet\n")
    assert found.count("  write   minimobilebert/ops/") == 2
    write_function(folder, "gelu_backward", "    return dy\n")
    found = python(folder, "check", "03.1").stdout
    assert "task 03.1  gelu_backward: dx is wrong" in found or "task 03.1  relu_backward: not written yet" in found
    write_function(folder, "relu_backward", solution("relu_backward"))
    found = python(folder, "check", "03.1").stdout
    assert found.startswith("task 03.1  gelu_backward: dx is wrong\n") and "passes      gradients," in found
    assert "fails       backward:gradients" in found


def test_an_edition_hides_what_a_task_hides(edition):
    """Words of docstrings that are the answer; the project's own files keep them."""
    course = load()
    assert any(task.hide for task in tasks())
    for task in tasks():
        for words in task.hide:
            assert not any(words in (edition / file).read_text(encoding="utf-8") for file in task.files), words
            assert any(words in (course.root / file).read_text(encoding="utf-8") for file in task.files)


def test_lines_are_counted_without_docstring_and_comments():
    source = 'def f(x):\n    """one\n\n    two"""\n    # why\n    y = x\n\n    return (\n        y\n    )\n'
    assert lines_of(source, "f") == 4


def test_progress_draws_the_model(edition, copy_of):
    folder = copy_of(edition)
    write_function(folder, "nonorm_forward", solution("nonorm_forward"))
    assert python(folder, "check", "03.4").returncode == 0
    shown = python(folder, "progress").stdout
    assert "\x1b" not in shown and re.search(r"\| normalisation +1/3 \|", shown)
    assert re.search(r"\| attention +- \|", shown)  # not in this edition: given
    boxes = shown.split("\n\ntask ")[0].splitlines()
    assert len({len(line) for line in boxes[1:15]}) == 1 and max(map(len, boxes)) < 80


def test_every_task_has_a_box_on_the_map():
    """Each once: the numbers of the map add up to the tasks of the course. On a terminal, what is done is green."""
    assert [task.id for task in load().tasks if box_of(task.function) == OTHERS] == []
    rows = [{"function": task.function, "state": "passed" if task.id == "02.1" else "failed"} for task in load().tasks]
    counts = [tuple(map(int, found)) for found in re.findall(r"(\d+)/(\d+)", draw_map(rows))]
    assert [sum(column) for column in zip(*counts, strict=True)] == [1, len(rows)]
    assert "\x1b[33mdense layers" in draw_map(rows, colour=True)
    done = [{**row, "state": "passed"} for row in rows]
    assert "\x1b[32mdense layers" in draw_map(done, colour=True)
    assert re.sub(r"\x1b\[\d*m", "", draw_map(done, colour=True)) == draw_map(done)
    another = [{"function": "minimobilebert/new/room.py:f", "state": "passed"}]
    assert re.search(r"other functions +1/1", draw_map(another))


def test_training_uses_the_student_s_functions(edition, tmp_path, copy_of):
    """Not written, or wrong: it stops and says which. Right: it trains. Wrong on purpose: it computes something else."""
    text = write_text(tmp_path / "text")
    settings = [f"{name}={value}" for name, value in {**SMALL, "teacher_steps": 2, "distillation_steps": 2}.items()]
    folder = copy_of(edition)

    def train(name, *more):
        return python(folder, "train-tiny", "--text", text, "--out", tmp_path / name, "--set", *settings, *more)

    found = train("none")
    used = [f"{task.id} {task.written_as}" for task in tasks()]
    assert found.returncode == 2 and not (tmp_path / "none").exists()
    assert f"not written yet: {', '.join(used)}\n" in found.stderr
    found = train("none", "--anyway")
    assert found.returncode == 1 and re.search(r"failed: task 0\d\.\d \(", found.stderr)
    for name in [name for task in tasks() for file in task.files for name in task.names_in(file)]:
        write_function(folder, name, "    import math\n\n" + solution(name))
    found = train("right")
    assert found.returncode == 0 and "your model computes what the reference computes" in found.stderr, found.stderr
    path = folder / "minimobilebert/ops/nonorm.py"
    path.write_text(path.read_text().replace("weight * x + bias", "weight * x + bias + 0.5"))
    found = train("wrong")
    assert found.returncode == 2 and "task 03.4  nonorm_forward: " in found.stderr
    assert train("wrong", "--anyway").returncode == 0
    right, wrong = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("right", "wrong"))
    assert right["student"] != wrong["student"]
    assert right["teacher"] == wrong["teacher"]  # it normalises with LayerNorm
    command = [sys.executable, "-m", "minimobilebert", "train-tiny", "--text", str(text), "--out", str(tmp_path / "own"),
               "--set", *settings]  # fmt: skip
    here = {**os.environ, "MINIMOBILEBERT_BACKEND": "numpy"}
    subprocess.run(command, cwd=load().root, env=here, capture_output=True, check=True)
    own = json.loads((tmp_path / "own" / "summary.json").read_text())
    assert right["student"]["mlm_loss"] == pytest.approx(own["student"]["mlm_loss"], rel=1e-3)


def test_solutions_can_be_handed_in():
    """Every solution keeps the rules that a submission must keep."""
    course = load()

    everything = course

    class Everything:
        course, tasks = everything, everything.tasks
        files = {file: (course.root / file).read_text() for task in course.tasks for file in task.files}
        replaceable = replaceable_in(cuts_of(course.tasks), course.tasks)

    for lesson in course.lessons:
        for task in lesson.tasks:
            found = extracted(Everything, task, solutions_of(course, lesson), "solutions.py")
            assert list(found) == list(task.functions) and all(each.source for each in found.values())


def test_hints_cannot_be_read_in_passing(edition):
    text = (edition / "lessons" / "course.toml").read_text(encoding="utf-8")
    for task, original in zip(load(edition).tasks, tasks(), strict=True):
        assert (task.hints, task.after) == (original.hints, original.after)
        assert not any(words in text for words in (*task.hints, task.after))


def test_check_runs_the_body_that_grade_would_take(edition, copy_of):
    """Grading leaves out a decorator; if the function needs it, `check` must not pass."""
    folder = copy_of(edition)
    write_function(folder, "nonorm_forward", "    return x, NoNormCache(x, weight)\n")
    path = folder / "minimobilebert/ops/nonorm.py"
    decorator = "def _right(f):\n    return lambda x, w, b: (w * x + b, NoNormCache(x, w))\n\n\n@_right\n"
    path.write_text(path.read_text().replace("def nonorm_forward(", decorator + "def nonorm_forward("))
    found = python(folder, "check", "03.4")
    assert found.returncode == 1 and "y is wrong" in found.stdout
