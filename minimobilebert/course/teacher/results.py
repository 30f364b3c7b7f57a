"""The folder that `grade` writes: NAME.json for each submission, and grades.csv. No file is overwritten.

Each result stores hashes of the submission and of the settings (the policy and the project's files). The same command
therefore resumes an interrupted grading, and a command with other settings is an error.
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
                   "isolation": str, "failed": bool, "settings": str, "handed_in": (str, None), "place": str, str: ANY},
    str: ANY,
}  # fmt: skip


def settings_of(course, policy):
    """A hash of everything that determines a grade, except the submission and its date."""
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(policy)).encode())
    for folder in ("minimobilebert", "lessons"):
        for path in sorted((course.root / folder).rglob("*")):
            if path.suffix in (".py", ".toml") and path.name != "grading.toml" and path.is_file():
                digest.update(path.relative_to(course.root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def location_of(path):
    """A submission's absolute path as valid Unicode; different paths give different texts"""
    return os.fsencode(os.path.abspath(path)).decode("utf-8", "backslashreplace")


def read_results(folder):
    """The results in a folder of `grade`, sorted by name. ValueError of one line if it has none"""
    folder = pathlib.Path(folder)
    found = [read_json(path, _RESULT) for path in sorted(folder.glob("*.json"))]
    if not found:
        raise ValueError(f"{folder}: found no result in it, expected the folder that grade --out wrote")
    return found


class Results:
    """The results in a folder: the existing ones, and those that are added."""

    def __init__(self, folder, settings):
        self.folder, self.settings = pathlib.Path(folder), settings
        self.found = {}  # {location of the submission: result}
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.folder):
            pass  # fail before grading if the folder is not writable
        for path in sorted(self.folder.iterdir()):
            if path.name != "grades.csv" and not path.name.endswith(".tmp"):  # .tmp: from a killed write
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
        """{location: name} of the existing results"""
        return {location: result["extra_data"]["name"] for location, result in self.found.items()}

    def of(self, submission, handed_in):
        """The earlier result of a submission, or None. ValueError if the submission or its date has changed since."""
        result = self.found.get(location_of(submission.path))
        if result is None or result["extra_data"]["failed"]:
            return None
        about = result["extra_data"]
        for name, found, now in (("sha256", about["sha256"], submission.sha256),
                                 ("--handed-in", about["handed_in"], handed_in)):  # fmt: skip
            if found != now:
                raise ValueError(f"{self.folder / about['name']}.json: found a result of {submission.path} with {name}"
                                 f" {found or 'none'}, expected {now or 'none'}; grade into a new folder")  # fmt: skip
        return result

    def add(self, submission, handed_in, result):
        """Write a result and the updated table."""
        location, file = location_of(submission.path), self.folder / f"{submission.name}.json"
        if location not in self.found and os.path.lexists(file):
            raise ValueError(f"{file}: found something there already, expected nothing")
        result["extra_data"] |= {"place": location, "handed_in": handed_in}
        write_json(file, result)
        self.found[location] = result
        self.write_table()

    def write_table(self, order=()):
        """Write grades.csv. order: paths of submissions whose rows are last, in this order"""
        last = {location_of(path): number for number, path in enumerate(order)}
        rows = sorted(self.found, key=lambda location: last.get(location, -1))
        write_text(self.folder / "grades.csv", as_csv([self.found[location] for location in rows]))
