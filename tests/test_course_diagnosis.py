"""What a student reads about a wrong answer: the table of diagnoses, and one message for each kind of mistake."""

import re

import numpy as np
import pytest

from minimobilebert.course.shared.dependence import Dependence, degrees, in_words
from minimobilebert.course.shared.fingerprints import agrees, different, fingerprint
from minimobilebert.course.shared.manifest import load
from minimobilebert.course.shared.trial import known_of
from minimobilebert.course.student.check import Checker
from minimobilebert.course.teacher import diagnoses
from minimobilebert.course.teacher.edition import write_edition
from minimobilebert.course.teacher.grading import Grader
from minimobilebert.course.teacher.mutants import solutions_of
from minimobilebert.course.teacher.policy import Policy
from minimobilebert.course.teacher.wrong_answers import WrongAnswer, wrong_answers
from minimobilebert.gradcheck.arithmetic import explain, explain_parts
from minimobilebert.gradcheck.diagnosis import Known
from minimobilebert.gradcheck.factors import cause_of_factor
from minimobilebert.gradcheck.patterns import an_input, pattern_of_shape
from minimobilebert.ops.relu import ReluCache

COURSE = load()
RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def grader():
    with Grader(COURSE, Policy()) as grader:
        yield grader


def test_most_wrong_answers_get_the_right_diagnosis(grader):
    """The figures of course-check: 80 % right, at most 3 % misleading, of at least 300."""
    rows = diagnoses.run(COURSE, grader, wrong_answers(COURSE, grader.tasks))
    assert len(rows) >= diagnoses.FEWEST
    assert diagnoses.too_bad(rows) == [], diagnoses.format_rows(rows)
    assert len({wrong.rule for wrong, _, _ in rows}) >= 12 and len({wrong.task for wrong, _, _ in rows}) >= 30


def test_a_table_that_is_not_good_enough_is_seen():
    wrong = WrongAnswer("02.1", "missing_term", "", "", "bias")
    rows = [(wrong, diagnoses.RIGHT, "")] * 239 + [(wrong, diagnoses.MISLEADING, "")] * 61
    texts = diagnoses.too_bad(rows)
    assert len(texts) == 2 and "239 of 300" in texts[0] and "61 of 300" in texts[1]
    assert diagnoses.too_bad(rows[:239] + [(wrong, diagnoses.RIGHT, "")] * 60 + rows[-1:]) == []


@pytest.mark.parametrize(("says", "text", "verdict"), [
    (r"\bbias\b", "the right one minus bias: that is not added", diagnoses.RIGHT),
    (r"\bbias\b", "the right one minus weight: that is not added", diagnoses.MISLEADING),
    ("factor", "no common mistake: check the formula, one factor at a time", diagnoses.NONE),
    (r"\bbias\b", "off by a constant along axis 2: a term is missing", diagnoses.NONE),
    (r"\bsum\b", "off by a constant along axis 2: a sum is missing", diagnoses.RIGHT),
])  # fmt: skip
def test_a_verdict_is_strict(says, text, verdict):
    class Outcome:
        looks_like = text

    assert diagnoses.verdict(WrongAnswer("02.1", "", "", "", says), Outcome()) == verdict


# --- arithmetic

X, DY = RNG.normal(size=(2, 3, 5)), RNG.normal(size=(2, 3, 5))
W, RSTD = RNG.normal(size=5), RNG.uniform(0.5, 2.0, (2, 3, 1))
MASK = np.array([[True, True, False], [True, False, False]])
NAMED = {"dy": DY, "cache.x": X, "cache.rstd": RSTD, "weight": W, "mask": MASK, "factor": 0.3}
RIGHT = np.sin(X) * 2.0

