"""What `train-tiny` does in a student edition before it trains: checks, and a comparison of the first losses."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from test_course_edition import START, python

from minimobilebert.course.shared.manifest import load
from minimobilebert.course.student.before_training import (
    SAME,
    before_training,
    compare_losses,
    first_difference,
    tasks_of,
)
from minimobilebert.course.teacher.edition import write_edition
from minimobilebert.course.teacher.rehearsing import compiled, for_edition, record, traced, update_rehearsal
from minimobilebert.course.teacher.solved import solved_files
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.ops.fusion import use_fusion
from minimobilebert.pipeline.rehearsal import CHOICES, choices_of, label_of, rehearse
from minimobilebert.pipeline.settings import TinySettings

COURSE = load()


@pytest.fixture(scope="module")
def known():
    """What an edition with all tasks knows"""
    return for_edition(COURSE, COURSE.tasks)


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """An edition of all lessons with the solutions in it"""
    out = tmp_path_factory.mktemp("edition") / "student"
    write_edition(COURSE, [lesson.number for lesson in COURSE.lessons], out, solved=solved_files)
    return out


@pytest.fixture
def edition(solved, tmp_path):
    """A copy of it that a test may change; `data/` is not needed"""
    return shutil.copytree(solved, tmp_path / "student", ignore=shutil.ignore_patterns("data", ".course"))


def change(folder, file, old, new):
    text = (folder / file).read_text(encoding="utf-8")
    assert text.count(old) == 1
    (folder / file).write_text(text.replace(old, new), encoding="utf-8")


def before(folder, call="before_training(load(), TinySettings())"):
    """Run the checks alone in an edition -> what they say; the exit code is 2 for a ValueError"""
    lines = [
        "from minimobilebert.course.shared.manifest import load",
        "from minimobilebert.course.student.before_training import *",
        "from minimobilebert.course.student.before_training import _SHAPE",
        "from minimobilebert.pipeline.settings import TinySettings",
        "from minimobilebert.support.structured_files import read_json",
        "try:",
        f"    {call}",
        "except ValueError as error:",
        "    sys.exit(print(error, file=sys.stderr) or 2)",
    ]
    script = START.replace("from minimobilebert.cli import main\nsys.exit(main(sys.argv[1:]))", "\n".join(lines))
    assert script.endswith("or 2)")
    return python_script(folder, script)


def python_script(folder, script):
    import os

    environment = {**os.environ, "MINIMOBILEBERT_BACKEND": "numpy", "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


# --- which tasks, and which losses


def test_the_record_is_what_the_project_does(known):
    """Losses to the last bit; functions by a trace of the same stages."""
    assert update_rehearsal(COURSE, write=False) == []
    with use_backend("numba"):
        assert rehearse() == known["losses"][""]
    functions = [each for task in COURSE.tasks for each in task.functions]
    with use_fusion(False):
        ran = traced(functions, rehearse)
    ids = {each: task.id for task in COURSE.tasks for each in task.functions}
    of_stages = {ids[name] for name, above in ran.items() if [] in above and name in ids}
    # Not in the stages: text and the kernel that packs panels for the compiled matrix products.
    assert set(known["tasks"]["numba"][""]) - of_stages == {"08.3", "09.1", "09.2"}
    assert of_stages <= set(known["tasks"]["numba"][""])
    assert list(compiled(functions)["minimobilebert/kernels/gemm/packing.py:pack_panel"])


def test_a_run_uses_the_tasks_of_its_settings(known):
    def used(**settings):
        return set(tasks_of(known, choices_of(TinySettings(**settings))))

    with use_backend("numba"):
        default = used()
        assert {"02.1", "03.3", "06.2", "07.4", "08.3", "10.1", "12.1", "13.1", "14.1"} <= default
        assert not default & {"01.1", "08.1", "10.4", "15.1", "18.1", "19.1", "20.1", "22.2"}
        assert used(teacher_steps=50, seed=3, batch_size=16) == default
        assert default - used(student_normalization="layer_norm") == {"03.4", "03.5"}
        assert default - used(feature_loss="paper") == {"11.2"}
        assert default - used(strategy="none") == {"11.2", "13.1", "13.2"}  # the report measures 11.1 and 12.1
        assert used(parts=4) - default == {"22.1", "22.2"}
        both = used(strategy="none", parts=2)
        assert "22.1" in both and "13.2" not in both
    with use_backend("numpy"):
        assert "08.3" not in used() and "18.1" in used()


def test_an_operation_that_is_no_task_runs_compiled():
    """What its NumPy form calls does not count, unless the edition's back end is NumPy."""
    tasks = [task for task in COURSE.tasks if task.lesson in ("14", "18")]
    found = for_edition(COURSE, tasks)["tasks"]
    assert found["numba"][""] == ["14.1"] and found["numpy"][""] == ["14.1", "18.1"]


