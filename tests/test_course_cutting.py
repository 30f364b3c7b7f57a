"""Functions cut out of source texts: what goes, what stays, and what is taken out of a submission."""

import ast
import re

import pytest

from minimobilebert.course.shared.cutting import blank, defines, hide_backward
from minimobilebert.course.shared.extraction import Refused, extract, others_of, parse

SOURCE = '''"""Module."""
import numpy as np

SCALE = 2.0


def plain(x, y=1):
    """What it does.

    More.
    """
    # the secret is a sum
    z = x + y  # really

    return z


def one_line(x): return x * SCALE


def only_words(x):
    """Nothing else."""


class Thing:
    """A thing."""

    @staticmethod
    def method(a, *, b=(1, 2)):
        return a, \\
            b

    def other(self):
        return self


def last(x):
    if x:
        return "\\N{BULLET} é"
    return [
        x,
    ]
'''


def test_bodies_go_and_the_rest_stays_as_it_is():
    text = blank(SOURCE, {"plain": "A", "one_line": "B", "only_words": "C", "Thing.method": "D", "last": "E"})
    for gone in ("secret", "z = x", "x * SCALE", "return a", "return [", "BULLET"):
        assert gone not in text
    for kept in ('"""Module."""', "More.", "def plain(x, y=1):", "SCALE = 2.0", "@staticmethod", "return self"):
        assert kept in text
    scope = {}
    exec(text, scope)
    for call, message in ((lambda: scope["plain"](1), "A"), (lambda: scope["one_line"](1), "B"),
                          (lambda: scope["only_words"](1), "C"), (lambda: scope["Thing"].method(1), "D"),
                          (lambda: scope["last"](1), "E")):  # fmt: skip
        with pytest.raises(NotImplementedError, match=f"^{message}$"):
            call()
    assert scope["plain"].__doc__.startswith("What it does.") and scope["Thing"]().other() is not None


def test_cutting_one_leaves_every_other_line():
    text = blank(SOURCE, {"plain": "A"})
    before, after = SOURCE.splitlines(), text.splitlines()
    assert before[:11] == after[:11] and after[11:13] == ["    raise NotImplementedError('A')", ""]
    assert before[before.index("def one_line(x): return x * SCALE") :] == after[after.index(before[17]) :]


