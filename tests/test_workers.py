"""Test files shared by several processes: every test runs once, and one report has them all."""

import os
import subprocess
import sys

import pytest
from documents import ROOT


@pytest.mark.parametrize("count", ["1", "2", "3"])
def test_every_test_runs_once_and_is_reported(tmp_path, count):
    (tmp_path / "conftest.py").write_text(
        "import workers\npytest_addoption, pytest_configure = workers.add_options, workers.configure\n"
    )
    for name, body in (("a", "assert 2 > 1"), ("b", "assert 1 == 2"), ("c", "pytest.skip('no reason')")):
        (tmp_path / f"test_{name}.py").write_text(
            "import pathlib, pytest\n@pytest.mark.parametrize('i', range(2))\ndef test(i):\n"
            f"    with open({str(tmp_path / 'ran')!r}, 'a') as file: file.write('{name}')\n    {body}\n"
        )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", f"--workers={count}", "-q", "-rs", "-c", os.devnull, "--rootdir", ".", "."],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT / "tests")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 failed, 2 passed, 2 skipped" in done.stdout
    assert sorted((tmp_path / "ran").read_text()) == list("aabbcc")
