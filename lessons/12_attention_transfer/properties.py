"""What lesson 12's functions must do."""

import numpy as np

from minimobilebert.course.shared.bundles import backward_properties, forward_properties
from minimobilebert.course.shared.properties import prop
from minimobilebert.course.shared.trial import reference

FORWARD = "minimobilebert/distillation/attention_transfer.py:attention_transfer_forward"


def maps(rng, lengths, tokens, heads=3, scale=1.0):
    """Scores [B, A, T, T] of both; the teacher's are sharper"""
    shape = (len(lengths), heads, tokens, tokens)
    mask = np.arange(tokens) < np.array(lengths)[:, None]
    scores = {"student_scores": scale * rng.normal(size=shape), "teacher_scores": 2.0 * scale * rng.normal(size=shape)}
    return {**scores, "mask": mask}


def draw(rng):
    """Four texts of other lengths than there are heads: no two sizes are the same"""
    return maps(rng, rng.permutation([5, 1, 3, 4]), 5)


def far_apart(rng):
    """Probabilities that are 0 in floating point; their logarithms are not infinite"""
    return maps(rng, (3, 2), 3, scale=400.0)


def scores_near_a_billion(rng):
    """Their differences are exact; a small number that is added to them is lost"""
    args = maps(rng, (3, 2), 3)
    return {**args, **{key: args[key] + 1e9 for key in ("student_scores", "teacher_scores")}}


def hidden_padding(rng):
    """Padding keys as attention leaves them: a number so low that it is gone after softmax"""
    args = maps(rng, (2, 4), 4)
    padding = ~np.broadcast_to(args["mask"][:, None, None, :], args["student_scores"].shape)
    args["student_scores"][padding] = args["teacher_scores"][padding] = -1e30
    return args


def loud_padding(rng):
    """The largest score of every row is a padding key's, by more than any number that one might add to it"""
    args = maps(rng, (2, 3), 4, heads=5)
    padding = ~np.broadcast_to(args["mask"][:, None, None, :], args["student_scores"].shape)
    args["student_scores"][padding] += 1e12
    args["teacher_scores"][padding] -= 900.0
    return args


def loud_teacher(rng):
    args = loud_padding(rng)
    return {**args, "student_scores": args["teacher_scores"], "teacher_scores": args["student_scores"]}


def one_text_is_padding_only(rng):
    return maps(rng, (0, 2), 3)


def padding_only(rng):
    return maps(rng, (0, 0), 2)


def one_token(rng):
    return maps(rng, (1,), 1, heads=1)


def no_text(rng):
    return maps(rng, np.zeros(0, int), 3)


def student_is_the_teacher(rng):
    args = maps(rng, (2, 3), 3)
    return {**args, "student_scores": args["teacher_scores"].copy()}


def large(rng):
    return maps(rng, rng.integers(20, 33, 4), 32, heads=4)


edges = [far_apart, scores_near_a_billion, hidden_padding, loud_padding, loud_teacher, one_text_is_padding_only,
         padding_only, one_token, no_text, student_is_the_teacher]  # fmt: skip


def entropy(args):
    """The average entropy of the teacher's maps: the largest possible one minus the divergence from equal parts"""
    lengths = args["mask"].sum(axis=1)
    largest = float((lengths * np.log(np.maximum(lengths, 1))).sum() / max(lengths.sum(), 1))
    equal_parts = {**args, "student_scores": np.zeros_like(args["student_scores"])}
    return largest - reference(FORWARD)(**equal_parts)[0]


@prop("12.1", weight=4, essential=True)
def difference_kept(t):
    """the cache's difference is the derivative of the loss, also for loud padding keys and a text of padding only"""
    for make in (draw, loud_padding, loud_teacher, one_text_is_padding_only):
        args = make(t.rng)
        t.failed_case = "" if make is draw else make.__name__.replace("_", " ")
        right = t.expected(lambda args=args: reference(FORWARD)(**args)[1].difference)
        loss, crossed = t.expected(lambda args=args: (reference(FORWARD)(**args)[0], entropy(args)))
        result = t.call(*args.values())
        t.require(isinstance(result, tuple) and len(result) == 2, "the function returned no pair: expected loss, cache")
        t.require(
            hasattr(result[1], "difference"),
            "the cache has no difference: expected AttentionTransferCache(difference)",
            "cache",
        )
        t.equal("difference", result[1].difference, right)
        if make is draw:
            text = "it is the cross-entropy: KL and the teacher's entropy, which a perfect student would be left with"
            t.equal("loss", result[0], loss, mistakes={text: loss + crossed})


forward_properties("12.1", draw, names=("loss",), edges=edges, large=large)
backward_properties(
    "12.1:attention_transfer_backward", draw, forward=FORWARD, wrt=("student_scores",), edges=edges, large=large
)
