"""Extract the functions of the tasks from a student's file, and check the rules for them.

For each task whose function the file defines, we extract the BODY of this function, with the project's signature, and
the helpers in the same file that it uses, directly or indirectly:

    functions, classes and constants at module level that are not in the project's file
    functions that the edition removed from this file (`also_blank`)
    imports of numpy, math and the other modules in ALLOWED

We ignore the rest of a submission: other files, changes of other functions, decorators. What a function uses although
we do not take it is refused by name (not_taken.py). A function that breaks a rule gets no points, and the message names
the rule. The rules prevent accidents; the sandbox (worker.py) prevents cheating.

A body is the student's own work: it calls neither compiled or fused code (`kernels`, `ops/fused`), nor the function of
another task of its lesson, unless the task is made of it; and it uses no complex numbers, because a complex step gives
the derivative to all digits without a derivation. A kernel (`@jit`) is numbers, arrays and loops, as Numba takes them.
"""

import ast
import dataclasses
import warnings

from .cutting import FUNCTIONS, body_of, definitions, find, with_body
from .manifest import file_of, name_of
from .not_taken import first_not_taken, names_from_outside

ALLOWED = {"numpy", "math", "itertools", "functools", "collections", "operator", "typing", "dataclasses", "re",
           "string", "unicodedata", "heapq", "bisect", "fractions", "random", "copy", "numbers", "enum"}  # fmt: skip
NAMES = {"eval", "exec", "compile", "open", "input", "__import__", "globals", "locals", "vars", "breakpoint", "exit",
         "quit", "memoryview", "getattr", "setattr", "delattr", "__builtins__", "help"}  # fmt: skip
ATTRIBUTES = {"os", "sys", "ctypes", "ctypeslib", "subprocess", "builtins", "f2py", "distutils", "testing", "fromfile",
              "tofile", "memmap", "loadtxt", "savetxt", "genfromtxt", "DataSource", "savez", "savez_compressed",
              "f_back", "f_globals", "f_locals", "f_builtins", "f_code", "gi_frame", "cr_frame", "ag_frame",
              "tb_frame", "setflags", "modules", "dump"}  # fmt: skip
COMPLEX = {"complex", "complex64", "complex128", "complex256", "csingle", "cdouble", "clongdouble", "imag", "emath",
           "complexfloating"}  # fmt: skip
# Functions of kernels/ that solutions need; its constants are free.
HELPERS = {"rounds", "current_precision", "quads_of", "quads_from", "nr_of"}
MOST_BYTES = 1_000_000


# What a kernel has no use for, and Numba does not take, or only in part.
NOT_COMPILED = {
    ast.Dict: "a dict", ast.DictComp: "a dict", ast.Set: "a set", ast.SetComp: "a set", ast.JoinedStr: "a text",
    ast.With: "with", ast.Try: "try", ast.ClassDef: "a class", ast.Import: "an import", ast.ImportFrom: "an import",
    ast.Yield: "yield", ast.YieldFrom: "yield", ast.Global: "global", ast.Nonlocal: "nonlocal", ast.Starred: "*",
}  # fmt: skip
COLLECTIONS = {"dict", "set", "str", "frozenset", "print"}


class Refused(ValueError):
    """A function breaks a rule; the message is one line."""


@dataclasses.dataclass(frozen=True)
class Extracted:
    source: str
    helpers: str


