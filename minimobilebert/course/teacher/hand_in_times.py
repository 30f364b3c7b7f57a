"""`grade --handed-in`: one date for all submissions, or a table with a date for each.

    name,handed_in
    ada,2027-03-01T20:00:00+01:00
    bob,2027-03-02T08:00:00+01:00

A name is that of the submission in grades.csv, or of its file. Each is checked before anything is graded.
"""

import csv
import io
import pathlib

from ...support.archive_members import printable
from ...support.regular_files import read_text
from ...support.shapes import shown
from .policy import parse_date

COLUMNS = ["name", "handed_in"]


def read_times(text):
    """The argument of --handed-in -> None, a date, or {name: date} from a table. ValueError of one line"""
    if text is None:
        return None
    if not pathlib.Path(text).is_file():
        parse_date("--handed-in", text)
        return text
    rows = list(csv.reader(io.StringIO(read_text(text))))
    if not rows or rows[0][:2] != COLUMNS:
        found = ",".join(rows[0]) if rows else "nothing"
        raise ValueError(f"{text}: line 1: found {shown(found)}, expected {','.join(COLUMNS)}")
    times = {}
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        where = f"{text}: row {number}"
        if len(row) < 2:
            raise ValueError(f"{where}: found {len(row)} columns, expected {','.join(COLUMNS)}")
        name, date = row[0].strip().removeprefix("'"), row[1].strip()
        parse_date(where, date)
        if name in times:
            raise ValueError(f"{where}: found {shown(name)} again, expected each name once")
        times[name] = date
    return times


def times_of(times, names):
    """-> {path: date or None}. names: {path: name}. ValueError for a name in the table without a submission"""
    if not isinstance(times, dict):
        return dict.fromkeys(names, times)
    found, used = {}, set()
    for path, name in names.items():
        key = next((key for key in (name, printable(path.name)) if key in times), None)
        found[path] = times.get(key)
        used.add(key)
    if unknown := sorted(set(times) - used):
        raise ValueError(f"--handed-in: found a time of {shown(unknown[0])}, expected one of the submissions:"
                         f" {', '.join(sorted(names.values())[:3])} ...")  # fmt: skip
    return found
