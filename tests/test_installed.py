"""An installed package, without data/, lessons/ and tests/ beside it, in somebody's empty folder: every command works,
or says in one line what to do.

A copy of the package is as good as an installed one, and needs no network.
"""

import json
import os
import shutil
import subprocess
import sys

import pytest
from command_folder import SMALL
from documents import ROOT
from test_train_tiny import write_text

from minimobilebert.cli import COMMANDS
from minimobilebert.support.project import how_to_install, in_project, part_of_project

SMALL = SMALL.split()
CLONE = "run from a clone, after `make setup`"
RUN = "`make train-tiny` makes a run in runs/tiny"
# Optional packages, which an installation without extras has not.
EXTRAS = (
    "matplotlib",
    "pytest",
    "safetensors",
    "torch",
    "transformers",
    "onnx",
    "onnxruntime",
    "sklearn",
    "scipy",
    "ruff",
    "mypy",
    "sphinx",
    "myst_parser",
    "furo",
    "jupytext",
    "nbclient",
)

# words of a command -> its exit code, what its last line (of stdout for 0, else of stderr) holds
WITHOUT_EXTRAS = [
    ("setup", 2, CLONE),
    ("doctor", 0, "all is well"),
    ("test", 2, CLONE),
    ("lint", 2, CLONE),
    ("gradcheck", 0, "the limit is 1e-06"),
    ("models", 0, "each masked position"),
    ("parity", 2, 'pip install "minimobilebert[compare]"'),
    ("verify --nonsense", 2, "unrecognized arguments"),  # verify itself takes a minute, and reads nothing of the project
    ("bench --only ladder --svg x.svg", 2, 'pip install "minimobilebert[plots]"'),
    ("latency paper --svg x.svg", 2, 'pip install "minimobilebert[plots]"'),
    ("latency mobile", 2, "expected a model folder or one of paper"),
    ("plan --model mobilebert --ranks 4 --network 1Gbit --svg x.svg", 2, 'pip install "minimobilebert[plots]"'),
    ("plan --model mobilebert --ranks 4 --network 1Gbit --step-seconds 1", 0, "(distributed/cost.py)."),
    ("evaluate --report x.html", 2, 'pip install "minimobilebert[plots]"'),
    ("train-tiny", 2, 'pip install "minimobilebert[plots]"'),
    (" ".join(["train-tiny --text text", *SMALL]), 2, 'pip install "minimobilebert[plots]"'),
    ("distil", 2, 'pip install "minimobilebert[plots]"'),
    ("seeds", 2, 'pip install "minimobilebert[plots]"'),
    ("ablate", 2, 'pip install "minimobilebert[plots]"'),
    ("sweep", 2, "make train-tiny makes runs/tiny"),
    ("fill-mask [MASK]", 2, RUN),
    ("embed a b", 2, RUN),
    ("similar a --texts text", 2, RUN),
    ("nsp a b", 2, RUN),
    ("quantize x --out y", 2, RUN),
    ("pareto x --measure stsb", 2, "expected the folder with GLUE's STS-B"),
    ("convert --from-hf x --to y", 2, 'pip install "minimobilebert[interop]"'),
    ("export x --onnx y", 2, 'pip install "minimobilebert[interop]"'),
    ("export x --page y", 2, 'pip install "minimobilebert[interop]"'),
    ("finetune --task rte --out x", 2, RUN),
    ("evaluate --task rte", 2, RUN),
    ("predict --task rte --out x", 2, RUN),
    ("prepare --text text --out x", 2, RUN),
    ("answer --question a --passage b", 2, RUN),
    ("baselines --task sst2", 2, "(--data)"),
    ("glue", 2, "(--data)"),
    ("squad", 2, "(--data)"),
    ("squad-score a b", 2, "a: No such file or directory"),
    ("gradebook a b --out c", 2, "a: found no result in it, expected the folder that grade --out wrote"),
    ("download glue --to x --only nonsense", 2, "expected"),
    *((words, 2, CLONE) for words in (
        "course", "course --write", "student", "check", "check 02.1", "hint 02.1", "progress", "grade text --out x",
         "collect text --out x",
        "gradescope", "mutants", "course-check", "site", "notebooks --out x")),
]  # fmt: skip
WITH_EXTRAS = [
    ("train-tiny", 2, "or give your own folder of .txt files"),
    (" ".join(["train-tiny --text text --out run", *SMALL]), 0, "Report: "),
    ("distil --teacher run --out y", 2, "or give your own folder of .txt files"),
    ("distil --teacher run --text text --out student --steps 2", 0, "Report: "),
    ("fill-mask [MASK] --model run --top 1", 0, "0."),
]
CODE = """
import contextlib, io, json, sys
from minimobilebert import cli
from minimobilebert.gradcheck import table
run_all = table.run_all
table.run_all = lambda seed: run_all(seed, repeats=1)
without, commands = json.load(sys.stdin)
for name in without:
    sys.modules[name] = None
found = []
for words in commands:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(words.split())
        except SystemExit as stop:
            code = stop.code
    found.append((code, out.getvalue(), err.getvalue()))
print(json.dumps([cli.__file__, found]))
"""