def test_every_choice_has_losses_but_bfloat16(known):
    labels = {label_of({name: value}) for name, values in CHOICES.items() for value in values[1:]}
    assert set(known["losses"]) == {"", *labels} - {"precision=bfloat16"}
    assert set(known["tasks"]["numba"]) == {"", *labels}
    assert {len(steps) for stages in known["losses"].values() for steps in stages.values()} <= {4, 5}
    assert known["losses"][""] != known["losses"]["strategy=none"]


def test_a_stale_record_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("minimobilebert.course.teacher.rehearsing._file", lambda course: tmp_path / "rehearsal.json")
    monkeypatch.setattr("minimobilebert.course.teacher.rehearsing.record", lambda course: {"new": True})
    assert update_rehearsal(COURSE, write=False) == [tmp_path / "rehearsal.json"]
    assert update_rehearsal(COURSE, write=True) and json.loads((tmp_path / "rehearsal.json").read_text()) == {
        "new": True
    }
    assert callable(record)


# --- the comparison


def test_a_difference_is_named_with_its_size():
    expected = {"teacher": [{"loss": 2.0}, {"loss": 1.0}], "student": [{"loss": 4.0, "gradient_norm": 3.0}]}

    def differs(value, stage="student", step=0, name="gradient_norm"):
        found = json.loads(json.dumps(expected))
        found[stage][step][name] = value
        return first_difference(found, expected)

    assert differs(3.0) == (None, 0.0)
    text, worst = differs(3.0 * (1 + SAME / 10))
    assert text is None and worst == pytest.approx(SAME / 10)
    assert differs(3.3)[0] == "stage student, step 1: gradient_norm is 3.3, expected 3, 10 % more"
    assert differs(0.5, "teacher", 1, "loss")[0] == "stage teacher, step 2: loss is 0.5, expected 1, 50 % less"
    assert "loss is nan, expected 1" in differs(float("nan"), "teacher", 1, "loss")[0]


def test_what_cannot_be_compared_is_said(known, capsys):
    for choices, why in (({"precision": "bfloat16"}, "bfloat16"),
                         ({"strategy": "none", "parts": 2}, "those of parts=2 strategy=none together")):  # fmt: skip
        assert compare_losses(known, choices) is None
        assert "the first losses are not compared" in (said := capsys.readouterr().err) and why in said


def test_the_project_itself_agrees_bit_for_bit(known, capsys):
    with use_backend("numba"):
        assert compare_losses(known, {"strategy": "none"}) is None
    assert re.search(r"computes what the reference computes: \d+ steps of 5 stages are equal bit for bit",
                     capsys.readouterr().err)  # fmt: skip


# --- in an edition


def test_right_functions_agree_to_some_digits(solved):
    found = before(solved)
    assert found.returncode == 0, found.stderr
    assert re.search(r"checking the (\d+) functions of yours .*\n(?s:.*)\1 of \1 pass", found.stderr)
    digits = re.search(r"computes what the reference computes: .* equal to (\d+) digits", found.stderr)
    assert int(digits[1]) >= 5 and "no error" in found.stderr


def test_a_wrong_sign_and_a_missing_function_are_named(edition):
    """By their checks, before anything trains."""
    change(edition, "minimobilebert/ops/layernorm.py", "return (dx, dweight, dbias)", "return (-dx, dweight, dbias)")
    text = (edition / "lessons" / "originals.json").read_text(encoding="utf-8")
    (edition / "minimobilebert/training/clipping.py").write_text(
        json.loads(text)["minimobilebert/training/clipping.py"], encoding="utf-8"
    )
    found = python(edition, "train-tiny", "--out", "run")
    assert found.returncode == 2 and not (edition / "run").exists()
    lines = found.stderr.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("  task 03.3"))
    assert "layernorm_backward" in lines[start] and lines[start].endswith("dx is wrong")
    assert lines[start + 1] == "    file        minimobilebert/ops/layernorm.py"
    assert "looks like" in lines[start + 2] and "sign" in lines[start + 2]
    assert lines[start + 3] == "    replay      make check T=03.3"
    assert "  fail with these, which they call: 11.2, 13.2" in lines
    assert "  not written yet: 10.2 clip_by_global_norm" in lines
    assert re.search(r"found 1 wrong and 1 not written of the \d+ functions that this run uses; --anyway", lines[-1])
    anyway = before(edition, "before_training(load(), TinySettings(), anyway=True)")
    assert anyway.returncode == 0 and "training all the same" in anyway.stderr


