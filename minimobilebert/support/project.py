"""The project's folder: data/, lessons/ and tests/ are in a clone, beside the package. An installed package has none.

Standard library only: `setup` runs on a bare Python.
"""

import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]


def in_project(root=ROOT):
    """Whether the package is in the project's folder (a clone, an unpacked sdist, a student edition) or installed."""
    return (root / "pyproject.toml").is_file()


def part_of_project(name, root=ROOT):
    """A file or folder of the project, "lessons/course.toml" -> its path. ValueError with what to do without it."""
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
