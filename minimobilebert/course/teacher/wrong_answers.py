"""Plausible wrong answers, each with words that its message should contain.

    for wrong in wrong_answers(course, tasks): ...      WrongAnswer(task, name, source, says)

We make them from the solutions, one edit each: a factor or a term left out, a sign, a sum for an average, another axis,
a missing transpose, the upstream gradient used twice or not at all, one cache entry for another, results in another
order, an input changed in place. The rule that makes an edit knows the mistake, so it also knows what a good message
says about it: the name of the missing input, "sign", "average". `diagnoses.py` compares this with what students read.
"""

import ast
import copy
import dataclasses
import itertools
import re

from ..shared.cutting import FUNCTIONS, body_of, find
from ..shared.manifest import name_of
from .mutants import solutions_of
from .reported_answers import sources_of

# Lessons whose tasks are arithmetic on arrays. Elsewhere (texts, graphs, packing) other kinds of mistakes are made.
LESSONS = ("00", "01", "02", "03", "04", "05", "06", "07", "10", "11", "12", "13", "14", "19")
NOT_ARITHMETIC = {"01.1", "01.2", "10.2", "10.3", "13.1"}
MOST = 4  # wrong answers of one rule for one task
NO_ARRAYS = {"eps", "cache.eps", "mask", "num_heads", "name", "config", "cache.has_bias", "dtype", "labels", "i",
             "factor", "learning_rate", "multipliers", "params", "gradients", "layer", "keep_scores",
             "pattern_factor", "level_factor", "size_factor", "cache.factors", "cache.normalization"}  # fmt: skip
REORDERING = {"reshape", "transpose", "astype", "copy", "swapaxes"}
SCALES = re.compile(r"sqrt|len\(|features|count|num_layers|heads|rate|shape|\b\d")


@dataclasses.dataclass(frozen=True)
class WrongAnswer:
    task: str
    rule: str
    name: str
    source: str  # a whole file
    says: str  # a regular expression: what a right diagnosis says


class Function:
    """The solution of one task, and the inputs that its expressions are."""

    def __init__(self, text, name):
        self.text, self.node = text, find(ast.parse(text), name)
        self.starts = list(itertools.accumulate((len(line) for line in text.encode().splitlines(True)), initial=0))
        self.arguments = [argument.arg for argument in self.node.args.args if argument.arg != "self"]
        self.upstream = self.arguments[0] if re.match(r"d[a-z]", self.arguments[0]) else None
        if self.upstream == "difference":
            self.upstream = None
        self.nodes = [node for statement in body_of(self.node) for node in ast.walk(statement)]
        self.aliases = {}
        for node in self.nodes:
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                self._remember(node.targets[0], node.value)

    def _remember(self, target, value):
        if isinstance(target, ast.Tuple):
            if isinstance(value, ast.Tuple):
                for part, other in zip(target.elts, value.elts, strict=False):
                    self._remember(part, other)
            elif isinstance(value, ast.Name) and value.id == "cache":
                self.aliases.update({part.id: f"cache.{part.id}" for part in target.elts if isinstance(part, ast.Name)})
        elif isinstance(target, ast.Name) and target.id not in self.arguments and (input_name := self.input_of(value)):
            self.aliases[target.id] = input_name

    def input_of(self, node):
        """The input that an expression is, except for its layout: "dy", "cache.x"; None for other expressions"""
        if isinstance(node, ast.Name):
            return node.id if node.id in self.arguments and node.id != "cache" else self.aliases.get(node.id)
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == "cache":
                return f"cache.{node.attr}"
            return self.input_of(node.value) if node.attr == "T" else None
        if isinstance(node, ast.Subscript):
            return self.input_of(node.value)
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr in REORDERING:
                value = node.func.value
                if isinstance(value, ast.Name) and value.id == "np":
                    value = node.args[0]
                return self.input_of(value)
            if isinstance(node.func, ast.Name) and node.func.id in ("split", "float") and len(node.args) == 1:
                return self.input_of(node.args[0])
        return None

    def words_for(self, name):
        """A regular expression for an input in a message"""
        if name == self.upstream:
            return rf"upstream|\b{name}\b"
        if name == "cache.length":
            return r"\blength\b|\blong: divided"
        if name == "eps":
            return r"\beps\b|0/0"
        return rf"\b{name.removeprefix('cache.')}\b"

    def edited(self, changes):
        """The source of the file with [(node, new node or statements)] replaced, of nodes that do not overlap"""
        text = self.text.encode()
        for node, new in sorted(changes, key=lambda change: (change[0].lineno, change[0].col_offset), reverse=True):
            if isinstance(new, list):
                lines = "\n".join(ast.unparse(ast.fix_missing_locations(each)) for each in new).splitlines()
                inserted = f"\n{' ' * node.col_offset}".join(lines)
            else:
                inserted = f"({ast.unparse(new)})"
            start, end = (self.starts[line - 1] + column for line, column in
                          ((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)))  # fmt: skip
            text = text[:start] + inserted.encode() + text[end:]
        return text.decode()


