"""`collect`: the students' functions as a folder for JPlag or MOSS, which compare programs with each other.

    out/NAME/03.4.py     the bodies of a task's functions with the student's own helpers, and nothing that we gave out

A function that breaks a rule of the grader is compared too: then the whole file of the student is written.
"""

import ast
import pathlib

from ...support.files import new_folder, write_text
from ..shared.cutting import body_of
from .entries import find_entries, unique_names
from .grading import Grader


def collect(course, paths, out, policy):
    """Write the folder -> ([(name, number of functions)], names of submissions without any)"""
    grader = Grader(course, policy)  # reads submissions; no process is started
    entries = find_entries(paths, grader.files, out)
    names = unique_names(entries)
    found, empty = [], []
    with new_folder(out) as unfinished:
        for path in entries:
            files = _functions(grader, grader.read(path, names[path]))
            for name, text in files.items():
                target = pathlib.Path(unfinished) / names[path] / name
                target.parent.mkdir(exist_ok=True)
                write_text(target, text)
            found.append((names[path], len(files))) if files else empty.append(names[path])
        if not found:
            raise ValueError("found no function in any submission, expected one; nothing is written")
    return found, empty


def _functions(grader, submission):
    """-> {file name: text} of what a student has written"""
    files = {}
    for id, taken in grader.extract(submission).items():
        task = grader.course.task(id)
        if not isinstance(taken, str):
            written = [each for each in taken.values() if _is_written(each.source)]
            if written:
                parts = dict.fromkeys(part for each in written for part in (each.helpers, each.source) if part)
                files[f"{id}.py"] = "\n\n\n".join(parts) + "\n"
            continue
        for file in task.files if "found no function" not in taken else ():
            if file in submission.files:
                data = submission.files[file][1]
                files[file.replace("/", "_")] = data.decode("utf-8", "replace")
    return files


def _is_written(source):
    """False for a function that only raises NotImplementedError, as in an edition"""
    body = body_of(ast.parse(source).body[0])
    return not (len(body) == 1 and isinstance(body[0], (ast.Raise, ast.Pass)))
