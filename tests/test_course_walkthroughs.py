"""Every walkthrough runs as its lesson says, and draws the figures that are committed beside it."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
WALKTHROUGHS = sorted((ROOT / "lessons").glob("*/walkthrough.py"))


def test_every_lesson_that_has_a_text_has_a_walkthrough():
    assert [path.parent for path in WALKTHROUGHS] == sorted(p.parent for p in (ROOT / "lessons").glob("*_*/README.md"))


@pytest.mark.parametrize("path", WALKTHROUGHS, ids=lambda path: path.parent.name)
def test_it_runs_and_draws_its_figures(path, tmp_path):
    copy = tmp_path / path.parent.name / path.name  # it draws beside itself
    copy.parent.mkdir()
    shutil.copy(path, copy)
    # The NumPy back end: nothing has to be compiled, and what a lesson says holds for both.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MINIMOBILEBERT_BACKEND": "numpy"}
    done = subprocess.run([sys.executable, str(copy)], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr and len(done.stdout.splitlines()) > 5
    drawn = {figure.name for figure in copy.parent.glob("figures/*.svg")}
    committed = {figure.name for figure in path.parent.glob("figures/*.svg")}
    assert drawn == (set() if "no figure" in done.stdout else committed)
