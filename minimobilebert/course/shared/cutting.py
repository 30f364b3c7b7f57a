"""Edit functions in source text with the help of the syntax tree, for student editions and submissions.

    blank(source, {"linear_forward": "task 02.1 ..."})     the body becomes `raise NotImplementedError("task 02.1 ...")`
    defines(source, "AdamW.step")                          True if there is such a function

Signature, docstring and the rest of the file do not change.
"""

import ast
import functools
import re

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def find(tree, name):
    """The definition of `name` ("f" or "Class.method") in a module's tree, or None."""
    node = tree
    for part in name.split("."):
        node = next(
            (child for child in node.body if isinstance(child, (*FUNCTIONS, ast.ClassDef)) and child.name == part), None
        )
        if node is None:
            return None
    return node


def definitions(tree, name):
    """All definitions of `name`, of which Python takes the last and `find` the first"""
    above, _, last = name.rpartition(".")
    inside = find(tree, above) if above else tree
    return [child for child in inside.body if isinstance(child, FUNCTIONS) and child.name == last]


@functools.lru_cache(maxsize=256)  # a course has many functions per file
def _tree(source):
    return ast.parse(source)


def defines(source, name):
    """True if `source` defines a function of this name."""
    try:
        return isinstance(find(_tree(source), name), FUNCTIONS)
    except SyntaxError:
        return False


def body_of(function):
    """The statements of a function without its docstring."""
    return function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body


def blank(source, messages):
    """`source` with the bodies of some functions replaced by a NotImplementedError.

    We also remove the decorator `@accelerated_by`, so that the student's function runs and not the compiled one.
    messages: {name: text of the NotImplementedError}. ValueError for a name that is not defined.
    """
    lines, tree = source.splitlines(keepends=True), ast.parse(source)
    cuts = []
    for name, message in messages.items():
        function = find(tree, name)
        if not isinstance(function, FUNCTIONS):
            raise ValueError(f"{name}: found no such function, expected one")
        for decorator in function.decorator_list:
            if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "accelerated_by":
                cuts.append((decorator.lineno - 1, None, decorator.end_lineno, ""))
        body = body_of(function)
        statement = f"raise NotImplementedError({message!r})"
        if not body:  # a docstring alone
            last = function.body[0]
            cuts.append((last.end_lineno, None, last.end_lineno, f"{' ' * last.col_offset}{statement}\n"))
        elif body[0].lineno == function.body[0].lineno == function.lineno:  # def f(x): return x
            cuts.append((body[0].lineno - 1, body[0].col_offset, body[-1].end_lineno, f"{statement}\n"))
        else:
            # Comments before the first statement are removed too, because they explain the solution.
            first = min([body[0].lineno, *(d.lineno for d in getattr(body[0], "decorator_list", ()))])
            start = function.body[0].end_lineno if len(body) < len(function.body) else first - 1
            cuts.append((start, None, body[-1].end_lineno, f"{' ' * body[0].col_offset}{statement}\n"))
    for start, column, end, text in sorted(cuts, reverse=True, key=lambda cut: cut[0]):
        kept = lines[start][:column] if column is not None else ""
        lines[start:end] = [kept + text]
    return "".join(lines)


def with_body(signature, function):
    """The source of a function with the signature of one tree and the body of another."""
    new = ast.FunctionDef(
        name=signature.name, args=signature.args, body=function.body, decorator_list=[], returns=None, type_comment=None
    )
    for argument in ast.walk(new.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    if "type_params" in ast.FunctionDef._fields:
        new.type_params = []
    return ast.unparse(ast.fix_missing_locations(new))


# "dx = ...", "dW[i] += ...": a gradient and its formula. "dr/dx_j = ...": a derivative in a sentence, up to its end.
_GRADIENT = re.compile(r"(?<![\w/])d[A-Za-z]\w*(?:\[[^\]]*\])?\s*\+?=(?!=)")
_DERIVATIVE = re.compile(r"(d\w+/d\w+) = [^.]+\.(?=\s)")


def hide_backward(source, note):
    """`source` with its module docstring without formulas of gradients: the forward, shapes and step numbers stay.

    note: a sentence at the end of the docstring, if anything was hidden
    """
    tree = ast.parse(source)
    if ast.get_docstring(tree, clean=False) is None:
        return source
    lines, node = source.splitlines(keepends=True), tree.body[0]
    text = "".join(lines[node.lineno - 1 : node.end_lineno])
    hidden = "".join(_without_gradients(line) for line in text.splitlines(keepends=True))
    hidden = _DERIVATIVE.sub(r"\1 = ... .", hidden)
    if hidden == text:
        return source
    body = hidden.rstrip().removesuffix('"""').rstrip("\n")
    return "".join([*lines[: node.lineno - 1], f'{body}\n\n{note}\n"""\n', *lines[node.end_lineno :]])


def _without_gradients(line):
    """An indented line with "dx = ..." for each gradient that it gives; what follows the first one is left out"""
    first = _GRADIENT.search(line) if line.startswith("    ") else None
    if first is None:
        return line
    names = [" ".join(match.group().split()) for match in _GRADIENT.finditer(line)]
    return f"{line[: first.start()]}{'        '.join(f'{name} ...' for name in names)}\n"
