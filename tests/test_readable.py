"""How the code reads: few parameters, a picture at the top of every kernel file, the field's words for names."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "minimobilebert"
FILES = {str(path.relative_to(PACKAGE)): ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}
MOST_PARAMETERS = 10
# Everyday words for which the field has a term; as whole names of variables, parameters and functions.
NOT_NAMES = {
    "here", "there", "ours", "theirs", "mine", "yours", "this", "gap", "aside", "turned", "tall", "begin",
    "compact", "place",
}  # fmt: skip
PICTURE = re.compile(r"->|[|+]|=>")


def too_many(tree):
    """Functions of a file with more parameters than a reader can keep apart -> [(name, how many)]"""
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.Lambda))]
    found = []
    for node in functions:
        given = node.args
        count = len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs)
        if count > MOST_PARAMETERS:
            found.append((getattr(node, "name", "lambda"), count))
    return found


def named(tree):
    """All names that a file gives to something."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name


def has_a_picture(docstring):
    """Whether some indented lines of a docstring draw something: arrows, boxes."""
    return any(line.startswith("    ") and PICTURE.search(line) for line in (docstring or "").splitlines())


@pytest.mark.parametrize("name", sorted(FILES))
def test_functions_have_few_parameters(name):
    assert too_many(FILES[name]) == []


@pytest.mark.parametrize("name", sorted(FILES))
def test_names_are_the_field_s(name):
    assert sorted(NOT_NAMES & set(named(FILES[name]))) == []


KERNELS = [name for name in FILES if name.startswith("kernels/") and not name.startswith("kernels/runtime/")]


@pytest.mark.parametrize("name", sorted(name for name in KERNELS if not name.endswith("__init__.py")))
def test_every_kernel_file_opens_with_a_picture(name):
    assert has_a_picture(ast.get_docstring(FILES[name], clean=False))


def test_what_these_tests_find():
    many = "def f(a, b, c, d, e, *, f, g, h, i, j, k): ..."
    assert too_many(ast.parse(many)) == [("f", 11)]
    assert {"place", "gap", "mine"} <= set(named(ast.parse("def mine(gap):\n    place = 1")))
    assert not has_a_picture('"""Sums.\n\n    y = x\n') and has_a_picture("Sums.\n\n    x  ->  y\n")