def parse(text):
    return ast.parse(text, mode="eval").body


def _short(node):
    text = ast.unparse(node)
    return text if len(text) <= 40 else f"{text[:37]}..."


# --- the rules: each yields (name, what a right diagnosis says, the edit)


def missing_factor(f):
    for node in f.nodes:
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, (ast.Mult, ast.Div)):
            continue
        sides = [(node.right, node.left)] if isinstance(node.op, ast.Div) else [
            (node.right, node.left), (node.left, node.right)]  # fmt: skip
        for gone, kept in sides:
            name = f.input_of(gone)
            if name:
                yield f"without the factor {_short(gone)}", f.words_for(name), [(node, kept)]
            elif ".sum(" in ast.unparse(gone) and isinstance(node.op, ast.Div):
                yield f"without the factor {_short(gone)}", r"\bsum", [(node, kept)]
            elif isinstance(gone, ast.Constant) or (isinstance(node.op, ast.Div) and SCALES.search(ast.unparse(gone))):
                yield f"without the factor {_short(gone)}", "factor|square root|scale", [(node, kept)]


def factor_twice(f):
    for node in f.nodes:
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div)):
            name = f.input_of(node.right)
            if name and name != f.upstream:
                twice = ast.BinOp(node, node.op, node.right)
                yield f"the factor {_short(node.right)} twice", f.words_for(name), [(node, twice)]


def missing_term(f):
    for node in f.nodes:
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, (ast.Add, ast.Sub)):
            continue
        for gone, kept in ((node.right, node.left), (node.left, node.right)):
            if gone is node.left and isinstance(node.op, ast.Sub):
                kept = ast.UnaryOp(ast.USub(), kept)
            name, text = f.input_of(gone), ast.unparse(gone)
            if name in NO_ARRAYS or ".max(" in text:
                continue
            if name:
                yield f"without the term {_short(gone)}", f"{f.words_for(name)}|nothing else", [(node, kept)]
            elif re.search(r"\.(sum|mean)\(|through|along|mean_", text):
                inside = {f.input_of(n) for n in ast.walk(gone) if isinstance(n, (ast.Name, ast.Attribute))} - {None}
                words = r"\bsum|averag|mean|a term is missing|left out|nothing else"
                says = "|".join([words, *map(f.words_for, sorted(inside))])
                yield f"without the term {_short(gone)}", says, [(node, kept)]


def other_sign(f):
    for node in f.nodes:
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
            name = f.input_of(node.right)
            if name in NO_ARRAYS or ".max(" in ast.unparse(node.right) or isinstance(node.right, ast.Constant):
                continue
            op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            says = "sign|subtracted|added|wrong way|turns away" + (f"|{f.words_for(name)}" if name else "")
            yield f"{_short(node.right)} with the other sign", says, [(node, ast.BinOp(node.left, op, node.right))]
    for node in f.nodes:
        negated = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
        if negated and not isinstance(node.operand, ast.Constant):
            yield f"without the sign of {_short(node.operand)}", "sign|wrong way|turns away", [(node, node.operand)]