ARITHMETIC = {
    "the right one times cache.rstd": RIGHT * RSTD,
    "the right one over cache.rstd": RIGHT / RSTD,
    "the right one times the square of cache.rstd": RIGHT * RSTD**2,
    "the right one plus dy": RIGHT + DY,
    "the right one minus weight: that is not added": RIGHT - W,
    "the right one minus twice weight": RIGHT - 2.0 * W,
    "the right one plus factor": RIGHT + 0.3,
    "off by 1.5 times cache.x": RIGHT + 1.5 * X,
    "it is dy, and nothing else": DY,
    "off by the logarithm of an axis length, 5": RIGHT + np.log(5.0),
}
PARTS = {
    "it is dy times weight, and nothing else": DY * W,
    "the right one minus dy times weight": RIGHT - DY * W,
    "dy is added where cache.x is expected": RIGHT + DY - X,
    "the right one times cache.rstd over weight": RIGHT * RSTD / W,
    "wrong only where mask along axis 0, 1 is False": np.where(MASK[..., None], RIGHT, RIGHT + 1.0 + X),
    "wrong only at the first index of axis 1: a border": np.where(np.arange(3)[:, None] == 0, 9.0, RIGHT),
    "off by a constant along axis 2": RIGHT + RNG.normal(size=(2, 3, 1)),
    "off by a multiple of cache.x along axis 2": RIGHT + X * RNG.normal(size=(2, 3, 1)),
    "off by a multiple of cache.x minus its average along axis 2": RIGHT
    + (X - X.mean(axis=-1, keepdims=True)) * RNG.normal(size=(2, 3, 1)),
}


@pytest.mark.parametrize("text", ARITHMETIC)
def test_one_input_that_explains_the_difference_is_named(text):
    assert explain(ARITHMETIC[text], RIGHT, NAMED, 1e-8).startswith(text)


@pytest.mark.parametrize("text", PARTS)
def test_two_inputs_or_a_part_of_the_entries_are_named(text):
    assert explain(PARTS[text], RIGHT, NAMED, 1e-8) is None
    assert explain_parts(PARTS[text], RIGHT, NAMED, 1e-8).startswith(text)


SHAPES = {
    "in shape (2, 3, 1): an axis of length 1 too many": (RSTD, RSTD[..., 0]),
    "in shape (2, 3): an axis of length 1 is missing; keepdims": (RSTD[..., 0], RSTD),
    "along axis 1, but 2 of them and not 3": (X[:, :2], X),
    "averaged over axis 0, which has to stay": (np.array(W.mean()), W),
    "not summed over axis 0, 1": (X, X.sum(axis=(0, 1))),
}


@pytest.mark.parametrize("text", SHAPES)
def test_what_is_wrong_with_a_shape_is_said(text):
    assert text in pattern_of_shape(*SHAPES[text])[1]


@pytest.mark.filterwarnings("error")
def test_shapes_without_numbers_give_no_warning():
    for found, expected in (
        (np.array(0.0), np.zeros(0)),
        (np.zeros((0, 0)), np.zeros(0)),
        (np.zeros(3), np.zeros((0, 3))),
    ):
        assert "right numbers" not in pattern_of_shape(found, expected)[1]
        assert an_input(found + 1.0, Known({}, named={"x": np.zeros((0, 3))})) is None


def test_parts_products_of_sums_and_rows_are_seen():
    wide, rows = RNG.normal(size=(2, 3, 15)), RNG.normal(size=(2, 3, 4))
    moved = wide.reshape(2, 3, 3, 5).sum(axis=-2)
    assert "sum of the 3 parts of dy" in explain_parts(moved, RIGHT, {"dy": wide}, 1e-8)
    product = explain_parts(DY.sum(axis=(0, 1)) * X.sum(axis=(0, 1)), (DY * X).sum(axis=(0, 1)), NAMED, 1e-8)
    assert product == "it is the sum of cache.x times the sum of dy: a product of two sums for a sum of products"
    terms = DY.reshape(6, 5, 1) * rows.reshape(6, 1, 4)
    for kept, text in (
        (np.delete(terms, 2, 0), "is left out: row 2 of dy times"),
        ([*terms, terms[5]], "is added twice"),
    ):
        assert text in explain_parts(np.sum(kept, axis=0), terms.sum(axis=0), {"dy": DY, "cache.x": rows}, 1e-8)


def test_the_columns_of_one_head_have_a_square_root():
    known = Known({"x": np.zeros((2, 4, 21))}, named={"num_heads": 3})
    assert "the square root of 7, which is 21 over 3: a scale left out" in cause_of_factor(7**0.5, known, 1e-8)


