"""The end of the course: with a student's own functions a model is distilled, quantised, exported, and runs on a phone.

In lesson 21: train-tiny, export --page, and a browser. Here the edition asks for lessons 14, 20 and 21.
"""

import ast
import importlib.util

import pytest
from browser import CHROMIUM, DRIVER, NEEDS_BROWSER, Browser, served
from onnx_models import NEEDS_ONNX
from test_course_edition import python
from test_train_tiny import SMALL, write_text

from minimobilebert.course.shared.cutting import find
from minimobilebert.course.shared.manifest import load
from minimobilebert.course.teacher.edition import write_edition
from minimobilebert.interop.page.runtime import PACKAGE, cache_folder

COURSE, PHONE = load(), (390, 844)
SETTINGS = [f"{name}={value}" for name, value in SMALL.items()]


def solve(folder, lesson):
    """Put the project's own functions into an edition, with the helpers that it left out of the same files."""
    tasks = COURSE.lesson(lesson).tasks
    files = {file for task in tasks for file in task.files}
    wanted = {target for task in tasks for target in (*task.functions, *task.also_blank)}
    for target in sorted(wanted):
        file, _, name = target.partition(":")
        if file not in files or not name:
            continue  # a compiled twin
        reference, cut = ((root / file).read_text(encoding="utf-8") for root in (COURSE.root, folder))
        new, old = (find(ast.parse(text), name) for text in (reference, cut))
        lines = cut.splitlines(keepends=True)
        lines[old.lineno - 1 : old.end_lineno] = reference.splitlines(keepends=True)[new.lineno - 1 : new.end_lineno]
        (folder / file).write_text("".join(lines), encoding="utf-8")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An edition in which lesson 14 is solved, with a run of train-tiny"""
    folder = tmp_path_factory.mktemp("end") / "student"
    write_edition(COURSE, ["14", "20", "21"], folder, record=False)
    text = write_text(folder.parent / "text")
    words = ["train-tiny", "--text", text, "--out", "runs/mine", "--set", *SETTINGS]
    done = python(folder, *words)
    assert done.returncode == 1 and "task 14." in done.stderr
    solve(folder, "14")
    done = python(folder, *words)
    assert done.returncode == 0 and "distilled student" in done.stdout, done.stderr
    return folder


def test_a_model_is_quantised_with_the_student_s_functions(trained):
    words = ["quantize", "runs/mine", "--out", "runs/mine8"]
    done = python(trained, *words)
    assert done.returncode == 1 and "task 20.1" in done.stderr
    solve(trained, "20")
    assert python(trained, *words).returncode == 0
    assert (trained / "runs/mine8/vocab.txt").exists()


@pytest.mark.skipif(not importlib.util.find_spec("onnx"), reason=NEEDS_ONNX)
@pytest.mark.skipif(not (cache_folder() / PACKAGE.name).exists(), reason=f"needs {PACKAGE.name} in the cache folder")
@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason=NEEDS_BROWSER)
def test_it_runs_in_a_browser_of_a_phone(trained, tmp_path):
    words = ["export", "runs/mine", "--page", "mine", "--int8"]
    solve(trained, "20")
    done = python(trained, *words)
    assert done.returncode == 1 and "task 21." in done.stderr
    solve(trained, "21")
    done = python(trained, *words)
    assert done.returncode == 0 and "http.server --directory mine" in done.stdout, done.stderr
    with served(trained / "mine") as server, Browser(tmp_path / "profile", PHONE) as browser:
        browser.open(server.address)
        browser.wait("return document.body.dataset.state === 'ready'")
        browser.run("document.querySelector('#masked-text').value = 'ada eats [MASK] .'")
        browser.run("document.querySelector('#fill-mask button').click()")
        found = browser.wait("const out = document.querySelector('#fill-mask output').dataset.result;"
                             "return out && JSON.parse(out)")  # fmt: skip
        assert len(found) == 1 and len(found[0]) == 5 and all(0 < word["value"] < 1 for word in found[0])
