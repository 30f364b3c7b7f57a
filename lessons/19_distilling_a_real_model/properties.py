"""What lesson 19's functions must do."""

import numpy as np

from minimobilebert.course.sandbox.wire import fields_of
from minimobilebert.course.shared.bundles import backward_properties
from minimobilebert.course.shared.properties import prop
from minimobilebert.course.shared.returned import is_array
from minimobilebert.course.shared.trial import reference

SCORES = "minimobilebert/distillation/relation_transfer.py:relation_scores_forward"
TRANSFER = "minimobilebert/distillation/relation_transfer.py:relation_transfer_forward"
NORMALIZE = "minimobilebert/ops/pooling.py:normalize_forward"
DIRECTION = "minimobilebert/distillation/sentence_vector_transfer.py:direction_transfer_forward"
FIELDS = ["query", "key", "value"]


# --- 19.1


def vectors(rng, lengths, tokens, heads, size):
    """x [B, T, R D] and its mask; lengths: the real tokens of each text"""
    mask = np.arange(tokens) < np.array(lengths, int)[:, None]
    return {"x": rng.normal(size=(len(lengths), tokens, heads * size)), "mask": mask, "heads": heads}


def draw(rng):
    return vectors(rng, (4, 4), 4, 3, 5)


def padding(rng):
    return vectors(rng, rng.permutation([5, 1, 3, 4]), 5, 2, 3)


def one_head(rng):
    return vectors(rng, (3, 2), 3, 1, 4)


def heads_of_one_number(rng):
    return vectors(rng, (2, 3), 3, 4, 1)


def one_token(rng):
    return vectors(rng, (1, 1, 1), 1, 2, 3)


def padding_only(rng):
    return vectors(rng, (0, 2), 2, 2, 3)


def no_text(rng):
    return vectors(rng, (), 3, 2, 3)


def many(rng):
    return vectors(rng, rng.integers(20, 33, 6), 32, 4, 16)


def relations_of(t, args):
    """The reference's cache of step 1"""
    return t.expected(lambda: reference(SCORES)(**args)[1], [args["x"], args["mask"]])


@prop("19.1", weight=2, essential=True)
def one_pair(t):
    """the score of tokens i and j moves both vectors: x[i] along x[j], and x[j] along x[i]"""
    args = vectors(t.rng, (4,), 4, 1, 4)
    cache, x = relations_of(t, args), args["x"][0]
    i, j = t.rng.permutation(4)[:2]
    for name, first, second in (("two tokens", i, j), ("a token and itself", i, i)):
        dscores = np.zeros((1, 1, 4, 4))
        dscores[0, 0, first, second] = 2.0
        right = np.zeros((1, 4, 4))  # with a head of 4 numbers the divisor is 2
        right[0, first] += x[second]
        right[0, second] += x[first]
        with t.case(name):
            found = t.call(dscores, cache)
            is_array("dx", found, right.shape)
            for token, what in ((first, "row"), (second, "column")):
                text = f"x[{token}] has no gradient, though it makes {what} {token} of the scores"
                t.require(found[0, token].any(), text, "dx")
                text = f"x[{token}] goes the wrong way: a larger score needs a vector that is more like the other"
                t.require((found[0, token] * right[0, token]).sum() > 0.0, text, "dx")
            t.equal("dx", found, right)


@prop("19.1", weight=3, essential=True)
def padding_keys(t):
    """the score of a padding key is a constant: its gradient goes nowhere, whatever it is"""
    args = padding(t.rng)
    cache, mask = relations_of(t, args), args["mask"]
    dscores = t.rng.normal(size=(len(mask), args["heads"], 5, 5))
    right = t.expected(lambda: reference(t.task.function)(dscores, cache))
    found, after = t.call_keeping(dscores, cache)
    t.unchanged(("dscores", "cache"), (dscores, cache), after)
    is_array("dx", found, right.shape)
    without = t.call(np.where(mask[:, None, None, :], dscores, 0.0), cache)
    text = "dx depends on dscores at padding keys (columns of the scores), though their scores are constants"
    t.require(np.abs(found - without).max() < 1e-10, text, "dx")
    t.equal("dx", found, right)


backward_properties(
    "19.1", draw, forward=SCORES, wrt=("x",), large=many,
    edges=[padding, one_head, heads_of_one_number, one_token, padding_only, no_text],
)  # fmt: skip


# --- 19.2


def projections(rng, heads=2, size=3, teacher_size=5, lengths=(2, 5, 1, 4), tokens=5):
    """Queries, keys and values of a student and of a wider teacher"""
    from minimobilebert.model.self_attention import Projections

    student, teacher = (
        Projections(*rng.normal(size=(3, len(lengths), tokens, heads * each))) for each in (size, teacher_size)
    )
    return student, teacher, np.arange(tokens) < np.array(lengths)[:, None], heads


