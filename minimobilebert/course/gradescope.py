"""`make gradescope`: the zip that Gradescope's autograder takes: setup.sh, run_autograder, and the project.

Gradescope runs setup.sh once when the image is built; for each submission run_autograder, with the student's files in
/autograder/submission, and reads /autograder/results/results.json (see the "Autograder specifications" of its
documentation). The hidden seeds are in the zip, so it is the teacher's alone.
"""

import pathlib
import zipfile

from ..files import replacing, write_json

SETUP = """#!/usr/bin/env bash
set -euo pipefail
apt-get update -q
apt-get install -yq python3 python3-pip python3-venv
python3 -m venv /autograder/venv
/autograder/venv/bin/pip install -q "numpy>=1.26" "tqdm>=4.60"
chmod 700 /autograder/source
"""

RUN = """#!/usr/bin/env bash
cd /autograder/source
MINIMOBILEBERT_BACKEND=numpy /autograder/venv/bin/python -m minimobilebert gradescope --grade /autograder
"""

_STAMP = (2020, 1, 1, 0, 0, 0)  # the same project gives the same zip


def build(course, out):
    """Write the autograder's zip -> its path"""
    out = pathlib.Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    names = [
        path for folder in ("minimobilebert", "lessons") for path in sorted((course.root / folder).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and path.suffix in (".py", ".toml", ".md")
    ]  # fmt: skip
    with replacing(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (("setup.sh", SETUP), ("run_autograder", RUN)):
            _add(archive, name, text.encode(), 0o755)
        for path in names:
            _add(archive, path.relative_to(course.root).as_posix(), path.read_bytes(), 0o644)
    return out


def _add(archive, name, data, mode):
    info = zipfile.ZipInfo(name, _STAMP)
    info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
    archive.writestr(info, data)


def grade_there(course, folder, policy):
    """What run_autograder calls: grade /autograder/submission and write results/results.json -> Grade

    The due date is Gradescope's own, which counts lateness itself, so the policy's is not applied.
    """
    import dataclasses

    from .grades import gradescope
    from .grading import Grader
    from .submission import read_submission

    folder = pathlib.Path(folder)
    with Grader(course, dataclasses.replace(policy, due="")) as grader:
        grade = grader.grade(read_submission(folder / "submission", grader.files))
    (folder / "results").mkdir(exist_ok=True)
    write_json(folder / "results" / "results.json", gradescope(grade, policy))
    return grade
