"""`student --solved`: the same edition with the solutions in it, which is the submission that must get all points.

    files = solved_files(course, tasks, cut)      {task file: text}

cut: the text of each file without the functions of the tasks. We take each solution as the grader takes a student's
(extraction.py), so a solution that breaks a rule is an error here.
"""

import ast
import textwrap

from ..shared.cutting import find
from ..shared.extraction import Refused, extract, replaceable_in
from .edition import cuts_of
from .mutants import solutions_of


def solved_files(course, tasks, cut):
    """-> {task file: text with the functions of `tasks` written}"""
    replaceable, files = replaceable_in(cuts_of(tasks), tasks), {}
    for file in sorted({file for task in tasks for file in task.files}):
        original = (course.root / file).read_text(encoding="utf-8")
        text = cut[file]
        for task, name in [(each, name) for each in tasks for name in each.names_in(file)]:
            lesson = course.lesson(task.lesson)
            shown = f"lessons/{lesson.folder}/solutions.py"
            try:
                taken = extract(ast.parse(solutions_of(course, lesson)), shown, name, original, replaceable[file])
            except (Refused, SyntaxError) as error:
                raise ValueError(f"{shown}: task {task.id}: {error}") from None
            text = with_function(text, name, taken.source)
            text = with_helpers(text, taken.helpers)
        files[file] = text
    return files


def with_function(text, name, source):
    """`text` with the body of a function or method replaced by that of `source`; decorators and docstring stay."""
    lines, old = text.splitlines(keepends=True), find(ast.parse(text), name)
    new = ast.parse(source).body[0]
    first = old.body[0] if ast.get_docstring(old, clean=False) is not None and len(old.body) > 1 else None
    body = "\n".join(ast.unparse(statement) for statement in new.body) + "\n"
    start = first.end_lineno if first is not None else old.body[0].lineno - 1
    lines[start : old.end_lineno] = [textwrap.indent(body, " " * old.body[0].col_offset)]
    return "".join(lines)


def with_helpers(text, helpers):
    """`text` with statements at module level: in the position of a function of that name, or after the imports."""
    for node in ast.parse(helpers).body:
        source, name = ast.unparse(node), getattr(node, "name", None)
        tree = ast.parse(text)
        if any(ast.unparse(other) == source for other in tree.body):
            continue  # a helper of two functions
        if name is not None and find(tree, name) is not None:
            text = with_function(text, name, source)
            continue
        lines = text.splitlines(keepends=True)
        imports = [other.end_lineno for other in tree.body if isinstance(other, (ast.Import, ast.ImportFrom))]
        is_import = isinstance(node, (ast.Import, ast.ImportFrom))
        after = max(imports, default=0) if is_import else _after_helpers(tree, imports)
        lines.insert(after, f"{source}\n" if is_import else f"\n\n{source}\n")
        text = "".join(lines)
    return text


def _after_helpers(tree, imports):
    """The line before the first function of a file: what helpers are used with, such as classes, is above it"""
    first = next((other for other in tree.body if isinstance(other, (ast.FunctionDef, ast.AsyncFunctionDef))), None)
    if first is None:
        return max([other.end_lineno for other in tree.body], default=0)
    above = [other.end_lineno for other in tree.body if other.end_lineno < first.lineno]
    return max([*above, *imports], default=0)