def sum_or_average(f):
    for node in f.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("sum", "mean"):
            other = "mean" if node.func.attr == "sum" else "sum"
            new = copy.deepcopy(node)
            new.func.attr = other
            new.keywords = [k for k in new.keywords if k.arg != "dtype"]
            yield f"{other} for {_short(node)}", r"\bsum\b|averag|mean", [(node, new)]


def other_axis(f):
    for node in f.nodes:
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") != "max":  # it only guards against an overflow
            for keyword in node.keywords:
                if keyword.arg == "axis" and isinstance(keyword.value, ast.UnaryOp):
                    new = copy.deepcopy(node)
                    next(k for k in new.keywords if k.arg == "axis").value = parse("0")
                    yield f"axis 0 in {_short(node)}", "axis|axes", [(node, new)]
                elif keyword.arg == "axis":
                    new = copy.deepcopy(node)
                    next(k for k in new.keywords if k.arg == "axis").value = parse("-1")
                    yield f"axis -1 in {_short(node)}", "axis|axes", [(node, new)]


def missing_transpose(f):
    for node in f.nodes:
        kept = None
        if isinstance(node, ast.Attribute) and node.attr == "T":
            kept = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("transpose", "swapaxes"):
                value = node.func.value
                kept = node.args[0] if isinstance(value, ast.Name) and value.id == "np" else value
        if kept is not None:
            yield f"without the transpose of {_short(kept)}", "transpose|axes|order not undone|column", [(node, kept)]


def _uses(f, name):
    shape_only = {id(n.value) for n in f.nodes if isinstance(n, ast.Attribute) and n.attr in ("shape", "ndim", "dtype")}
    return [n for n in f.nodes if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)
            and id(n) not in shape_only]  # fmt: skip


def upstream_twice(f):
    if f.upstream:
        square = parse(f"({f.upstream} * {f.upstream})")
        changes = [(node, square) for node in _uses(f, f.upstream)]
        yield "the upstream gradient squared", "twice|square|upstream.*too often", changes


def no_upstream(f):
    if f.upstream:
        ones = parse(f"(0.0 * {f.upstream} + 1.0)")
        yield "the upstream gradient ignored", "upstream", [(n, ones) for n in _uses(f, f.upstream)]


def another_entry(f):
    """One input in place of another one"""
    names = {}
    sizes = {id(n.value) for n in f.nodes if isinstance(n, ast.Attribute) and n.attr in ("shape", "ndim", "dtype")}
    for node in f.nodes:
        if id(node) in sizes or not isinstance(getattr(node, "ctx", None), ast.Load):
            continue
        name = f.input_of(node)
        is_entry = isinstance(node, ast.Attribute) and name and name.startswith("cache.")
        if (is_entry or (isinstance(node, ast.Name) and name in f.arguments)) and name not in NO_ARRAYS:
            names.setdefault(name, node)
    for name, node in names.items():
        for other, source in names.items():
            if other != name and other != f.upstream and name != f.upstream:
                says = rf"(?:{f.words_for(name)}|{f.words_for(other)})"
                yield f"{other} for {name}", says, [(node, source)]


def _results(f):
    """(return statement, list of its parts that are gradients or results)"""
    for node in f.nodes:
        if isinstance(node, ast.Return) and node.value is not None:
            owner = next(n for n in ast.walk(f.node) if n is node)
            inner = [n for n in f.nodes if isinstance(n, FUNCTIONS) and owner in list(ast.walk(n))]
            if not inner:
                yield node, node.value


CHANGES = {
    "zeros": ("0.0 * ({})", "zero|0 where|no gradient"),
    "doubled": ("2.0 * ({})", "factor 2|twice"),
    "halved": ("0.5 * ({})", r"factor 0\.5|half"),
    "negated": ("-({})", "sign|wrong way|turns away"),
    "in float32": ("np.asarray({}).astype(np.float32)", "float32"),
    "rows reversed": ("({})[::-1]", "order|wrong places|reversed"),
}