def test_every_function_of_the_package_can_be_cut():
    from minimobilebert.course.shared.manifest import ROOT

    for path in sorted((ROOT / "minimobilebert").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        names = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
        cut = ast.parse(blank(source, dict.fromkeys(names, "gone")))
        for node in cut.body:
            if isinstance(node, ast.FunctionDef):
                assert ast.unparse(node.body[-1]) == "raise NotImplementedError('gone')", f"{path}: {node.name}"


def test_an_unknown_name_is_named():
    with pytest.raises(ValueError, match="nothing: found no such function"):
        blank(SOURCE, {"nothing": ""})
    assert defines(SOURCE, "Thing.method") and not defines(SOURCE, "Thing") and not defines("def f(:", "f")


PRISTINE = '''import numpy as np
from .rows import as_rows

LIMIT = 3.0


def given(x):
    raise NotImplementedError("task 01.1 asks for this: it is left out of a student edition")


def asked(x, y=LIMIT, *, z=None):
    """Asked for."""
    raise NotImplementedError("task 01.1")
'''


def taken(text, replaceable=()):
    return extract(parse(text.encode(), "s.py"), "s.py", "asked", PRISTINE, replaceable)


def test_only_the_body_and_what_it_uses_is_taken():
    found = taken('''
import numpy as np
import math
from itertools import chain as joined
import torch
LIMIT = 99.0
SMALL = 1e-3
UNUSED = 1

def helper(x):
    return math.sqrt(x) + SMALL

def unused():
    return 1

def given(x):
    return "changed"

@staticmethod
def asked(x: float, y=7, *, z="evil") -> int:
    """My own words."""
    return helper(x) + given(y) + LIMIT, list(joined([z]))
''')
    assert found.source == (
        "def asked(x, y=LIMIT, *, z=None):\n    return (helper(x) + given(y) + LIMIT, list(joined([z])))"
    )
    assert found.helpers == (
        "import math\nfrom itertools import chain as joined\nSMALL = 0.001\ndef helper(x):\n    return math.sqrt(x) + SMALL"
    )


def test_what_the_edition_left_out_may_be_filled_in():
    text = "def given(x):\n    return 5\n\ndef asked(x, y=1, *, z=None):\n    return given(x)\n"
    assert taken(text).helpers == ""
    assert taken(text, {"given"}).helpers == "def given(x):\n    return 5"


REFUSED = {
    "found asked(x), expected asked(x, y, z)": "def asked(x):\n    return x",
    "found asked(x, y, z, **k), expected": "def asked(x, y, *, z, **k):\n    return x",
    "found no function asked": "def askd(x, y, z):\n    return x",
    "found async": "async def asked(x, y, *, z):\n    return x",
    "line 2: found open": "def asked(x, y, *, z):\n    return open(x)",
    "line 1: found import torch": "import torch\n\ndef asked(x, y, *, z):\n    return torch.tensor(x)",
    "line 2: found .__class__": "def asked(x, y, *, z):\n    return x.__class__",
    "s.py, line 1: ": "def asked(x, y, *, z:\n    return x",
    "lines 1 and 3: found asked 2 times": "def asked(x, y, *, z):\n    return x\ndef asked(x, y, *, z):\n    return y",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_is_not_taken_is_one_clear_line(words):
    with pytest.raises(Refused) as caught:
        taken(REFUSED[words])
    assert words in str(caught.value) and "\n" not in str(caught.value)


_ASKED = "def asked(x, y=1, *, z=None):\n    return "
NOT_TAKEN = {
    "tuples": ("A, B = 1, 2\n" + _ASKED + "A", 1, "A"),
    "a loop": ("for A in range(3):\n    pass\n" + _ASKED + "x + A", 1, "A"),
    "try": ("try:\n    A = 1\nexcept ValueError:\n    A = 2\n" + _ASKED + "A", 1, "A"),
    "if": ("if LIMIT > 1:\n    def f(x):\n        return x\n" + _ASKED + "f(x)", 1, "f"),
    "with": ("with np.errstate() as A:\n    pass\n" + _ASKED + "A", 1, "A"),
    "a walrus": ("print(A := 3)\n" + _ASKED + "A", 1, "A"),
    "a star": ("from math import *\n" + _ASKED + "sqrt(x)", 1, "sqrt"),
    "global": ("def set():\n    global A\n    A = 1\nset()\n" + _ASKED + "A", 2, "global A"),
    "in a helper": ("A, B = 1, 2\ndef f(x):\n    return A\n" + _ASKED + "f(x)", 1, "A"),
    "in a default": ("A, B = 1, 2\ndef f(x, y=A):\n    return y\n" + _ASKED + "f(x)", 1, "A"),
    "an entry": ("T = {}\nT[0] = 1\n" + _ASKED + "T[0]", 2, "a change of T"),
    "filled in a loop": ("T = []\nfor i in range(3):\n    T.append(i)\n" + _ASKED + "T", 2, "a change of T"),
    "added": ("N = 1\nN += 1\n" + _ASKED + "N", 2, "a change of N"),
    "a method": ("class P:\n    pass\nP.f = lambda self: 1\n" + _ASKED + "P().f()", 3, "a change of P"),
    "of the project": ("np.twice = lambda x: 2 * x\n" + _ASKED + "np.twice(x)", 1, "a change of np"),
    "a member": ("class Given:\n    def more(self):\n        return 1\n" + _ASKED + "x.more()", 2, "more"),
}


@pytest.mark.parametrize("form", NOT_TAKEN)
def test_what_is_used_and_not_taken_is_refused(form):
    text, line, name = NOT_TAKEN[form]
    with pytest.raises(Refused, match=rf"s\.py, line {line}: found {name}.*not taken along"):
        extract(parse(text.encode(), "s.py"), "s.py", "asked", PRISTINE + "\n\nclass Given:\n    known = 1\n")


_METHODS = """
class Given:
    known = 1

    def __init__(self, rate):
        self.rate = rate

    def step(self, x):
        rate, known = self.rate, self.known
        local = x * rate
        return local

    def other(self):
        shape = 1
        return shape
"""


def _of_method(text):
    return extract(parse(text.encode(), "s.py"), "s.py", "Given.step", _METHODS)


@pytest.mark.parametrize("body", [
    "rate = self.rate; return x * rate * self.known", "local, shape = self.rate, x.shape; return x.local + x.shape",
    "self.rate = 1; return self.other()", "class P: pass\n        P.a = 1\n        return P.a",
])  # fmt: skip
def test_members_and_variables_of_the_project_s_class_are_free(body):
    assert _of_method(_METHODS.replace("        rate, known = self.rate, self.known\n", f"        {body}\n")).source


@pytest.mark.parametrize("change", [
    "        self.rate = rate\n        self.calls = 0\n", "        self.rate, self.calls = rate, 0\n",
    "        self.rate = rate\n\n    def calls(self):\n        return 1\n", "        self.rate = rate\n\n    calls = 1\n",
])  # fmt: skip
def test_members_that_were_added_to_a_class_are_refused(change):
    text = _METHODS.replace("        self.rate = rate\n", change)
    text = text.replace("        local = x * rate\n", "        local = x * self.calls\n")
    with pytest.raises(Refused, match="found calls, added to a class of this file"):
        _of_method(text)


@pytest.mark.parametrize("text", [
    "A, B = 1, 2\n" + _ASKED + "x",  # not used
    "np.random.seed(1)\nnp.set_printoptions(precision=3)\nprint(LIMIT)\n" + _ASKED + "np.sqrt(x)",
    _ASKED + "helper(x)\ndef helper(x):\n    return x\nif __name__ == '__main__':\n    T = asked(1)\n    T.x = 1\n",
    "T = {}\nT[0] = 1\n" + _ASKED + "x",
    "A, B = 1, 2\ndef asked(x, y=A, *, z: B = None) -> A:\n    return x",  # the project's signature counts
    _ASKED + "[A for A in x], (lambda B: B)(y), print",
    "from math import *\n" + _ASKED + "LIMIT * x",
    "class Own:\n    def f(self):\n        return 1\n" + _ASKED + "Own().f()",
])  # fmt: skip
def test_what_is_beside_a_function_does_no_harm(text):
    assert taken(text).source.startswith("def asked(x, y=LIMIT")


HONEST = """
def asked(x, y=1, *, z=None):
    import numpy as np
    from math import sqrt
    from ..ops.softmax import softmax_forward
    total = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        total[index] += sqrt(x[index])
    np.add.at(total, [0], 1)
    with np.errstate(over="ignore"):
        return np.load if z else sorted(total.reshape(-1), key=lambda v: -v), f"{x!r}", __name__
"""


def test_honest_code_is_taken():
    assert taken(HONEST).source.startswith("def asked(x, y=LIMIT")


@pytest.mark.parametrize("body", [
    "return [input.copy() for input in x]", "help, vars = x, 1; return (lambda: help + vars)()", "kernel = x.T; return kernel",
    "def inside(open):\n        return open + 1\n    return inside(x)", "other_task = x + 1; return other_task",
])  # fmt: skip
def test_a_variable_may_have_any_name(body):
    text = f"def asked(x):\n    {body}\n"
    extract(parse(text.encode(), "s.py"), "s.py", "asked", COMPILED, others={"other_task": "01.2", "answer": ""})


COMPILED = """import numpy as np
from ..kernels import softmax as kernel
from ..kernels.attention import MASKED_SCORE, attend
from ..kernels.runtime.precision import rounds


def asked(x):
    raise NotImplementedError("task 01.1")
"""


@pytest.mark.parametrize(("body", "words"), [
    ("return kernel.softmax_forward(x)", "compiled code"),
    ("return attend(x)", "compiled code"),
    ("from ..kernels import softmax; return softmax.softmax_forward(x)", "compiled code"),
    ("from ..kernels.softmax import softmax_forward; return softmax_forward(x)", "compiled code"),
    ("from minimobilebert.ops import fused; return fused(x)", "compiled code"),
    ("from minimobilebert.ops import softmax; return softmax.kernel.softmax_forward(x)", "compiled code"),
    ("from minimobilebert import kernels; return kernels(x)", "compiled code"),
    ("return (x + 1e-30j)", "complex numbers"), ("return complex(x)", "complex numbers"),
    ("return x.astype(np.complex128)", "complex numbers"), ("return np.sqrt(x).imag", "complex numbers"),
    ("return getattr(x, 'imag')", "complex numbers"), ("return getattr(x, 'kernel', None)", "compiled code"),
    ("return getattr(np, 'fromfile')(x)", r"found \.fromfile"), ("return getattr(x, '__class__')", "found getattr, .* quotes"),
    ("return getattr(x, 'cla' + 'ss')", "found getattr"), ("return getattr(x, name)", "found getattr"),
    ("look = getattr; return look(x, 'size')", "found getattr"), ("return getattr(getattr, 'x')", "found getattr"),
    ("return getattr(*x)", "found getattr"), ("return getattr(module, 'other_task')(x)", "task 01.2 asks for"),
    ("return getattr(x, 'a', getattr(x, '_b'))", "found getattr"), ("return getattr(x, 'os')", r"found \.os"),
    ("return answer(x)", "answer, which would be the whole answer"),
    ("return other_task(x)", "task 01.2 asks for"), ("return module.other_task(x)", "task 01.2 asks for"),
    ("either = answer; return either(x)", "answer, which would be the whole answer"),
    ("from ..ops.others import answer as whole; return whole(x)", "answer, which would be the whole answer"),
    ("[0 for open in x]; return open('a')", "found open"), ("kernel(x); return [x for kernel in x]", "compiled code"),
    ("def inside():\n        global open\n    return inside, open", "found open"),
])  # fmt: skip
def test_what_is_not_the_student_s_own_work_is_refused(body, words):
    text = f"def asked(x):\n    {body}\n"
    with pytest.raises(Refused, match=words):
        extract(parse(text.encode(), "s.py"), "s.py", "asked", COMPILED, others={"other_task": "01.2", "answer": ""})


KERNEL = """from ..runtime.jit import jit


@jit
def asked(x, out):
    raise NotImplementedError("task 01.1")
"""


@pytest.mark.parametrize(("body", "words"), [
    ("kept = {0: 1.0}", "found a dict, but asked is compiled"), ("kept = dict()", r"dict\(\)"), ("kept = {1, 2}", "a set"),
    ("print(x)", r"print\(\)"), ("import math", "an import"), ("try:\n        out[0] = x[0]\n    finally: pass", "try"),
    ("out[0] = helper(*x)", r"found \*"), ("name = f'{x}'", "a text"), ("out[0] = second(x)", "a dict"),
])  # fmt: skip
def test_a_kernel_is_what_numba_takes(body, words):
    text = f"def second(x):\n    return {{0: 1}}\n\n\ndef asked(x, out):\n    {body}\n"
    with pytest.raises(Refused, match=words):
        extract(parse(text.encode(), "s.py"), "s.py", "asked", KERNEL)
    assert extract(parse(text.encode(), "s.py"), "s.py", "asked", KERNEL.replace("@jit\n", "")).source


def test_loops_numbers_and_arrays_are_a_kernel():
    text = "WIDTH = {4: 2}\n\n\ndef asked(x, out):\n    a, b = x.shape\n    for i in range(a):\n        out[i] = x[i, b - 1]\n"
    assert extract(parse(text.encode(), "s.py"), "s.py", "asked", KERNEL).source


@pytest.mark.parametrize("body", [
    "return np.where(x, MASKED_SCORE, x)", "return rounds(x.dtype)", "kernel_size = 3; return kernel_size",
    "from ..kernels.attention import MASKED_SCORE as LOW; return LOW", "return softmax_forward(x)",
    "other_task = lambda y: y; return other_task(x)",
    "return getattr(x, 'masked_labels', ())", "return getattr(x, 'size')", "return hasattr(x, 'size')",
])  # fmt: skip
def test_constants_helpers_and_names_of_one_s_own_are_allowed(body):
    text = f"def asked(x):\n    {body}\n"
    assert extract(parse(text.encode(), "s.py"), "s.py", "asked", COMPILED, others={"other_task": "01.2"}).source


def test_other_tasks_are_those_of_the_lesson_that_this_one_is_not_made_of():
    from minimobilebert.course.shared.manifest import load

    course = load()
    assert others_of(course, course.task("04.4")) == {
        "softmax_forward": "04.1", "softmax_backward": "04.2", "cross_entropy_forward": "04.3",
        "soft_cross_entropy_forward": "04.5", "soft_cross_entropy_backward": "04.5",
    }  # fmt: skip
    assert "feed_forward_forward" not in others_of(course, course.task("07.3"))  # a block is made of it
    assert others_of(course, course.task("15.2")) == {"f1": "15.1", "pearson": "", "spearman": ""}


DERIVED = '''"""An operation.

    1. y = w x                 forward; y[i] is one number
    2. z = y + b

Backward. The Jacobian is dz_i/dx_j = w (delta_ij). Two gradients, dx and dw, are left; dx == dw in no case:

    2.   dy[i] = dz[i]         db = sum of dz
    1.   dx += dy w
"""

import numpy as np

d = {"dx = 1": 2}
'''


def test_formulas_of_gradients_are_hidden_and_nothing_else():
    hidden = hide_backward(DERIVED, "Yours.")
    assert hidden == DERIVED.replace("dy[i] = dz[i]         db = sum of dz", "dy[i] = ...        db = ...").replace(
        "dx += dy w\n", "dx += ...\n\nYours.\n").replace("dx_j = w (delta_ij).", "dx_j = ... .")  # fmt: skip
    ast.parse(hidden)
    plain = DERIVED.partition("Backward")[0] + '"""\n'
    assert hide_backward(plain, "Yours.") == plain and hide_backward("x = 1\n", "Yours.") == "x = 1\n"


def test_no_gradient_is_left_at_the_top_of_a_task_s_file():
    """Every file with a backward to write says its forward, and no right-hand side of a gradient."""
    from minimobilebert.course.shared.manifest import ROOT, file_of, load

    functions = [function for task in load().tasks for function in task.functions]
    files = {file_of(each) for each in functions if each.endswith("_backward") and "/model/" not in each}
    assert len(files) >= 15
    for file in files:
        source = (ROOT / file).read_text(encoding="utf-8")
        before, after = (ast.get_docstring(ast.parse(text)) for text in (source, hide_backward(source, "Yours.")))
        assert before != after and after.endswith("Yours."), file
        assert not re.search(r"^    .*\bd[A-Za-z]+(\[.*?\])? *\+?= (?!\.\.\.)", after, flags=re.M), file
