"""The project's folder. A clone has data/, lessons/ and tests/ next to the package; an installed package has not.

This module uses only the standard library, because `setup` needs it.
"""

import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]


def in_project(root=ROOT):
    """True if the package is in the project's folder (a clone, an unpacked sdist, a student edition)."""
    return (root / "pyproject.toml").is_file()


def part_of_project(name, root=ROOT):
    """A file or folder of the project, such as "lessons/course.toml" -> its path. ValueError with advice if missing."""
    path = root / name
    if path.exists():
        return path
    if (root / "lessons" / "edition.json").exists():
        raise ValueError(f"{path}: not found; it is not part of a student edition")
    raise ValueError(
        f"{path}: not found; it is in the project's folder, which an installed package does not bring along:"
        " run from a clone, after `make setup`"
    )


def how_to_install(extra, root=ROOT):
    """The command that installs the packages of an optional extra."""
    return f"make setup EXTRAS={extra}" if in_project(root) else f'pip install "minimobilebert[{extra}]"'


def how_to_install_all(root=ROOT):
    """The command that installs the packages that every command needs."""
    if in_project(root):
        return "make setup, and run .venv/bin/python instead of python"
    return "pip install minimobilebert"
