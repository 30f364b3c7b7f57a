"""How long the project's own functions are: "about 4 lines" beside a task.

An edition does not have those functions, so `lessons/lines.json` brings the numbers along; `course --write` writes it.
"""

import ast
import json

from ...support.files import write_json
from ...support.regular_files import read_text
from ...support.shapes import Integer
from ...support.structured_files import read_json
from ..shared.cutting import body_of, find
from ..shared.manifest import file_of, name_of


def lines_of(source, name):
    """Lines of a function's body without its docstring, comments and empty lines"""
    body = body_of(find(ast.parse(source), name))
    lines = source.splitlines()[body[0].lineno - 1 : body[-1].end_lineno] if body else []
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines)


def counted(course):
    """{task id: lines} of the project's functions, with the helpers of the same file that editions leave out"""
    helpers = {}
    for target in (target for task in course.tasks for target in task.also_blank):
        file, _, name = target.partition(":")
        helpers.setdefault(file, set()).add(name)
    found = {}
    for task in course.tasks:
        files = {file: [name_of(each) for each in task.functions if file_of(each) == file] for file in task.files}
        found[task.id] = sum(_with_helpers(read_text(course.root / file), names, helpers.get(file, set()))
                             for file, names in files.items())  # fmt: skip
    return found


def _with_helpers(source, names, helpers):
    tree, waiting, seen = ast.parse(source), list(names), []
    while waiting:
        each = waiting.pop()
        seen.append(each)
        called = {node.id for node in ast.walk(find(tree, each)) if isinstance(node, ast.Name)}
        waiting += sorted(called & helpers - {*seen, *waiting})
    return sum(lines_of(source, each) for each in seen)


def _file(course):
    return course.root / "lessons" / "lines.json"


def known_lines(course):
    """{task id: lines}, in the project or in an edition; {} for an edition without the file"""
    if course.edition is None:
        return counted(course)
    return read_json(_file(course), {str: Integer(0, 10_000)}) if _file(course).exists() else {}


def update_lines(course, write):
    """Compare lessons/lines.json with the functions, and write it if `write` -> [path] if it was not up to date"""
    path, wanted = _file(course), counted(course)
    try:
        current = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        current = None
    if current == wanted:
        return []
    if write:
        write_json(path, wanted)
    return [path]
