"""What lesson 06's functions must do."""

import dataclasses

import numpy as np

from minimobilebert.course.sandbox.wire import Seeded
from minimobilebert.course.shared.bundles import FLOAT32, backward_properties, forward_properties
from minimobilebert.course.shared.dependence import Dependence, degrees
from minimobilebert.course.shared.properties import prop
from minimobilebert.course.shared.returned import as_tuple
from minimobilebert.course.shared.trial import reference

FORWARD = "minimobilebert/ops/attention.py:attention_forward"
BACKWARD = "minimobilebert/ops/attention.py:attention_backward"
NAMES = ("dquery", "dkey", "dvalue")


def case(rng, /, batch=2, tokens=4, heads=3, size=5, mask=None, **more):
    """Queries, keys and values [B, T, A*K]; padding at the end of some sequences"""
    made = {name: rng.normal(size=(batch, tokens, heads * size)) for name in ("query", "key", "value")}
    if mask is None:
        mask = np.arange(tokens) < rng.integers(1, tokens + 1, batch)[:, None]
    return {**made, "mask": mask, "num_heads": heads, **more}


def draw(rng):
    batch, tokens, heads = rng.permutation([2, 3, 4])
    return case(rng, int(batch), int(tokens), int(heads), size=5)  # a scale of 2 or sqrt(2) could be many things


def nothing_masked(rng):
    return case(rng, mask=np.ones((2, 4), bool))


def padding_in_between(rng):
    """Padding need not stand at the end"""
    return case(rng, mask=np.array([[True, False, True, True], [False, True, True, False]]))


def only_padding(rng):
    """A sequence without a real token: equal shares, and no NaN"""
    return case(rng, mask=np.array([[True, True, True, True], [False, False, False, False]]))


def huge_scores(rng):
    """NoNorm bounds nothing: queries and keys of thousands"""
    args = case(rng)
    return {**args, "query": 3000.0 * args["query"], "key": 1000.0 * args["key"]}


def with_dropout(rng):
    return case(rng, dropout_rate=0.4, rng=Seeded(int(rng.integers(1000))))


edges = [
    nothing_masked,
    padding_in_between,
    only_padding,
    lambda rng: case(rng, heads=1, size=4),
    lambda rng: case(rng, heads=4, size=1),
    lambda rng: case(rng, batch=1, tokens=1),
    lambda rng: case(rng, batch=0),
]


def attend(args, cache=False):
    """The reference's context, or its cache; only inside t.expected"""
    return reference(FORWARD)(**{k: np.random.default_rng(v.seed) if isinstance(v, Seeded) else v
                                 for k, v in args.items()})[int(cache)]  # fmt: skip


def drawn_next(args):
    """What the generator gives after the reference's forward, [] without one; only inside t.expected"""
    if not isinstance(args["rng"], Seeded):
        return []
    rng = np.random.default_rng(args["rng"].seed)
    reference(FORWARD)(**{**args, "rng": rng})
    return [int(rng.bit_generator.random_raw())]


# In front of the bundle: a wrong scale, mask or head says here what it is, and spoils everything behind it.
@prop("06.1", weight=1)
def scores_of_real_keys(t):
    """the cache's scores are those in front of softmax, scaled; None where nobody wants them"""
    args = draw(t.rng)
    right = t.expected(lambda: attend(args, cache=True).scores)
    keys = args["mask"][:, None, None, :]
    result = t.call(*args.values())
    t.require(isinstance(result, tuple) and len(result) == 2, "expected two results: context, cache")
    scores = getattr(result[1], "scores", None)
    t.require(
        isinstance(scores, np.ndarray) and scores.shape == right.shape, f"expected an array {right.shape}", "scores"
    )
    hidden, padding = scores <= -1e29, np.broadcast_to(~keys, scores.shape)
    for text, wrong in (
        ("the mask is inverted: True is a real token, whose score stays", ~padding),
        ("the mask is along the queries, axis 2: it hides keys, which are along axis 3",
         np.broadcast_to(~np.swapaxes(keys, 2, 3), scores.shape)),
    ):  # fmt: skip
        is_it = (hidden == wrong).all() and not (hidden == padding).all()
        t.require(not is_it, text, "scores", certainty=2)
    t.equal("scores", np.where(keys, scores, 0.0), np.where(keys, right, 0.0))
    t.require(
        bool((np.where(keys, -1e30, scores) <= -1e29).all()), "a padding key's score is not MASKED_SCORE", "scores"
    )
    cache = t.call(*args.values(), keep_scores=False)[1]
    t.require(getattr(cache, "scores", 0) is None, "scores are kept though keep_scores is False", "scores")