def named(t, result):
    """The gradients {name: array}; the block's backward reads them by their names"""
    fields = fields_of(result)
    t.require(fields is not None and list(fields) == FIELDS, "expected Projections(query, key, value)", "gradients")
    return fields


def compared(t, args, dloss, tolerance=1e-10, dtype=np.float64):
    """The three gradients are the reference's"""
    cache = t.expected(lambda: reference(TRANSFER)(*args)[1])
    right = t.expected(lambda: list(reference(t.task.function)(dloss, cache)))
    for (name, found), wanted in zip(named(t, t.call(dloss, cache)).items(), right, strict=True):
        t.equal(name, found, wanted, tolerance, dtype)


@prop("19.2", weight=4, essential=True)
def three_gradients(t):
    """the gradients of queries, keys and values, for any upstream number"""
    for _ in range(3):
        compared(t, projections(t.rng), float(t.rng.normal()))


@prop("19.2", weight=2, essential=True)
def differences(t):
    """along random directions the loss changes as the gradients say"""
    from minimobilebert.model.self_attention import Projections

    args = projections(t.rng)
    student, others = args[0], args[1:]
    dloss = float(t.rng.uniform(1.0, 3.0))
    cache = t.expected(lambda: reference(TRANSFER)(*args)[1])
    found = named(t, t.call(dloss, cache))
    for index, name in enumerate(FIELDS):
        direction = t.rng.normal(size=student[index].shape)

        def slope(index=index, direction=direction):
            losses = []
            for step in (1e-5, -1e-5):
                moved = [x + step * direction if i == index else x for i, x in enumerate(student)]
                losses.append(reference(TRANSFER)(Projections(*moved), *others)[0])
            return dloss * (losses[0] - losses[1]) / 2e-5

        is_array(name, found[name], direction.shape)
        along = (found[name] * direction).sum()
        t.equal(f"{name} along a direction", along, t.expected(slope), 1e-5)  # a difference has six digits


@prop("19.2", weight=1)
def sizes(t):
    """one head, one token, padding only"""
    cases = {
        "one head": {"heads": 1},
        "as wide as the teacher": {"size": 5},
        "one token": {"lengths": (1, 1), "tokens": 1},
        "a text of padding only": {"lengths": (0, 3)},
    }
    for name, changes in cases.items():
        with t.case(name):
            compared(t, projections(t.rng, **changes), 0.7)


@prop("19.2", weight=1)
def agreement(t):
    """a student with the teacher's relations has no gradient, even in another basis"""
    _, teacher, mask, heads = projections(t.rng)
    rotation, _ = np.linalg.qr(t.rng.normal(size=(5, 5)))
    cache = t.expected(
        lambda: reference(TRANSFER)(type(teacher)(*(x @ np.kron(np.eye(heads), rotation) for x in teacher)), teacher,
                                    mask, heads)[1]
    )  # fmt: skip
    for name, found in named(t, t.call(1.3, cache)).items():
        is_array(name, found, (4, 5, 10))
        t.require(np.abs(found).max() < 1e-12, f"found {np.abs(found).max():.3g}, expected 0", name)
    compared(t, projections(t.rng), 1.0)


@prop("19.2", weight=1)
def types(t):
    """float32 goes in and comes out"""
    student, teacher, mask, heads = projections(t.rng)
    student, teacher = (type(each)(*(x.astype(np.float32) for x in each)) for each in (student, teacher))
    compared(t, (student, teacher, mask, heads), 0.9, 2e-5, np.float32)


@prop("19.2", weight=1)
def untouched(t):
    """the cache is not changed, so that a second call gives the same"""
    args = projections(t.rng)
    cache = t.expected(lambda: reference(TRANSFER)(*args)[1])
    right = t.expected(lambda: list(reference(t.task.function)(0.6, cache)))
    found, after = t.call_keeping(0.6, cache)
    t.equal("query", named(t, found)["query"], right[0])
    t.unchanged(("dloss", "cache"), (0.6, cache), after)


# --- 19.3


def rows(rng, shape=(3, 4), length=1.0, eps=1e-12):
    return {"x": length * rng.normal(size=shape), "eps": eps}


def long_vectors(rng):
    """As the hidden states of a NoNorm model"""
    return rows(rng, length=1e7)


def short_vectors(rng):
    return rows(rng, length=1e-7)


def shorter_than_eps(rng):
    """y = x / eps"""
    return rows(rng, length=0.01, eps=1.0)