def test_opposite_signs_of_two_terms_are_seen():
    rest = np.cos(X)
    text = explain_parts(DY - rest, DY + rest, NAMED, 1e-8)
    assert text.startswith("dy is one of its terms, and the other has the opposite sign")


def test_rows_of_a_table_are_told_apart_by_their_ids():
    ids, right = np.array([[0, 2, 2], [1, 0, 4]]), RNG.normal(size=(6, 2))
    right[[3, 5]] = 0.0
    for rows, text in (([0, 2], "occur more than once in ids"), ([3, 5], "do not occur in ids")):
        wrong = right.copy()
        wrong[rows] += 1.0
        assert text in explain_parts(wrong, right, {"ids": ids}, 1e-8)


def test_nothing_fits_by_chance():
    """Random answers beside random inputs of every small size: no cause is named."""
    named_by_chance = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        shape = tuple(rng.permutation([2, 3, 4, 5])[: rng.integers(1, 4)])
        named = {"dy": rng.normal(size=shape), "x": rng.normal(size=shape), "weight": rng.normal(size=shape[-1:]),
                 "rows": rng.normal(size=(*shape[:-1], 1)), "mask": rng.random(shape[:-1]) < 0.5,
                 "ids": rng.integers(0, shape[0], 4), "rate": float(rng.random())}  # fmt: skip
        found, right = rng.normal(size=shape), rng.normal(size=shape)
        for each in (explain, explain_parts):
            if len(shape) > 1 and (text := each(found, right, named, 1e-8)):
                named_by_chance.append((shape, text))
        if cause := cause_of_factor(float(rng.normal()), Known({"x": right}, named=named), 1e-8):
            named_by_chance.append(cause)
    assert named_by_chance == []


@pytest.mark.parametrize(("factor", "words"), [
    (5.0, "an axis length, 5: a sum"), (1 / 6, "the number of rows, 6: an average"), (5**-0.5, "square root"),
    (0.3, "factor: a factor once too often"), (1 / 0.3, "one over factor"), (0.7, "1 - factor"),
    (0.09, "the square of factor"), (3 / 5, "3 over 5, two axis lengths"), (1 / 30, "the number of entries, 30"),
])  # fmt: skip
def test_a_scalar_s_factor_is_named(factor, words):
    assert words in cause_of_factor(factor, Known({"x": X}, named=NAMED), 1e-8)
    assert cause_of_factor(factor * 1.000001, Known({"x": X}, named=NAMED), 1e-8) == ""


# --- dependence


def right_one(dy, cache):
    return dy * cache["weight"] / cache["length"], (dy * cache["x"]).sum(axis=0)


CACHE = {"weight": W, "length": RSTD[:, 0, 0:1], "x": RNG.normal(size=(2, 5))}
GIVEN = {"dy": RNG.normal(size=(2, 5)), "cache": CACHE}

DEPENDING = {
    "does not depend on cache['weight'], and the right one": (0, lambda dy, c: (dy / c["length"], None)),
    "it depends on cache['x'], and the right one does not": (0, lambda dy, c: (right_one(dy, c)[0] * c["x"], None)),
    "depends on cache['length'], and does not depend on cache['x']": (
        1, lambda dy, c: (None, (dy * c["length"]).sum(axis=0))),
    "grows with the square of the upstream gradient dy": (0, lambda dy, c: (right_one(dy * dy, c)[0], None)),
    "it grows as cache['length']^1, and the right one as cache['length']^-1": (
        0, lambda dy, c: (dy * c["weight"] * c["length"], None)),
    "it does not double when the upstream gradient dy doubles": (0, lambda dy, c: (right_one(dy, c)[0] + c["weight"] / c["length"], None)),
    "does not depend on the upstream gradient dy": (1, lambda dy, c: (None, c["x"].sum(axis=0))),
}  # fmt: skip


@pytest.mark.parametrize("text", DEPENDING)
def test_what_a_result_depends_on_is_compared(text):
    right = degrees(right_one, GIVEN)
    assert right["dy"] == [1.0, 1.0] and right["cache['length']"] == [-1.0, 0.0] and right["cache['x']"] == [0.0, 1.0]
    index, wrong = DEPENDING[text]
    assert text in in_words(degrees(wrong, GIVEN), right, index, "dy")
    assert in_words(right, right, index, "dy") is None