forward_properties(
    "06.1", draw, edges=[*edges, huge_scores], names=("context",),
    large=lambda rng: case(rng, batch=2, tokens=300, heads=2, size=20, keep_scores=False),
)  # fmt: skip


@prop("06.1", weight=2, essential=True)
def padding(t):
    """what stands at a padding key changes nothing, whatever it is"""
    args = case(t.rng, mask=np.array([[True, True, True, False], [True, False, False, False]]))
    right = t.expected(lambda: attend(args))
    for size in (1.0, 1e6):
        other = {**args, **{name: args[name].copy() for name in ("key", "value")}}
        for name in ("key", "value"):
            other[name][~args["mask"]] = size * t.rng.normal(size=other[name][~args["mask"]].shape)
        t.equal("context", t.call(*other.values())[0], right)


@prop("06.1", weight=1)
def dropout(t):
    """with a generator, probabilities are dropped and the others grow; the cache keeps them as they were before"""
    for more in ({"rng": None}, {"dropout_rate": 0.0}, {}):
        args = {**with_dropout(t.rng), **more}
        context, cache = t.expected(lambda args=args: [attend(args), attend(args, cache=True)])
        drawn = t.expected(lambda args=args: drawn_next(args))
        returned = t.call(*args.values())
        t.equal("context", returned[0], context)
        t.equal("probabilities", returned[1].probabilities, cache.probabilities)
        t.same("keep", returned[1].keep, cache.keep)
        if drawn:
            text = "the generator is left in another state: draw from rng only, and only what dropout needs"
            t.require(t.drawn_next == drawn, text, "rng")
    args = {key: value.astype(np.float32) if key in ("query", "key", "value") else value
            for key, value in with_dropout(t.rng).items()}  # fmt: skip
    context, keep = t.expected(lambda: [attend(args), attend(args, cache=True).keep])
    returned = t.call(*args.values())
    t.same("keep", returned[1].keep, keep, 1e-6)
    t.equal("context", returned[0], context, FLOAT32, np.float32)


backward_properties(
    "06.2", draw, forward=FORWARD, wrt=("query", "key", "value"), edges=[*edges, with_dropout],
    large=lambda rng: case(rng, batch=2, tokens=160, heads=2, size=24, keep_scores=False),
)  # fmt: skip


def backward(t, args, with_scores):
    """-> the student's gradients and the reference's; a gradient arrives at the scores where `with_scores` says so"""
    cache = t.expected(lambda: attend(args, cache=True), [v for v in args.values() if isinstance(v, np.ndarray)])
    dcontext = t.rng.normal(size=args["query"].shape)
    batch, tokens = args["mask"].shape
    dscores = t.rng.normal(size=(batch, args["num_heads"], tokens, tokens)) if with_scores else None
    right = t.expected(lambda: list(reference(BACKWARD)(dcontext, attend(args, cache=True), dscores)))

    def degrees_of_the_reference():
        given = {"dcontext": dcontext, "cache": attend(args, cache=True), "dscores": dscores}
        return degrees(lambda *given: reference(BACKWARD)(*given), given)

    given = {"dcontext": dcontext, "cache": cache, "dscores": dscores}
    depends = Dependence(lambda *given: as_tuple(t.probe(*given)), given, t.expected(degrees_of_the_reference), NAMES)
    returned = t.call(*given.values())
    t.known = dataclasses.replace(t.known, depends=depends)
    return returned, right


@prop("06.2", weight=2, essential=True)
def transfer(t):
    """the gradient that attention transfer sends to the scores is added; padding keys get none of it"""
    for args in (draw(t.rng), with_dropout(t.rng), padding_in_between(t.rng)):
        returned, right = backward(t, args, with_scores=True)
        t.require(isinstance(returned, tuple) and len(returned) == 3, "expected three gradients: dquery, dkey, dvalue")
        for name, gradient, expected in zip(NAMES, returned, right, strict=True):
            t.equal(name, gradient, expected)


@prop("06.2", weight=1)
def dropout_backward(t):
    """what dropout dropped gets no gradient, and the kept ones their growth"""
    returned, right = backward(t, with_dropout(t.rng), with_scores=False)
    for name, gradient, expected in zip(NAMES, returned, right, strict=False):
        t.equal(name, gradient, expected)
