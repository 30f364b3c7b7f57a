"""`gradebook`: write the scores of a graded class into the table that Canvas or Moodle exported, for its import.

    Canvas   the exported gradebook: columns Student, ID, SIS User ID, SIS Login ID, Section, and "A1 (4711)" to fill
    Moodle   the grading worksheet of an assignment: columns Identifier, Full name, Email address, and Grade to fill

Submissions that were downloaded from Canvas or Moodle have the student's number in their names:

    lovelaceada_LATE_1815_70001_work.zip               Canvas: student 1815
    Ada Lovelace_1815_assignsubmission_file            Moodle: participant 1815

Any other submission is found by its name, which is then the student's login, e-mail address, number or full name.
"""

import csv
import io
import pathlib
import re

from ...support.regular_files import read_text
from ...support.shapes import shown

_IDENTITY = ["ID", "SIS User ID", "SIS Login ID", "Identifier", "ID number", "Username", "Email address", "Student",
             "Full name"]  # fmt: skip
_NUMBERS = ["ID", "Identifier"]
_CANVAS = re.compile(r"[^_]+(?:_LATE)?_(\d+)_\d+_.+")
_MOODLE = re.compile(r".+_(\d+)_assignsubmission_.*")


def fill(results, path, column=None):
    """-> the table as CSV with the scores, names of submissions that are not in it. ValueError of one line"""
    text = read_text(path).removeprefix("\ufeff")
    rows = list(csv.reader(io.StringIO(text)))
    if not rows or not set(_IDENTITY) & set(rows[0]):
        raise ValueError(f"{path}: line 1: found none of the columns {', '.join(_IDENTITY)}, expected a gradebook of"
                         " Canvas or a grading worksheet of Moodle")  # fmt: skip
    header = rows[0]
    filled = _column(path, header, column)
    students = _students(header, rows)
    missing, taken = [], {}
    for result in results:
        row = _row_of(result, students)
        name = result["extra_data"]["name"]
        if row is None:
            missing.append(name)
            continue
        if row in taken:
            raise ValueError(f"{path}: row {row + 1}: found two submissions of this student, {taken[row]} and {name},"
                             " expected one")  # fmt: skip
        taken[row] = name
        rows[row] += [""] * (len(header) - len(rows[row]))
        rows[row][filled] = f"{result['score']:g}"
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue(), missing


def _column(path, header, column):
    """The index of the column to fill"""
    if column is None and "Grade" in header:
        return header.index("Grade")
    if column is None:
        raise ValueError(f"{path}: found no column Grade, expected --column with the name of the one to fill")
    found = [name for name in header if name == column] or [name for name in header if name.startswith(f"{column} (")]
    if len(found) != 1:
        what = "no column" if not found else f"{len(found)} columns"
        raise ValueError(f"{path}: found {what} {shown(column)}, expected one of {', '.join(map(shown, header))[:300]}")
    return header.index(found[0])


def _folded(text):
    return " ".join(text.casefold().split())


def _students(header, rows):
    """{(is a number of the system, text): row} of everything that identifies a student, None for what is not unique"""
    students = {}
    for number, row in enumerate(rows[1:], 1):
        for name, cell in zip(header, row, strict=False):
            text = _folded(cell).removeprefix("participant ")
            if name in _IDENTITY and text:
                for key in {(name in _NUMBERS, text), (False, text)}:
                    students[key] = number if students.get(key, number) == number else None
    return students


def _row_of(result, students):
    name = pathlib.PurePath(result["extra_data"]["path"]).name
    for pattern in (_MOODLE, _CANVAS):
        if match := pattern.fullmatch(name):
            return students.get((True, match[1]))
    return students.get((False, _folded(result["extra_data"]["name"])))