def test_an_inverted_mask_is_named():
    def right(x, mask):
        return (np.where(mask, x, 0.0),)

    given = {"x": X, "mask": X > 0.3}
    for function, text in (
        (lambda x, mask: right(x, ~mask), "right if mask is inverted"),
        (lambda x, mask: (x,), None),
    ):
        found = Dependence(function, given, {}, ["y"]).inverted("y", right(**given)[0], 1e-8)
        assert (text in found) if text else found is None


REARRANGED = {
    "weight is transposed by a reshape": ((2, 5), lambda a: a.T, lambda a: a.reshape(5, 2)),
    "weight is transposed: is a transpose missing": ((3, 3), lambda a: a.T, lambda a: a),
    "parts 1 and 3 of weight": ((2, 6), lambda a: a[:, :2] - 2.0 * a[:, 4:], lambda a: a[:, 4:] - 2.0 * a[:, :2]),
}


@pytest.mark.parametrize("text", REARRANGED)
def test_the_same_numbers_elsewhere_are_named(text):
    shape, right, wrong = REARRANGED[text]

    def function(part, weight):
        y = np.exp(part(weight))
        return (y + np.arange(y.size).reshape(y.shape),)  # so that the result itself is not the right one elsewhere

    weight = RNG.normal(size=shape)
    ask = Dependence(lambda weight: function(wrong, weight), {"weight": weight}, {}, ["y"])
    assert text in ask.what_if("y", function(right, weight)[0], 1e-8)


# --- known wrong answers


def test_a_result_like_a_known_wrong_answer_s_is_recognised():
    right, wrong = ({"dx": factor * X, "dbias": W} for factor in (1.0, 1.3))
    prints = different(fingerprint(wrong), fingerprint(right))
    assert [each[0] for each in prints] == ["['dx']"]
    assert agrees(prints, {"dx": 1.3 * X * (1.0 + 1e-15), "dbias": 2.0 * W})
    for other in (right, {"dx": 1.30001 * X}, {"dx": (1.3 * X).astype(np.float32)}, {"dx": 1.3 * X[:1]}, {"other": X}):
        assert not agrees(prints, other)
    assert not agrees([], right)


def test_of_a_result_and_a_cache_the_result_counts():
    right, result, cache = ((y, ReluCache(p)) for y, p in ((X, W), (2.0 * X, W + 1.0), (X, W + 1.0)))
    assert [each[0] for each in different(fingerprint(result), fingerprint(right))] == ["[0]"]
    assert [each[0] for each in different(fingerprint(cache), fingerprint(right))] == ["[1].x"]


def test_every_reported_answer_gets_its_diagnosis(grader):
    wrong = [each for each in wrong_answers(COURSE, grader.tasks) if each.rule == "reported by readers"]
    rows = diagnoses.run(COURSE, grader, wrong)
    assert len(rows) == len(wrong) >= 50
    assert [(each.task, each.name, text) for each, verdict, text in rows if verdict != diagnoses.RIGHT] == []


def test_an_edition_recognises_them_too(tmp_path):
    """By the recorded numbers: it has no wrong answers. Written in another way than the known one."""
    write_edition(COURSE, ["03"], tmp_path / "student")
    names = {path.name for path in (tmp_path / "student").rglob("*")}
    assert "reported.toml" not in names and "reported_answers.py" not in names
    phi = "    phi = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)\n"
    answers = {
        "gelu": f"    x = cache.x\n{phi}    return dy * _normal_cdf(x) + dy * phi\n",
        "relu": "    return np.where(cache.x > 0, dy, 0)\n",
    }
    for name, answer in answers.items():
        path = tmp_path / f"student/minimobilebert/ops/{name}.py"
        pattern = rf'(def {name}_backward.*?\n    """.*?\n)    raise .*?\n'
        text, count = re.subn(pattern, lambda m, answer=answer: m[1] + answer, path.read_text())
        assert count == 1
        path.write_text(text)
    edition = load(tmp_path / "student")
    ((_, _, message),) = Checker(edition).check([edition.task("03.1")])
    assert "the term of the density is without its factor x" in message and "SEED" not in message