def run(folder, without, commands, backend="numba"):
    """In one process, in `folder`, with the copy of the package -> [exit code, stdout, stderr] of each command"""
    kernels = ROOT / "minimobilebert" / "kernels" / "__pycache__"  # of the same sources: nothing is compiled twice
    environment = os.environ | {
        "PYTHONPATH": str(folder / "site"),
        "NUMBA_CACHE_DIR": str(kernels),
        "MINIMOBILEBERT_BACKEND": backend,
    }
    done = subprocess.run(
        [sys.executable, "-c", CODE], input=json.dumps([without, commands]), capture_output=True, text=True,
        cwd=folder / "empty", env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    file, found = json.loads(done.stdout)
    assert file.startswith(str(folder / "site"))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    shutil.copytree(
        ROOT / "minimobilebert", folder / "site" / "minimobilebert", ignore=shutil.ignore_patterns("__pycache__")
    )
    (folder / "empty").mkdir()
    write_text(folder / "empty" / "text")
    return folder


@pytest.mark.parametrize(("without", "cases"), [(EXTRAS, WITHOUT_EXTRAS), ((), WITH_EXTRAS)], ids=["bare", "extras"])
def test_every_command_works_or_says_what_to_do(without, cases, folder):
    found = run(folder, without, [words for words, *_ in cases], "numba" if without else "numpy")
    for (words, code, text), (found_code, out, err) in zip(cases, found, strict=True):
        assert "Traceback" not in err, words
        assert found_code == code, f"{words}: {err}"
        assert text in (err if code else out).rstrip().splitlines()[-1], f"{words}: {out}{err}"
    made = {path.name for path in (folder / "empty").iterdir()}
    assert made == ({"text"} if without else {"text", "run", "student"})  # what is refused leaves nothing behind


def test_every_command_is_tried():
    assert {words.split()[0] for words, *_ in WITHOUT_EXTRAS} == set(COMMANDS)


def test_a_part_of_the_project_is_found_or_asked_for(tmp_path):
    assert in_project() and part_of_project("tests") == ROOT / "tests"
    assert how_to_install("plots") == "make setup EXTRAS=plots"
    with pytest.raises(ValueError, match="tests: not found; it is in the project's folder"):
        part_of_project("tests", tmp_path)
    (tmp_path / "lessons").mkdir()
    (tmp_path / "lessons" / "edition.json").write_text("{}")
    with pytest.raises(ValueError, match="tests: not found; it is not part of a student edition"):
        part_of_project("tests", tmp_path)


def test_an_sdist_is_the_whole_project():
    """Every file of the repository is named by MANIFEST.in, or is the package's."""
    git = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if git.returncode:
        pytest.skip(f"not a git repository: {git.stderr.strip()}")
    lines = [line.split() for line in (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines()]
    named = {name for kind, *names in lines if kind in ("include", "graft") for name in names}
    always = {"LICENSE", "README.md", "pyproject.toml", "MANIFEST.in", "minimobilebert"}
    assert {path.split("/")[0] for path in git.stdout.splitlines()} == named | always