def one_shorter_than_eps(rng):
    args = rows(rng, (2, 4), eps=0.5)
    args["x"][0] *= 1e-3
    args["x"][1] += 2.0
    return args


def a_vector_of_zeros(rng):
    args = rows(rng, (1, 4))
    args["x"][...] = 0.0
    return args


def one_number(rng):
    return rows(rng, (5, 1))


def leading_axes(rng):
    return rows(rng, (2, 3, 5))


def no_vector(rng):
    return rows(rng, (0, 4))


@prop("19.3", weight=2, essential=True)
def geometry(t):
    """a move along the vector changes nothing, one at a right angle turns it: the less, the longer it is"""
    args = rows(t.rng, (1, 4), 5.0)
    cache = t.expected(lambda: reference(NORMALIZE)(**args)[1])
    y, length = cache.y, float(cache.length[0, 0])
    dy = t.rng.normal(size=(1, 4))
    dy -= y * (dy * y).sum()
    found = t.call(dy, cache)
    is_array("dx", found, y.shape)
    t.equal("dx", found, dy / length)
    along = t.call(3.0 * y, cache)
    is_array("dx", along, y.shape)
    text = "for dy along y, dx is not 0: only the length of x would change, and y does not see it"
    t.require(np.abs(along).max() < 1e-10, text, "dx")


backward_properties(
    "19.3", rows, forward=NORMALIZE, wrt=("x",),
    edges=[long_vectors, short_vectors, shorter_than_eps, one_shorter_than_eps, a_vector_of_zeros, one_number,
           leading_axes, no_vector],
    large=lambda rng: rows(rng, (64, 128)),
)  # fmt: skip


@prop("19.3", weight=3, essential=True)
def other_lengths(t):
    """vectors of any length: a longer one turns less"""
    for length in (0.01, 3.0, 500.0):
        with t.case(f"about {length:g} long"):
            args = {"x": t.rng.uniform(0.2, 9.0, (4, 1)) * length * t.rng.normal(size=(4, 6))}
            cache = t.expected(lambda args=args: reference(NORMALIZE)(**args)[1])
            dy = t.rng.normal(size=(4, 6))
            right = t.expected(lambda dy=dy, cache=cache: reference(t.task.function)(dy, cache))
            found = t.call(dy, cache)
            is_array("dx", found, right.shape)
            for row in range(4):  # each with its own scale
                t.equal("dx", found[row], right[row])


# --- 19.4


def pair(rng, texts=3, width=5):
    return {"student": 4.0 * rng.normal(size=(texts, width)), "teacher": rng.normal(size=(texts, width))}


def one_text(rng):
    return pair(rng, 1)


def none(rng):
    return pair(rng, 0)


def one_feature(rng):
    return pair(rng, 4, 1)


def opposite(rng):
    args = pair(rng)
    args["student"][1:] = -0.3 * args["teacher"][1:]  # not the first one: a gradient of nothing but zeros has no scale
    return args


def student_is_the_teacher(rng):
    args = pair(rng)
    args["student"][1:] = args["teacher"][1:]
    return args


def a_student_of_zeros(rng):
    args = pair(rng, 2)
    return {**args, "student": np.zeros_like(args["student"])}


def very_long_vectors(rng):
    args = pair(rng)
    return {**args, "student": 1e8 * args["student"]}


@prop("19.4", weight=2, essential=True)
def turns(t):
    """a step down the gradient turns the student's vector towards the teacher's and leaves its length alone"""
    args = pair(t.rng, 1, 4)
    args["student"] = args["student"] / np.abs(args["student"]).max() * 3.0
    cache = t.expected(lambda: reference(DIRECTION)(**args)[1])
    right = t.expected(lambda: reference(t.task.function)(1.7, cache))
    found = t.call(1.7, cache)
    is_array("dstudent", found, right.shape)
    text = "0, though the vectors differ: which of the two is the derivative of n . t by n?"
    t.require(found.any(), text, "dstudent")
    text = "a step down the gradient turns away from the teacher's vector: the loss is 1 MINUS the cosine"
    t.require((found * right).sum() > 0.0, text, "dstudent")
    part = abs(float((found * args["student"]).sum())) / float(np.sqrt((found**2).sum() * (args["student"] ** 2).sum()))
    text = f"{part:.2g} of the gradient points along the student's vector: n = u / |u| does not see that part"
    t.require(part < 1e-9, text, "dstudent")
    t.equal("dstudent", found, right)


backward_properties(
    "19.4", pair, forward=DIRECTION,
    wrt=("student",),
    edges=[one_text, none, one_feature, opposite, student_is_the_teacher, a_student_of_zeros, very_long_vectors],
    large=lambda rng: pair(rng, 300, 40),
)  # fmt: skip