WHAT_IF = {
    "right if cache['weight'] is negated": lambda dy, c: (dy - c["weight"], None),
    "right if dy and cache['x'] are exchanged": lambda dy, c: (c["x"] + c["weight"], None),
}


@pytest.mark.parametrize("text", WHAT_IF)
def test_a_change_of_an_input_that_makes_it_right_is_named(text):
    def right(dy, cache):
        return dy + cache["weight"], None

    def ask(function):
        return Dependence(function, GIVEN, degrees(right, GIVEN), ["y", "z"]).what_if("y", right(**GIVEN)[0], 1e-8)

    assert text in ask(WHAT_IF[text]) and ask(lambda dy, c: (np.sin(dy) + c["weight"], None)) is None


def test_a_share_the_wrong_way_round_is_named():
    given = {"x": RNG.normal(size=(2, 5)), "y": RNG.normal(size=(2, 5)), "alpha": 0.3}

    def mixed(x, y, alpha):
        return (alpha * x + (1.0 - alpha) * y,)

    def ask(function):
        return Dependence(function, given, degrees(mixed, given), ["z"]).what_if("z", mixed(**given)[0], 1e-8)

    assert "right if alpha is replaced by 1 - alpha" in ask(lambda x, y, alpha: mixed(x, y, 1.0 - alpha))
    assert ask(lambda x, y, alpha: mixed(x, y, alpha**2)) is None


def test_plus_for_minus_is_said_where_nothing_else_fits():
    weights = Known({"x": np.ones((4, 3))}, named={"weights": np.full((4, 1), 0.5)})
    assert "plus" not in cause_of_factor(3.0, weights, 1e-8) and "an axis length, 3" in cause_of_factor(
        3.0, weights, 1e-8
    )
    assert "plus alpha for minus alpha" in cause_of_factor(1.4 / 0.6, Known({}, named={"alpha": 0.4}), 1e-8)


def test_numbers_without_a_name_are_not_named():
    known = known_of({"steps": [3, 4], "updates": [({"w": np.ones(2)}, 0.5)], "rate": 0.1})
    assert list(known.named) == ["updates[0][0]['w']", "rate"]


# --- the messages as a student reads them


def shown(grader, task_id, function):
    wrong = WrongAnswer(task_id, "", "by hand", function, "")
    return diagnoses.run(COURSE, grader, [wrong])[0][2]


MESSAGES = {
    "y is wrong: the right one minus bias: that is not added": (
        "02.1", "def linear_forward(x, weight, bias, residual=None):\n"
        "    y = x @ weight.T\n    return y if residual is None else y + residual, LinearCache(x, weight, bias is not None)\n"),
    "y is wrong: the right one minus residual: that is not added": (
        "02.1", "def linear_forward(x, weight, bias, residual=None):\n"
        "    y = x @ weight.T if bias is None else x @ weight.T + bias\n"
        "    return y, LinearCache(x, weight, bias is not None)\n"),
    r"dx is wrong: the right one over cache\.rstd": (
        "03.3", "def layernorm_backward(dy, cache):\n    n = (cache.x - cache.mean) / np.sqrt(cache.x.var(-1, keepdims=True))\n"
        "    dn, t = dy if cache.weight is None else dy * cache.weight, tuple(range(dy.ndim - 1))\n"
        "    dx = dn - dn.mean(-1, keepdims=True) - n * (dn * n).mean(-1, keepdims=True)\n"
        "    return (dx, None, None) if cache.weight is None else (dx, (dy * n).sum(t), dy.sum(t))\n"),
    r"dweight is wrong: dy was changed in place": (
        "03.5", "def nonorm_backward(dy, cache):\n    t = tuple(range(dy.ndim - 1))\n    dy *= cache.weight\n"
        "    return dy.copy(), (dy * cache.x).sum(t), dy.sum(t)\n"),
    r"scores is wrong: wrong only where mask along axis 0, 2 is False": (
        "06.1", "def attention_forward(query, key, value, mask, num_heads, dropout_rate=0.0, rng=None, keep_scores=True):\n"
        "    b, t, w = query.shape\n    split = lambda x: x.reshape(b, t, num_heads, -1).transpose(0, 2, 1, 3)\n"
        "    q, k, v = split(query), split(key), split(value)\n    s = q @ k.swapaxes(2, 3) / np.sqrt(q.shape[-1])\n"
        "    s = np.where(mask[:, None, :, None] & mask[:, None, None, :], s, -1e30)\n    e = np.exp(s - s.max(-1, keepdims=True))\n"
        "    p = e / e.sum(-1, keepdims=True)\n    c = (p @ v).transpose(0, 2, 1, 3).reshape(query.shape)\n"
        "    return c, AttentionCache(query, key, value, mask, s, p, None)\n"),
    r"loss is wrong: a constant factor 0\.\d+\. Is it one over": (
        "11.1", "def feature_map_transfer_forward(student, teacher, mask):\n    d, w = student - teacher, token_weights(mask, student.dtype)\n"
        "    return float((w * (d**2).mean(-1)).mean()), FeatureMapTransferCache(d, w)\n"),
}  # fmt: skip