COMPILED = "from minimobilebert.kernels.runtime.backend import use_backend; use_backend('numba'); "
COMPARE = 'print(compare_losses(read_json("lessons/rehearsal.json", _SHAPE), {}))'


def test_a_wrong_sign_changes_the_losses(edition):
    change(edition, "minimobilebert/ops/layernorm.py", "return (dx, dweight, dbias)", "return (-dx, dweight, dbias)")
    found = before(edition, COMPARE)
    assert "does not compute what the reference computes: stage teacher, step 1: gradient_norm is" in found.stdout
    assert re.search(r" % (more|less); before that, \d digits are equal", found.stdout)


def test_another_order_of_sums_is_no_error(edition):
    """The mean from the last feature to the first, and in halves."""
    change(edition, "minimobilebert/ops/layernorm.py", "mean = x.mean(axis=-1, keepdims=True)",
           "mean = (x[..., ::-2].sum(-1, keepdims=True) + x[..., -2::-2].sum(-1, keepdims=True)) / x.shape[-1]")  # fmt: skip
    found = before(edition, COMPARE)
    assert found.stdout == "None\n" and re.search(r"are equal to \d digits", found.stderr), found.stderr


def test_a_changed_function_that_is_no_task_is_found(edition):
    """All checks pass; the losses say it: a tied word table that has the gradient of one of its two uses."""
    change(edition, "minimobilebert/model/pretraining.py", "grads[name] + dwords if name", "grads[name] if name")
    found = before(edition)
    assert found.returncode == 2 and " pass\n" in found.stderr
    assert "does not compute what the reference computes: stage teacher, step 1: gradient_norm is" in found.stderr


def test_a_changed_function_beside_a_task_is_noted(edition):
    change(
        edition, "minimobilebert/ops/relu.py", "np.maximum(x, x.dtype.type(0))", "np.maximum(x, x.dtype.type(0)) * 1"
    )
    call = "check_functions(load(), ['03.1'])"
    assert "relu_forward in minimobilebert/ops/relu.py was changed" in before(edition, call).stderr


def test_the_checks_end_after_some_seconds(edition):
    call = "import minimobilebert.course.student.before_training as b; b.SECONDS = 0.0"
    found = before(edition, f"{call}; print(check_functions(load(), ['03.1', '03.4', '03.5']))")
    assert "not checked, because the others took 0 seconds: 03.4, 03.5" in found.stderr
    assert "1 of 3 pass" in found.stderr and found.stdout == "None\n"


def test_an_error_in_the_first_steps_is_told(edition):
    change(
        edition, "minimobilebert/ops/relu.py", "np.maximum(x, x.dtype.type(0))", "np.maximum(x, x.dtype.type(0))[:1]"
    )
    found = before(edition, COMPARE)
    assert "the first steps ended with ValueError" in found.stdout


def test_a_damaged_record_is_one_clear_line(edition):
    file = edition / "lessons" / "rehearsal.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    del record["tasks"]["numba"]["strategy=joint"], record["losses"][""]["teacher"]
    file.write_text(json.dumps(record), encoding="utf-8")
    found = before(edition)
    assert found.returncode == 2 and len(found.stderr.splitlines()) == 1
    assert "rehearsal.json: found no tasks of 'strategy=joint' in numba, expected those" in found.stderr
    assert "other stages or losses than lessons/rehearsal.json" in before(edition, COMPARE).stdout


def test_a_precision_without_its_compiled_product_is_refused_at_once(tmp_path):
    """It is a part of task 18.1's answer, so an edition of this lesson alone has compiled products, but not this one."""
    write_edition(COURSE, ["18"], tmp_path / "student", solved=solved_files)
    found = before(tmp_path / "student", COMPILED + "before_training(load(), TinySettings(precision='bfloat16'))")
    assert found.returncode == 2 and "Traceback" not in found.stderr
    assert "found precision bfloat16 and no compiled product for it (a part of task 18.1's answer" in found.stderr
    assert "MINIMOBILEBERT_BACKEND=numpy" in found.stderr


def test_a_kernel_that_is_not_written_is_listed_with_the_others(tmp_path):
    """Task 08.3 packs panels for compiled products in float32."""
    write_edition(COURSE, ["08"], tmp_path / "student")
    found = before(tmp_path / "student", COMPILED + "before_training(load(), TinySettings())")
    assert found.returncode == 2 and "not written yet" in found.stderr and "08.3" in found.stderr
    assert "no compiled product" not in found.stderr


def test_nothing_is_said_without_a_record(tmp_path, capsys):
    class Empty:
        root = tmp_path

    assert before_training(Empty, TinySettings()) is None and capsys.readouterr().err == ""
