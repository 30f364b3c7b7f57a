"""What lesson 04's functions must do."""

import numpy as np

from minimobilebert.course.shared.bundles import backward_properties, forward_properties
from minimobilebert.course.shared.properties import prop
from minimobilebert.course.shared.trial import reference

SOFTMAX = "minimobilebert/ops/softmax.py:softmax_forward"
HARD = "minimobilebert/ops/cross_entropy.py:cross_entropy_forward"
SOFT = "minimobilebert/ops/cross_entropy.py:soft_cross_entropy_forward"


# A sum of 20,000 positive numbers in float32 is right to 1e-7 if it is made of partial sums, as NumPy's is. A running
# sum loses two digits.
LONG = 1e-6


def _reference(function, args):
    """The reference's result without its cache; only inside t.expected"""
    return reference(function)(**args)[0]


def scores(rng, *shape, scale=2.0):
    return {"x": scale * rng.normal(size=shape)}


def three_axes(rng):
    return scores(rng, *rng.permutation([2, 3, 5]))


def one_row(rng):
    return scores(rng, 6)


def no_rows(rng):
    return scores(rng, 0, 4)


def one_column(rng):
    return scores(rng, 2, 3, 1)


def four_axes(rng):
    return scores(rng, 2, 1, 3, 4)


def thousands(rng):
    """e^x is infinite for half of these and 0 for the other half; the answer is neither"""
    return scores(rng, 3, 5, scale=2000.0)


edges = [one_row, no_rows, one_column, four_axes]
forward_properties(
    "04.1", three_axes, edges=edges, large=lambda rng: scores(rng, 2, 3, 20000, scale=0.3), large_float32=LONG
)


@prop("04.1", weight=2, essential=True)
def thousands_apart(t):
    """scores in the thousands give probabilities, neither infinity nor NaN"""
    for args in (thousands(t.rng), {"x": thousands(t.rng)["x"] - 9000.0}, {"x": np.full((2, 3), -1e30)}):
        right = t.expected(lambda args=args: _reference(SOFTMAX, args))
        t.equal("y", t.call(*args.values())[0], right)


backward_properties(
    "04.2", three_axes, forward=SOFTMAX, wrt=("x",), edges=edges, large=lambda rng: scores(rng, 5, 24, 120)
)  # fmt: skip


def labelled(rng, rows=None, words=None, scale=2.0):
    """[M, V] logits with M and V different, and a label a row; a label twice where there are more rows than words"""
    drawn = rng.permutation([4, 7])
    rows, words = (drawn[0] if rows is None else rows), (drawn[1] if words is None else words)
    return {"logits": scale * rng.normal(size=(rows, words)), "labels": rng.integers(0, words, rows)}


def far_from_right(rng):
    """The right word's probability is 0 in floating point; its loss is a few thousand"""
    return labelled(rng, 5, 3, scale=3000.0)


def no_row(rng):
    return labelled(rng, 0, 5)


def a_single_row(rng):
    return labelled(rng, 1, 6)


def a_single_word(rng):
    return labelled(rng, 4, 1)


def logits_near_a_billion(rng):
    """Their differences are exact, and their sums with a small number lose its digits"""
    args = labelled(rng, 5, 4)
    return {**args, "logits": args["logits"] + 1e9}


hard_edges = [no_row, a_single_row, a_single_word]
forward_properties(
    "04.3", labelled, edges=[*hard_edges, logits_near_a_billion], names=("losses",),
    large=lambda rng: labelled(rng, 6, 20000, scale=0.3), large_float32=LONG,
)  # fmt: skip


@prop("04.3", weight=2, essential=True)
def hopelessly_wrong(t):
    """where the right word's probability is 0 in floating point, the loss is a few thousand, not infinite"""
    args = far_from_right(t.rng)
    t.equal("losses", t.call(*args.values())[0], t.expected(lambda: _reference(HARD, args)))


def refused(logits, labels):
    from minimobilebert.ops.cross_entropy import cross_entropy_forward

    try:
        cross_entropy_forward(logits, labels)
    except ValueError as error:
        return str(error)
    return None


@prop("04.3")
def labels_that_are_none(t):
    """a label below 0 or above V - 1 is a ValueError"""
    args = labelled(t.rng, 4, 6)
    losses = t.expected(lambda: _reference(HARD, args))
    t.equal("losses", t.call(*args.values())[0], losses)
    for label in (-1, 6, -6):
        labels = args["labels"].copy()
        labels[2] = label
        text = f"label {label} of 6 words was taken, expected ValueError"
        t.require(t.run(refused, args["logits"], labels) is not None, text, "labels")


backward_properties(
    "04.4", labelled, forward=HARD, wrt=("logits",), edges=[far_from_right, *hard_edges],
    large=lambda rng: labelled(rng, 20, 2000),
)  # fmt: skip


def targeted(rng, rows=None, words=None, scale=2.0):
    """Targets that do not sum to 1, so that the general formula is asked for"""
    args = labelled(rng, rows, words, scale)
    return {"logits": args["logits"], "targets": rng.random(args["logits"].shape)}


def distributions(rng):
    """What a teacher gives: rows that sum to 1, with a 0 in them"""
    args = targeted(rng, 4, 5)
    args["targets"][:, 2] = 0.0
    return {**args, "targets": args["targets"] / args["targets"].sum(axis=-1, keepdims=True)}


def no_row_of_targets(rng):
    return targeted(rng, 0, 5)


def one_row_of_targets(rng):
    return targeted(rng, 1, 6)


def targets_of_one_word(rng):
    return targeted(rng, 4, 1)


def targets_of_zeros(rng):
    return {**targeted(rng, 3, 4), "targets": np.zeros((3, 4))}


def logits_in_the_thousands(rng):
    """Most probabilities are 0 in floating point; their logarithms are numbers"""
    return targeted(rng, 5, 3, 3000.0)


def logits_near_a_billion_and_targets(rng):
    args = targeted(rng, 5, 4)
    return {**args, "logits": args["logits"] + 1e9}


soft_edges = [distributions, no_row_of_targets, one_row_of_targets, targets_of_one_word, targets_of_zeros]
forward_properties(
    "04.5", targeted, names=("losses",),
    edges=[logits_in_the_thousands, logits_near_a_billion_and_targets, *soft_edges],
    large=lambda rng: targeted(rng, 6, 20000, scale=0.3), large_float32=LONG,
)  # fmt: skip
backward_properties(
    "04.5:soft_cross_entropy_backward",
    targeted,
    forward=SOFT,
    wrt=("logits",),
    edges=soft_edges,
    large=lambda rng: targeted(rng, 20, 1500),
)