@pytest.mark.parametrize("text", MESSAGES)
def test_the_message_names_it(text, grader):
    task_id, function = MESSAGES[text]
    imports = "import numpy as np\n"
    message = shown(grader, task_id, imports + function)
    assert re.search(text, message), message


SENDS = "exchange(communicator, [((rank + 1) % ranks, outgoing)], [((rank - 1) % ranks, {})])"
ADDS = f"arrived = np.zeros_like(incoming); {SENDS.format('arrived')}; incoming += arrived"
EDITED = [  # a task, a line of its solution and what stands there instead, and what the message says
    ("20.3", 'padded.view("<i4")', 'padded.view(">i4")', "output 0 and input 0, alone, is in byte 3 of word 0 of output 0 in"),
    ("20.3", ".transpose(0, 2, 1)\n", "\n", "input 4, alone, is in byte 0 of word 0 of output 1 .*, expected in byte 0 of word 1 of output 0"),
    ("20.3", "np.int32(-128) * padded", "np.int32(128) * padded", "its start -384, expected -128 times the sum of weights, 384"),
    ("20.3", "dtype=np.int32)", "dtype=np.int8).astype(np.int32)", "added up in int8, which wraps around"),
    ("20.3", "= integers\n", "= (integers.astype(np.int16) + 128).astype(np.int8)\n", "weights of 0 are not 0 in the words"),
    ("22.3", "number = rank - 1\n", "number = rank\n", "rank 0 sent segment 0 in turn 1, expected 1"),
    ("22.3", "own += arrived", "own[...] = arrived", "the numbers of rank 0 are in it not at all, expected once"),
    ("22.3", "range(ranks - 1)", "range(ranks)", "rank 0 sent 2 messages, expected 1"),
    ("22.4", "number = rank\n", "number = rank - 1\n", "rank 0 sent segment 1 in turn 1, expected 0"),
    ("22.4", SENDS.format("incoming"), ADDS, "what arrived was added to it"),
]  # fmt: skip


@pytest.mark.parametrize(("task_id", "line", "instead", "text"), EDITED, ids=lambda each: each.strip()[:20])
def test_the_message_says_what_was_put_or_sent_elsewhere(task_id, line, instead, text, grader):
    task = COURSE.task(task_id)
    source = solutions_of(COURSE, COURSE.lesson(task.lesson))
    before, _, rest = source.partition(f"def {task.name}(")
    assert line in rest
    message = shown(grader, task_id, f"{before}def {task.name}({rest.replace(line, instead, 1)}")
    assert re.search(text, message), message


def test_a_result_that_is_not_finite_is_no_known_mistake():
    """It has lost its numbers, so any other mistake with a NaN would be taken for it."""
    right, wrong = np.arange(3.0), np.array([0.0, np.nan, 2.0])
    assert different(fingerprint(wrong), fingerprint(right)) == []
    assert different(fingerprint(right + 1.0), fingerprint(right))