def parse(data, shown):
    """bytes of a file -> its syntax tree. Refused if it is not valid Python."""
    if len(data) > MOST_BYTES:
        raise Refused(f"{shown}: found {len(data)} bytes, expected at most {MOST_BYTES}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as "\\d" in the student's strings
            return ast.parse(data)  # bytes, because a file may declare its encoding
    except SyntaxError as error:
        if not error.lineno:
            raise Refused(f"{shown}: cannot be read as Python ({error.msg})") from None
        line = f": {error.text.strip()[:80]}" if error.text and error.text.strip() else ""
        raise Refused(f"{shown}, line {error.lineno}: syntax error: {error.msg}{line}") from None
    except (UnicodeDecodeError, ValueError, RecursionError, MemoryError) as error:
        raise Refused(f"{shown}: cannot be read as Python ({type(error).__name__})") from None


def others_of(course, task):
    """{name of a function that the solution must not call: the task that asks for it}

    Other tasks of the lesson, unless this task needs them; and functions that would be the whole answer, with "".
    """
    same = [other for other in course.tasks if other.lesson == task.lesson and other.id != task.id]
    others = {
        name: other.id
        for other in same
        if task.id not in course.needed_by(other.id)
        for name in map(name_of, other.functions)
        if "." not in name
    }
    return others | {name_of(function): "" for function in task.not_by}


def extract_all(course, task, read, pristine, replaceable):
    """All functions of a task -> {function: Extracted}; Refused for the first that breaks a rule

    read(file) -> a new tree of the student's file, and its name; pristine, replaceable: as in `extract`, by file
    """
    found, others = {}, others_of(course, task)
    for function in task.functions:
        file = file_of(function)
        tree, shown = read(file)
        found[function] = extract(tree, shown, name_of(function), pristine[file], replaceable[file], others)
    return found


def install_all(worker, extracted):
    """Install what `extract_all` returned in a worker"""
    for function, taken in extracted.items():
        worker.install(function, taken.source, taken.helpers)


def replaceable_in(cuts, tasks):
    """{file: names that an edition removed and that no task asks for}; cuts: those of edition.py"""
    return {file: set(names) - {name for task in tasks for name in task.names_in(file)}
            for file, names in cuts.items() if names is not None}  # fmt: skip


def extract(tree, shown, name, pristine, replaceable=(), others=()):
    """The function `name` and its helpers -> Extracted

    tree: that of the student's file; pristine: the source of the project's file; replaceable: names in it that the
    edition removed, for which we take the student's; others: see others_of
    """
    own = ast.parse(pristine)
    signature, function = find(own, name), find(tree, name)
    if not isinstance(function, FUNCTIONS):
        raise Refused(f"{shown}: found no function {name}")
    lines = [str(each.lineno) for each in definitions(tree, name)]
    if len(lines) > 1:
        raise Refused(f"{shown}, lines {' and '.join(lines)}: found {name} {len(lines)} times, expected it once")
    if _arguments(function) != _arguments(signature):
        found, expected = (f"{name.rpartition('.')[2]}({', '.join(_arguments(f))})" for f in (function, signature))
        raise Refused(f"{shown}, line {function.lineno}: found {found}, expected {expected}")
    if isinstance(function, ast.AsyncFunctionDef):
        raise Refused(f"{shown}, line {function.lineno}: found async, expected a plain function")
    try:
        helpers = _helpers(tree, function, _bound(own) - set(replaceable))
        compiled = _compiled(own)
        outside = names_from_outside(function)
        for node in body_of(function):
            _check(node, shown, compiled, outside)
        for node in helpers:
            _check(node, shown, compiled, names_from_outside(node) if isinstance(node, FUNCTIONS) else None)
        if any(getattr(each, "id", "") == "jit" for each in signature.decorator_list):
            _check_kernel(name, [*body_of(function), *(node for node in helpers if isinstance(node, FUNCTIONS))], shown)
        _check_calls(function, helpers, shown, dict(others))
        bound = (_bound(own) - set(replaceable)).union(*map(names_bound_by, helpers))
        if found := first_not_taken(tree, own, function, helpers, bound | {function.name}):
            raise Refused(f"{shown}, line {found[0]}: {found[1]}")
        function.body = body_of(function) or [ast.Pass()]
        return Extracted(with_body(signature, function), "\n".join(ast.unparse(node) for node in helpers))
    except RecursionError:
        raise Refused(f"{shown}: {name} is nested too deeply to be read") from None


def _arguments(function):
    args = function.args
    names = [arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
    return [*names, *(f"*{a.arg}" for a in [args.vararg] if a), *(f"**{a.arg}" for a in [args.kwarg] if a)]


def names_bound_by(node):
    """The names that one module-level statement binds."""
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        return [node.target.id]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    return []


def _bound(tree):
    return {name for node in tree.body for name in names_bound_by(node)}


def _helpers(tree, function, taken):
    """The statements of the student's file that `function` needs and that are not in the project's file, in order."""
    offered = {name: node for node in tree.body for name in names_bound_by(node) if name not in taken}
    offered.pop(function.name, None)
    wanted, queue = [], [function]
    while queue:
        for node in ast.walk(queue.pop()):
            helper = offered.get(node.id) if isinstance(node, ast.Name) else None
            if helper is not None and helper not in wanted:
                wanted.append(helper)
                queue.append(helper)
    return [_without_twin(node) for node in tree.body if node in wanted]


def _without_twin(helper):
    """A helper without the decorator that names its compiled twin: what is graded is its body in NumPy"""
    if isinstance(helper, FUNCTIONS):
        helper.decorator_list = [
            each for each in helper.decorator_list
            if not (isinstance(each, ast.Call) and getattr(each.func, "id", "") == "accelerated_by")
        ]  # fmt: skip
    return helper


def _compiled(tree):
    """The names by which a file of the project knows compiled code"""
    return {alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom)
            for alias in node.names if _is_compiled(node, alias)}  # fmt: skip


def _is_compiled(node, alias):
    """True if this import is of code in kernels/ or ops/fused/; constants and a few helpers are free"""
    parts = {*(node.module or "").split("."), alias.name}
    return bool(parts & {"kernels", "fused"}) and alias.name not in HELPERS and not alias.name.isupper()


def _check_calls(function, helpers, shown, others):
    """Refused for a function that is in `others`: for a call of it, its name, or an import of it."""
    for tree in (function, *helpers):
        nodes = list(ast.walk(tree))
        bound = {node.arg for node in nodes if isinstance(node, ast.arg)}
        bound |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        bound |= {node.name for node in nodes if isinstance(node, FUNCTIONS)} - {function.name}
        for node in nodes:
            called = getattr(node, "func", None)
            names = {getattr(called, "attr", _literal_attribute(called))}
            if isinstance(node, ast.Name) and node.id not in bound:
                names = {node.id}  # also where it only gets another name
            if isinstance(node, ast.ImportFrom):
                names = {alias.name for alias in node.names}
            for name in sorted(names & others.keys()):
                why = f"task {others[name]} asks for" if others[name] else "would be the whole answer"
                text = f"found {name}, which {why}: write this one by itself"
                raise Refused(f"{shown}, line {node.lineno}: {text}")


def _check(tree, shown, compiled=(), outside=None):
    """Refused for the first forbidden import, name or attribute. outside: the names that are not local (None: all)"""
    plain = [node for node in ast.walk(tree) if _literal_attribute(node)]  # getattr(x, "y", default): as x.y
    functions = [node.func for node in plain]
    written_out = [ast.copy_location(ast.Attribute(node.args[0], _literal_attribute(node)), node) for node in plain]
    for node in [*(node for node in ast.walk(tree) if node not in functions), *written_out]:
        found = None
        name = node.id if isinstance(node, ast.Name) and (outside is None or node.id in outside) else ""
        if name in compiled or (
            isinstance(node, ast.ImportFrom) and any(_is_compiled(node, alias) for alias in node.names)
        ) or (isinstance(node, ast.Attribute) and node.attr in ("kernel", "kernels", "fused")):  # fmt: skip
            text = "found compiled code (kernels, ops/fused): write the function in NumPy"
            raise Refused(f"{shown}, line {node.lineno}: {text}")
        complex_number = isinstance(node, ast.Constant) and isinstance(node.value, complex)
        named = getattr(node, "id", getattr(node, "attr", "")) if isinstance(node, (ast.Name, ast.Attribute)) else ""
        if complex_number or named in COMPLEX:
            text = "found complex numbers: a complex step gives a derivative without deriving it"
            raise Refused(f"{shown}, line {node.lineno}: {text}")
        if isinstance(node, ast.Import):
            found = next((alias.name for alias in node.names if alias.name.partition(".")[0] not in ALLOWED), None)
            found = found and f"import {found}"
        elif isinstance(node, ast.ImportFrom):
            root = (node.module or "").partition(".")[0]
            inside = node.level > 0 or root == "minimobilebert"
            if inside and any(word in f"{node.module}." for word in ("course.", "gradcheck")):
                found = f"import of {node.module}"
            elif not inside and root not in ALLOWED:
                found = f"import of {node.module}"
            elif any(alias.name in ATTRIBUTES for alias in node.names):
                found = f"import of {node.names[0].name}"
        elif name in NAMES or (isinstance(node, ast.Name) and _is_dunder(node.id)):
            found = node.id
        elif isinstance(node, ast.Attribute) and (node.attr in ATTRIBUTES or _is_dunder(node.attr)):
            found = f".{node.attr}"
        if found:
            line = getattr(node, "lineno", "?")
            hint = "; getattr needs a name in quotes, without _ in front" if found == "getattr" else ""
            raise Refused(f"{shown}, line {line}: found {found}, which no task has a use for: README.md{hint}")


def _check_kernel(name, nodes, shown):
    """Refused for what Numba does not compile. Python runs it, so that properties would pass."""
    for node in (each for tree in nodes for each in ast.walk(tree)):
        found = NOT_COMPILED.get(type(node))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in COLLECTIONS:
            found = f"{node.func.id}()"
        if isinstance(node, ast.keyword) and node.arg is None:
            found = "**"
        if found:
            line = getattr(node, "lineno", "?")
            text = f"found {found}, but {name} is compiled: expected numbers, arrays and loops, as Numba takes them"
            raise Refused(f"{shown}, line {line}: {text}")


def _literal_attribute(node):
    """The name in `getattr(x, "name")` or `getattr(x, "name", default)`: a public one that is written out, else "" """
    if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "getattr" or node.keywords:
        return ""
    name = node.args[1].value if 2 <= len(node.args) <= 3 and isinstance(node.args[1], ast.Constant) else ""
    return name if isinstance(name, str) and name.isidentifier() and not name.startswith("_") else ""


def _is_dunder(name):
    return name.startswith("__") and name.endswith("__") and name not in ("__init__", "__name__", "__doc__")