def changed_result(f):
    """The result, or one of several gradients, changed at the end"""
    for _, value in _results(f):
        parts = value.elts if isinstance(value, ast.Tuple) else [value]
        if f.upstream is None:
            parts = parts[:1]
        for part in parts[-1:] if len(parts) > 1 else parts:
            if isinstance(part, (ast.Constant, ast.Call)) and isinstance(getattr(part, "func", None), ast.Name):
                continue
            for what, (template, says) in CHANGES.items():
                yield f"{_short(part)} {what}", says, [(part, parse(template.format(ast.unparse(part))))]


def swapped_results(f):
    for _, value in _results(f):
        if f.upstream and isinstance(value, ast.Tuple):
            for i in range(len(value.elts) - 1):
                new = copy.deepcopy(value)
                new.elts[i], new.elts[i + 1] = new.elts[i + 1], new.elts[i]
                yield f"results {i} and {i + 1} swapped", "order|gradient of|expected None", [(value, new)]


def combined_with_input(f):
    """The result times, over, plus or minus an input"""
    inputs = []
    for node in f.nodes:
        if isinstance(node, (ast.Attribute, ast.Name)) and isinstance(node.ctx, ast.Load):
            name = f.input_of(node)
            if name and name not in NO_ARRAYS and name not in [n for n, _ in inputs]:
                inputs.append((name, node))
    for _, value in _results(f):
        parts = value.elts if isinstance(value, ast.Tuple) else [value]
        part = parts[0]
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) or ast.unparse(part) == "loss":
            continue  # a number
        for i, (name, node) in enumerate(inputs):
            op, word = [("*", "times"), ("+", "plus"), ("/", "over"), ("-", "minus")][i % 4]
            new = parse(f"({ast.unparse(part)}) {op} {ast.unparse(node)}")
            yield f"{_short(part)} {word} {name}", f.words_for(name), [(part, new)]


def in_place(f):
    """An input changed before the work, or after it"""
    names = []
    for node in f.nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "cache":
            names.append(f"cache.{node.attr}")
        elif isinstance(node, ast.Name) and node.id in f.arguments and node.id != "cache":
            names.append(node.id)
    first = body_of(f.node)[0]
    for i, name in enumerate(dict.fromkeys(names)):
        line = ast.parse(f"if isinstance({name}, np.ndarray) and {name}.dtype.kind == 'f': {name}[...] *= 0.5").body[0]
        words = rf"{re.escape(name)}\S* was changed|changed in place"
        if i % 2:
            yield f"{name} halved in place first", words, [(first, [line, first])]
        for statement, value in _results(f) if i % 2 == 0 else ():
            before = ast.Assign([ast.Name("result_", ast.Store())], value)
            yield f"{name} halved in place last", words, [
                (statement, [before, line, ast.Return(ast.Name("result_", ast.Load()))])]  # fmt: skip


RULES = (
    missing_factor, factor_twice, missing_term, other_sign, sum_or_average, other_axis, missing_transpose,
    upstream_twice, no_upstream, another_entry, changed_result, swapped_results, combined_with_input, in_place,
)  # fmt: skip


def wrong_answers(course, tasks):
    """-> list of WrongAnswer, in the order of the tasks"""
    found = []
    for lesson in course.lessons:
        chosen = [task for task in lesson.tasks if task in tasks and lesson.number in LESSONS]
        for task in chosen:
            if task.id not in NOT_ARITHMETIC:
                found += _of_task(task, solutions_of(course, lesson))
    for task in tasks:
        found += [WrongAnswer(task.id, "reported by readers", name, source, says)
                  for name, source, says, _ in sources_of(course, task)]  # fmt: skip
    return found


def _functions(task, text):
    return [Function(text, name_of(each)) for each in task.functions]


def _of_task(task, text):
    if "import numpy as np" not in text:
        first = ast.parse(text).body[0].end_lineno  # of the docstring
        lines = text.splitlines(True)
        text = "".join([*lines[:first], "import numpy as np\n", *lines[first:]])
    sources = {text}
    for rule, function in ((rule, function) for function in _functions(task, text) for rule in RULES):
        count = 0
        for name, says, changes in rule(function):
            source = function.edited(changes) if count < MOST else text
            if source not in sources:
                sources.add(source)
                count += 1
                yield WrongAnswer(task.id, rule.__name__, name, source, says)
