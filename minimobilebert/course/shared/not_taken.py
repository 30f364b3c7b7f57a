"""What a student's function uses of its file although nobody takes it along: `check` and `grade` refuse it alike.

extraction.py takes functions, classes, imports and plain assignments (`NAME = value`). A function runs in the file in
which it is checked, and so could use more of it than what is graded:

    names bound in another way at module level: `A, B = 1, 2`, in a loop, in `try`, in `if`, by `import *`, by `global`
    values changed at module level after their assignment: `TABLE[0] = 1`, `TABLE.append(1)`, `N += 1`
    members that the student added to a class of the project's file, also in its `__init__`

Statements that the project's file has too are the project's, and what is behind `if __name__ == "__main__"` does not
run in an import.
"""

import ast
import builtins
import pathlib
import symtable

from .cutting import FUNCTIONS

WANTED = "write `NAME = value`, a function, a class or an import at the left margin"


def names_from_outside(node):
    """The names that a function or class, or what is inside of it, does not bind itself: a variable may be `input`"""
    tables, found = [symtable.symtable(ast.unparse(node), "", "exec")], set()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        symbols = table.get_symbols()
        found |= {each.get_name() for each in symbols if each.is_global() or table.get_type() == "module"}
    return found


def _bare(function):
    """A function without what the project's signature replaces: annotations, defaults, decorators"""
    parts = [ast.arg(arg.arg) for arg in ast.walk(function.args) if isinstance(arg, ast.arg)]
    arguments = ast.arguments(posonlyargs=[], args=parts, kwonlyargs=[], kw_defaults=[], defaults=[])
    bare = ast.FunctionDef(function.name, arguments, function.body, [])
    return ast.fix_missing_locations(ast.copy_location(bare, function))


def _is_main(node):
    test = getattr(node, "test", None)
    return isinstance(node, ast.If) and isinstance(test, ast.Compare) and getattr(test.left, "id", "") == "__name__"


def _statements(tree, own):
    """The student's statements at module level that are not the project's, without functions, classes and imports"""
    known = {ast.dump(node) for node in own.body}
    plain = (*FUNCTIONS, ast.ClassDef, ast.Import)
    return [node for node in tree.body
            if not isinstance(node, plain) and not _is_main(node) and ast.dump(node) not in known]  # fmt: skip


def _root(node):
    """The name at the start of `name.a[0].b`, or "" """
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _changed(statement, helpers):
    """Yields the names that a statement at module level changes: by a part, or by a method of one of `helpers`"""
    for node in ast.walk(statement):
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
            yield _root(node)
        elif isinstance(node, ast.AugAssign):
            yield _root(node.target)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _root(node.func) in helpers:
            yield _root(node.func)


def _bound_by(statement):
    """The names that a statement at module level binds, in whatever way; "*" for `import *`"""
    found = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    found |= {node.name for node in ast.walk(statement) if isinstance(node, (*FUNCTIONS, ast.ClassDef))}
    found |= {node.name for node in ast.walk(statement) if isinstance(node, ast.ExceptHandler) and node.name}
    aliases = [a for node in ast.walk(statement) if isinstance(node, (ast.Import, ast.ImportFrom)) for a in node.names]
    return found | {(alias.asname or alias.name).partition(".")[0] for alias in aliases}


def _globals_of(tree):
    """{name: the first line where a function declares it global}"""
    found = {}
    for node in ast.walk(tree):
        for name in node.names if isinstance(node, ast.Global) else ():
            found.setdefault(name, node.lineno)
    return found


def _members(node):
    """{name of a member of a class: its line}: methods, values, and what `__init__` stores in self"""
    found = {}
    for member in node.body:
        names = {member.name} if isinstance(member, (*FUNCTIONS, ast.ClassDef)) else _bound_by(member)
        found |= dict.fromkeys(names, member.lineno)
        if isinstance(member, FUNCTIONS) and member.name == "__init__":
            found |= {each.attr: each.lineno for each in ast.walk(member)
                      if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store)}  # fmt: skip
    return found


def _added_members(tree, own):
    """{name of a member that the student's file adds to one of the project's classes: its line}"""
    classes = {node.name: _members(node) for node in own.body if isinstance(node, ast.ClassDef)}
    added = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name in classes:
            known = classes[node.name]
            added |= {name: line for name, line in _members(node).items() if name not in known}
    return added


def own_module(text, file, root, modules):
    """The first file of the student's own that `text`, taken from `file`, imports -> its path, or None

    root: of the edition; modules: the paths of all files that it had
    """
    package = pathlib.PurePosixPath(file).parent.parts
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = (*above, *(node.module or "").split("."))
            for found in (module, *((*module, alias.name) for alias in node.names)):
                path = "/".join(part for part in found if part)
                for each in (f"{path}.py", f"{path}/__init__.py"):
                    if each not in modules and (root / each).exists():
                        return each
    return None


def first_not_taken(tree, own, function, helpers, bound):
    """-> line, text about the first thing that `function` or its helpers use and nobody takes; or None

    tree, own: those of the student's file and of the project's; helpers: the statements that are taken
    bound: {name: True} of the project's module level and the helpers
    """
    used = names_from_outside(_bare(function)).union(*map(names_from_outside, helpers))
    missing = used - bound - set(dir(builtins))
    taken = {name for node in helpers for name in _bound_by(node)}
    for statement in _statements(tree, own):
        names = _bound_by(statement)
        lost = sorted(missing & names) or (sorted(missing) if "*" in names else [])
        if lost:
            return statement.lineno, f"found {lost[0]}, which is not taken along from this statement: {WANTED}"
        changed = used.intersection(_changed(statement, taken)) if statement not in helpers else ()
        if changed:
            return statement.lineno, f"found a change of {min(changed)} outside of functions, which is not taken along"
    declared = _globals_of(tree)
    if lost := sorted(missing & set(declared)):
        return declared[lost[0]], f"found global {lost[0]}, which is not taken along: {WANTED}"
    added = _added_members(tree, own)
    for node in (each for part in (*function.body, *helpers) for each in ast.walk(part)):
        if isinstance(node, ast.Attribute) and node.attr in added:
            line = added[node.attr]
            return line, f"found {node.attr}, added to a class of this file, which is not taken along: use a function"
    return None
