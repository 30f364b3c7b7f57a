"""Pages that show a source file: each function has an anchor, and the answers of the course's tasks are folded.

source/minimobilebert/ops/linear.py.html#linear_forward
"""

import ast
import html

from ..course.shared.cutting import FUNCTIONS, body_of, find
from ..support.extras import require

LEXERS = {".py": "python", ".toml": "toml"}


def definitions(tree):
    """{first line: name} of the functions and classes of a module, and of their methods"""
    found, waiting = {}, [("", node) for node in tree.body]
    for before, node in waiting:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            found[min([node.lineno, *(each.lineno for each in node.decorator_list)])] = before + node.name
        if isinstance(node, ast.ClassDef):
            waiting += [(f"{before}{node.name}.", child) for child in node.body]
    return found


def answers(file, text, tree, tasks):
    """[(first line, last line, what)] of the bodies that tasks ask for, and of what docstrings say about them"""
    found = []
    if tasks and ast.get_docstring(tree) is not None:
        lines = tree.body[0].value.value.split("\n")
        backward = next((number for number, line in enumerate(lines, 1) if line.startswith("Backward")), None)
        if backward is not None:
            found.append((backward, tree.body[0].end_lineno, "the backward, which the tasks ask for"))
    for task, name in [(each, name) for each in tasks for name in each.names_in(file)]:
        function = find(tree, name)
        if function is not None and body_of(function):
            body = body_of(function)
            before = function.body[0].end_lineno if len(body) < len(function.body) else body[0].lineno - 1
            if before >= function.lineno:  # def f(x): return x is one line, and cannot be folded
                found.append((before + 1, body[-1].end_lineno, f"the answer to task {task.id}"))
    found += [hint for hint in _hidden(text, tasks) if not any(first <= hint[0] <= last for first, last, _ in found)]
    return sorted(found, key=lambda answer: answer[:2])


def _hidden(text, tasks):
    """The lines with the words that an edition hides"""
    for task in tasks:
        for words in task.hide:
            if words in text:
                first = text[: text.index(words)].count("\n") + 1
                yield first, first + words.count("\n"), f"what task {task.id} asks for"


def highlighted(text, language):
    """Lines of HTML, each complete in itself"""
    pygments, lexers = require("pygments", "docs"), require("pygments.lexers", "docs")
    formatters = require("pygments.formatters", "docs")
    lexer = lexers.get_lexer_by_name(language, stripnl=False)
    return pygments.highlight(text, lexer, formatters.HtmlFormatter(nowrap=True)).rstrip("\n").split("\n")


def as_html(file, text, tasks, documents):
    """The body of a source page -> HTML

    tasks: the course's tasks in this file; documents: [(title, address)] of the pages that name it.
    """
    suffix = file[file.rindex(".") :]
    lines, folds = highlighted(text, LEXERS.get(suffix, "text")), []
    if suffix == ".py":
        tree = ast.parse(text)
        folds = answers(file, text, tree, tasks)
        for line, name in definitions(tree).items():
            lines[line - 1] = f'<span id="{html.escape(name)}"></span>{lines[line - 1]}'
    parts, done = [], 0
    for first, last, what in folds:
        parts.append(_block(lines[done : first - 1]))
        inside = _block(lines[first - 1 : last])
        parts.append(f"<details><summary>{what}</summary>{inside}</details>")
        done = last
    parts.append(_block(lines[done:]))
    named = ", ".join(f'<a href="{html.escape(address)}">{html.escape(title)}</a>' for title, address in documents)
    return f'<h1>{html.escape(file)}</h1>\n<p>Named in: {named}</p>\n<div class="source">{"".join(parts)}</div>'


def _block(lines):
    text = "\n".join(lines)
    return f'<div class="highlight"><pre>{text}\n</pre></div>' if lines else ""
