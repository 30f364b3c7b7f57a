"""`setup`: make .venv and install the project into it. It needs only the standard library."""

import hashlib
import json
import shutil
import subprocess
import sys

from .support.project import ROOT, part_of_project
from .support.shapes import ANY
from .support.structured_files import read_json, read_toml

VENV = ROOT / ".venv"
STAMP = VENV / "minimobilebert-setup.json"
ALWAYS = ("test", "plots")
OLDEST_PYTHON = (3, 11)


def python_of(venv):
    """The interpreter inside a virtual environment."""
    return venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def fingerprint(extras):
    """The inputs of the environment; if one of them changes, setup runs again."""
    return {
        "pyproject": hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest(),
        "extras": sorted({*ALWAYS, *extras}),
        "root": str(ROOT),
    }


def is_ready(wanted):
    """True if .venv is complete for this pyproject.toml, this folder, and at least these extras."""
    if not STAMP.exists() or not python_of(VENV).exists():
        return False
    try:
        found = read_json(STAMP, {"pyproject": str, "extras": [str], "root": str})
    except (ValueError, OSError):  # damaged or of another version; setup writes it again
        return False
    same = found["pyproject"] == wanted["pyproject"] and found["root"] == wanted["root"]
    return same and set(found["extras"]) >= set(wanted["extras"])


def _run(arguments, problem):
    finished = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if finished.returncode:
        lines = [line for line in finished.stdout.splitlines() if line.strip()]
        raise ValueError(f"{problem}: {lines[-1] if lines else 'no message'}")


def setup(extras=()):
    """Make .venv with the extras `test`, `plots` and `extras`; a second call does nothing -> exit code 0

    ValueError of one line if Python is too old, venv or pip is missing, or the installation fails.
    """
    if sys.version_info < OLDEST_PYTHON:
        raise ValueError(f"Python: found {sys.version.split()[0]}, expected 3.11 or newer (make PYTHON=python3.12)")
    if "$" in str(ROOT):
        raise ValueError(f"{ROOT}: found a dollar sign in the folder's name, which setuptools takes for a variable")
    known = read_toml(
        part_of_project("pyproject.toml"), {"project": {"optional-dependencies": {str: [str]}, str: ANY}, str: ANY}
    )
    for extra in extras:
        if extra not in known["project"]["optional-dependencies"]:
            expected = ", ".join(known["project"]["optional-dependencies"])
            raise ValueError(f"--extras: found {extra!r}, expected some of {expected} with commas between them")
    wanted = fingerprint(extras)
    if is_ready(wanted):
        return 0
    STAMP.unlink(missing_ok=True)  # so that an interrupted setup does not look complete
    if not python_of(VENV).exists():
        print("setup: making .venv", file=sys.stderr, flush=True)
        shutil.rmtree(VENV, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(VENV)], "cannot make .venv (on Debian: apt install python3-venv)")
    names = ",".join(wanted["extras"])
    print(f"setup: installing with {names} (a minute or so)", file=sys.stderr, flush=True)
    pip = [str(python_of(VENV)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--editable", f"{ROOT}[{names}]"], "pip could not install (is the network there?)")
    STAMP.write_text(json.dumps(wanted), encoding="utf-8")
    edition = (ROOT / "lessons" / "edition.json").exists()  # a student edition has no tests and cannot train yet
    following = "make check, make doctor" if edition else "make train-tiny, make test, make doctor"
    print(f"setup: done. Next: {following}", file=sys.stderr, flush=True)
    return 0
