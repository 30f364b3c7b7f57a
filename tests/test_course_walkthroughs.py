"""Every walkthrough runs as its lesson says, and draws the figures that are committed beside it."""

import base64
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from figures import SVG, differences, images_of, points_of, tree, words_of

from minimobilebert.course.shared.manifest import load
from minimobilebert.course.teacher.edition import write_edition
from minimobilebert.course.teacher.solved import solved_files

ROOT = pathlib.Path(__file__).resolve().parents[1]
WALKTHROUGHS = sorted((ROOT / "lessons").glob("*/walkthrough.py"))


def test_every_lesson_that_has_a_text_has_a_walkthrough():
    assert [path.parent for path in WALKTHROUGHS] == sorted(p.parent for p in (ROOT / "lessons").glob("*_*/README.md"))


@pytest.mark.parametrize("path", WALKTHROUGHS, ids=lambda path: path.parent.name)
def test_it_runs_and_draws_its_figures(path, tmp_path):
    copy = tmp_path / path.parent.name / path.name  # it draws beside itself
    copy.parent.mkdir()
    shutil.copy(path, copy)
    # Those that train use the numba back end, whose numbers are the same on every machine. For the others nothing has to
    # be compiled, and what they say holds for both.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive"}
    if 'use_backend("numpy")' in path.read_text(encoding="utf-8"):
        environment["MINIMOBILEBERT_BACKEND"] = "numpy"
    done = subprocess.run([sys.executable, str(copy)], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr and len(done.stdout.splitlines()) > 5
    drawn, committed = (
        {figure.name: figure.read_text(encoding="utf-8") for figure in folder.glob("figures/*.svg")}
        for folder in (copy.parent, path.parent)
    )
    if "no figure" in done.stdout:  # without matplotlib
        assert not drawn
    else:
        assert drawn.keys() == committed.keys()
        wrong = {name: differences(drawn[name], committed[name]) for name in drawn}
        assert not any(wrong.values()), wrong
    readme = (path.parent / "README.md").read_text(encoding="utf-8")
    assert all(f"](figures/{name})" in readme for name in committed)


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    """What a student has who has written nothing yet -> course, folder, {task file: its text}"""
    out, course = tmp_path_factory.mktemp("edition") / "student", load()
    write_edition(course, [lesson.number for lesson in course.lessons], out, record=False)
    return course, out, {file: (out / file).read_text(encoding="utf-8") for task in course.tasks for file in task.files}


# An editable installation of the project must not lend what an edition leaves out.
START = """import runpy, sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
runpy.run_path(sys.argv[1], run_name="__main__")"""


def run_in(edition, path):
    numpy_only = 'use_backend("numpy")' in path.read_text(encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(edition), "OMP_WAIT_POLICY": "passive"}
    if numpy_only:
        environment["MINIMOBILEBERT_BACKEND"] = "numpy"
    inside = str(path.relative_to(ROOT))
    done = subprocess.run([sys.executable, "-c", START, inside], cwd=edition, env=environment,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr and "Traceback" not in done.stderr
    return done.stdout


def with_those_before(course, number):
    """This lesson and all that it comes after -> set of numbers"""
    return {number}.union(*(with_those_before(course, other) for other in course.lesson(number).needs))


@pytest.mark.parametrize("path", WALKTHROUGHS, ids=lambda path: path.parent.name)
def test_it_runs_in_a_student_edition_with_the_lessons_that_it_comes_after(path, edition):
    """The teacher's part, benchmarks, and fused and compiled functions are missing, and so are all other tasks."""
    course, folder, blank = edition
    chosen = with_those_before(course, path.parent.name[:2])
    written = solved_files(course, [task for task in course.tasks if task.lesson in chosen], blank)
    for file, text in {**blank, **written}.items():
        (folder / file).write_text(text, encoding="utf-8")
    said = run_in(folder, path)
    missing = [line for line in said.splitlines() if re.search(r"\btask \d\d\.\d \(", line)]
    if path.parent.name.startswith("00_"):  # it says what the whole model will need, and goes on
        missing = [line for line in missing if "the first one that is not" not in line]
    assert not missing, f"add its lesson to the `needs` of this one in course.toml: {missing}"
    assert len(said.splitlines()) > 5


@pytest.mark.parametrize("path", WALKTHROUGHS, ids=lambda path: path.parent.name)
def test_it_says_which_function_is_missing(path, edition):
    """In one line and without a traceback, be it a function of this lesson or of an earlier one"""
    _, folder, blank = edition
    for file, text in blank.items():
        (folder / file).write_text(text, encoding="utf-8")
    said = run_in(folder, path)
    runs_none = path.parent.name.startswith("01_")  # it has functions of its own
    assert runs_none or re.search(r"\btask \d\d\.\d \(", said), said


@pytest.mark.parametrize("line", ["raise NotImplementedError('not this one')", "1 / 0"])
def test_any_other_error_is_reported_as_ever(line):
    code = f"from minimobilebert.course.shared import own_functions as o; o.stop_where_one_is_missing(); {line}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" in done.stderr


def test_a_figure_that_changed_is_seen():
    """A point, a word or an image that is not the committed one; and not the last digit of a point."""
    lessons = ROOT / "lessons"
    terms = (lessons / "11_feature_map_transfer/figures/terms.svg").read_text(encoding="utf-8")
    curve = [points for points in points_of(tree(terms)) if len(points) > 5][0]
    x = f"{curve[2][1]:.6f}".rstrip("0")
    assert terms.count(x) >= 1
    assert differences(terms.replace(x, f"{curve[2][1] + 0.1:.6f}"), terms) == []
    assert "points: 3.00 away" in differences(terms.replace(x, f"{curve[2][1] + 3.0:.6f}"), terms)[0]
    word = words_of(tree(terms))[-1]
    assert "words" in differences(terms.replace(f">{word}<", ">another<"), terms)[0]
    pytest.importorskip("matplotlib", reason="needs the extra plots, which make setup installs")
    band = (lessons / "16_question_answering/figures/band.svg").read_text(encoding="utf-8")
    pixels = images_of(tree(band))[0]
    from matplotlib import image

    for change, seen in ((0.0, False), (0.1, True)):
        file = io.BytesIO()
        image.imsave(file, np.clip(pixels + change, 0.0, 1.0))
        data = "base64,\n" + base64.b64encode(file.getvalue()).decode()
        other = re.sub(r"base64,[\w+/=\s]+", lambda _, data=data: data, band, count=1)
        assert bool(differences(other, band)) == seen


def test_the_figure_of_the_ablations_shows_their_tables():
    """It takes 90 minutes to draw: its points, read with its own scale, have the tables' means and deviations."""
    figure = tree((ROOT / "lessons/figures/ablations.svg").read_text(encoding="utf-8"))
    text = (ROOT / "lessons/ablations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| (\d\.\d+ ± \d\.\d+) \|", text, re.MULTILINE)
    ticks = [(float(tick.find(f".//{SVG}use").get("y")), float(words_of(tick)[0]))
             for tick in figure.iter(f"{SVG}g") if tick.get("id", "").startswith("ytick") and words_of(tick)]  # fmt: skip
    scale = np.polyfit(*zip(*ticks, strict=True), 1)
    dots = [points for part in figure.iter(f"{SVG}g") if "clip-path" in part.attrib for points in points_of(part)]
    losses = [np.polyval(scale, points[:, 1]) for points in dots]
    assert [f"{each.mean():.3f} ± {each.std(ddof=1):.3f}" for each in losses] == [row[1] for row in rows]
    labels = [" ".join(words_of(tick)) for tick in figure.iter(f"{SVG}g") if tick.get("id", "").startswith("xtick")]
    assert labels == [row[0] for row in rows] and len(rows) == 11
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    said = re.findall(r"^\| .+ \| (\d\.\d+ ± \d\.\d+) \| \d\.\d+ ± \d\.\d+ \|$", readme, re.MULTILINE)
    assert said == [row[1] for row in rows[-4:]]  # the README's short table is Table 9
