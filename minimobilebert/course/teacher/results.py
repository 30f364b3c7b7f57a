"""The folder that `grade` writes: NAME.json each, as they come, and grades.csv. Nothing is written over.

Every result says from which bytes and with which settings it was made (a hash of the policy and of the project's own
files). So the same command goes on with an interrupted grading, and one with other settings is refused.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import tempfile

from ...support.files import write_json, write_text
from ...support.regular_files import read_text
from ...support.shapes import ANY
from ...support.structured_files import read_json
from .grades import as_csv

_RESULT = {
    "score": float, "output": str,
    "tests": [{"number": str, "score": float, "max_score": float, "status": str, str: ANY}],
    "extra_data": {"name": str, "path": str, "sha256": str, "graded": str, "problem": str, "notes": [str], "late": str,
                   "failed": bool, "settings": str, "handed_in": (str, None), "place": str, str: ANY},
    str: ANY,
}  # fmt: skip


def settings_of(course, policy):
    """A hash of everything that decides about a grade, but the submission and its date."""
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(policy)).encode())
    for folder in ("minimobilebert", "lessons"):
        for path in sorted((course.root / folder).rglob("*")):
            if path.suffix in (".py", ".toml") and path.name != "grading.toml" and path.is_file():
                digest.update(path.relative_to(course.root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def place_of(path):
    """A submission's absolute path as a text that JSON can hold, another one for every path"""
    return os.fsencode(os.path.abspath(path)).decode("utf-8", "backslashreplace")


class Results:
    """The results in a folder: those that were there, and those that are added."""

    def __init__(self, folder, settings):
        self.folder, self.settings = pathlib.Path(folder), settings
        self.found = {}  # {place of the submission: result}
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.folder):
            pass  # that a folder cannot be written should be known before the first hour of grading
        for path in sorted(self.folder.iterdir()):
            if path.name != "grades.csv" and not path.name.endswith(".tmp"):  # of a write that was killed
                result = self._read(path)
                self.found[result["extra_data"]["place"]] = result
        self._check_table(self.folder / "grades.csv")

    def _read(self, path):
        try:
            if path.suffix != ".json":
                raise ValueError("no result")
            result = read_json(path, _RESULT)
        except (ValueError, OSError):
            raise ValueError(f"{path}: found something there already, expected a new or empty folder, or one with the"
                             " results of an interrupted grading") from None  # fmt: skip
        if result["extra_data"]["settings"] != self.settings:
            raise ValueError(f"{path}: found a result of another policy or another version of the project, expected"
                             " the same; grade into a new folder")  # fmt: skip
        return result

    def _check_table(self, path):
        if not path.exists():
            return
        known = set(as_csv(list(self.found.values())).splitlines()) if self.found else set()
        if set(read_text(path).splitlines()) - known:
            raise ValueError(f"{path}: found lines that this grading did not write, expected a new or empty folder")

    @property
    def names(self):
        """{place: name} of the results that are there"""
        return {place: result["extra_data"]["name"] for place, result in self.found.items()}

    def of(self, submission, handed_in):
        """The result of a submission that was graded before, or None. ValueError where it was another version of it."""
        result = self.found.get(place_of(submission.path))
        if result is None or result["extra_data"]["failed"]:
            return None
        about = result["extra_data"]
        for what, found, now in (("sha256", about["sha256"], submission.sha256),
                                 ("--handed-in", about["handed_in"], handed_in)):  # fmt: skip
            if found != now:
                raise ValueError(f"{self.folder / about['name']}.json: found a result of {submission.path} with {what}"
                                 f" {found or 'none'}, expected {now or 'none'}; grade into a new folder")  # fmt: skip
        return result

    def add(self, submission, handed_in, result):
        """Write it, and the table with it: from here on it is not lost."""
        place, file = place_of(submission.path), self.folder / f"{submission.name}.json"
        if place not in self.found and os.path.lexists(file):
            raise ValueError(f"{file}: found something there already, expected nothing")
        result["extra_data"] |= {"place": place, "handed_in": handed_in}
        write_json(file, result)
        self.found[place] = result
        self.write_table()

    def write_table(self, order=()):
        """grades.csv. order: paths of submissions whose rows come last, in this order"""
        last = {place_of(path): place for place, path in enumerate(order)}
        rows = sorted(self.found, key=lambda place: last.get(place, -1))
        write_text(self.folder / "grades.csv", as_csv([self.found[place] for place in rows]))
