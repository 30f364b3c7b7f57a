"""What lesson 11's functions must do."""

import numpy as np

from minimobilebert.course.shared.bundles import backward_properties, forward_properties
from minimobilebert.course.shared.properties import prop
from minimobilebert.course.shared.trial import reference

EQUATION_2 = "minimobilebert/distillation/feature_map_transfer.py:feature_map_transfer_forward"
RELEASED = "minimobilebert/distillation/normalized_feature_map_transfer.py:normalized_feature_map_transfer_forward"


def mask_of(lengths, tokens):
    return np.arange(tokens) < np.array(lengths)[:, None]


def maps(rng, lengths, tokens, features, **more):
    """Feature maps [B, T, H] of both; the teacher's have another level and another size than the student's"""
    shape = (len(lengths), tokens, features)
    student, teacher = rng.normal(size=shape), 0.4 + 1.7 * rng.normal(size=shape)
    return {"student": student, "teacher": teacher, "mask": mask_of(lengths, tokens), **more}


def draw(rng):
    """Three texts, one of them full, one short, one in between: all sizes different"""
    return maps(rng, rng.permutation([6, 1, 4]), 6, 5)


def with_factors(rng):
    return maps(rng, (2, 4), 4, 5, pattern_factor=2.0, level_factor=3.0, size_factor=0.7)


def one_text_is_padding_only(rng):
    return maps(rng, (0, 3), 3, 4)


def padding_only(rng):
    return maps(rng, (0, 0), 3, 4)


def one_token(rng):
    return maps(rng, (1,), 1, 4)


def student_is_the_teacher(rng):
    args = maps(rng, (2, 3), 3, 4)
    return {**args, "student": args["teacher"].copy()}


def junk_in_the_padding(rng):
    """What stands there must not matter, however large it is"""
    args = maps(rng, (2, 5), 5, 4)
    args["student"][~args["mask"]] *= 1e4
    return args


def no_text(rng):
    return maps(rng, np.zeros(0, int), 3, 4)


def large(rng):
    return maps(rng, rng.integers(60, 81, 4), 80, 40)


def large_with_statistics(rng):
    """Smaller, because the cache holds several arrays of this size and is recorded"""
    return maps(rng, rng.integers(16, 25, 4), 24, 90)


# --- token_weights


def weigh(mask, dtype):
    """dtype by name: what is sent to the student's process are numbers and texts"""
    import numpy as np

    from minimobilebert.distillation.masked_mean import token_weights

    return token_weights(mask, np.dtype(dtype)), mask


def compare(t, mask, dtype="float64", tolerance=1e-12, given=None):
    right = t.expected(lambda: weigh(mask, dtype)[0])
    returned, after = t.run(weigh, mask if given is None else given, dtype)
    per_text = "each text has a weight of 1: count the real tokens of the whole batch"
    counts = {per_text: mask.sum(axis=1, keepdims=True), "padding is counted": mask.size}
    mistakes = {text: mask / np.maximum(count, 1) for text, count in counts.items()}
    t.equal("weights", returned, right, tolerance, np.dtype(dtype), mistakes)
    return after


def mask(rng):
    return rng.random((3, 7)) < rng.uniform(0.3, 0.9)


@prop("11.1:token_weights", weight=4, essential=True)
def values(t):
    """real tokens share the weight 1 of the whole batch equally, padding has none"""
    for _ in range(3):
        compare(t, mask(t.rng))


@prop("11.1:token_weights", weight=1)
def borders(t):
    """a batch of padding only gives zeros, and no division by 0; one token; no text"""
    for special in (np.zeros((2, 3), bool), np.ones((1, 1), bool), np.zeros((0, 4), bool), mask_of((0, 2), 3)):
        with t.case(f"mask {special.astype(int).tolist()}"):
            compare(t, special)


@prop("11.1:token_weights", weight=1)
def types(t):
    """the weights have the type that was asked for"""
    for dtype in ("float32", "float64"):
        compare(t, mask(t.rng), dtype, 1e-6)  # 1e-7 is one rounding of float32


@prop("11.1:token_weights", weight=1)
def whole_numbers(t):
    """a mask may be 0 and 1 as whole numbers, as tokenizers give it"""
    real = mask(t.rng)
    compare(t, real, given=real.astype(np.int64))


@prop("11.1:token_weights", weight=1)
def many_tokens(t):
    """more real tokens than a small whole number can count"""
    for shape in ((20, 30), (300, 260)):
        real = t.rng.random(shape) < 0.9
        t.equal("weights", t.run(weigh, real, "float64")[0], real / real.sum(), 1e-12, np.dtype("float64"))


@prop("11.1:token_weights", weight=1)
def untouched(t):
    """the mask is not changed"""
    real = mask(t.rng)
    real[0, 0] = True
    t.unchanged(["mask"], [real], [compare(t, real)])


# --- Equation 2

edges = [one_text_is_padding_only, padding_only, one_token, student_is_the_teacher, junk_in_the_padding, no_text]

forward_properties("11.1", draw, names=("loss",), edges=edges, large=large)
backward_properties(
    "11.1:feature_map_transfer_backward", draw, forward=EQUATION_2, wrt=("student",), edges=edges, large=large
)

# --- the released form


def far_from_zero(rng):
    """Each variance is small beside the square of its mean: as a difference of two large numbers it has few digits"""
    args = maps(rng, (2, 4), 4, 5, pattern_factor=0.5, level_factor=0.0, size_factor=2.0)
    return {**args, "student": 3e4 + args["student"], "teacher": 3e4 + args["teacher"]}


def kinks(student, teacher, **others):
    return student.var(axis=-1) - teacher.var(axis=-1)


FACTORS = ("pattern_factor", "level_factor", "size_factor")


def mistaken_terms(student, teacher, mask, **factors):
    """{what it looks like: the loss}, for one factor 1 and the others 0"""
    weights, n = mask / max(int(mask.sum()), 1), student.shape[-1]
    of_student, of_teacher = student.mean(axis=-1), teacher.mean(axis=-1)
    means = of_student - of_teacher
    variances = student.var(axis=-1) - teacher.var(axis=-1)
    if factors["level_factor"]:
        sums = n * of_student - of_teacher, of_student - n * of_teacher
        return {"the absolute value of the difference of the means, not its square": (weights * abs(means)).sum(),
                "the square of an average over all tokens: square first": (weights * means).sum() ** 2,
                "the means are added, not subtracted": (weights * (of_student + of_teacher) ** 2).sum(),
                "a sum over the student's features, not an average": (weights * sums[0] ** 2).sum(),
                "a sum over the teacher's features, not an average": (weights * sums[1] ** 2).sum()}  # fmt: skip
    if factors["size_factor"]:
        deviations, more = student.std(axis=-1) - teacher.std(axis=-1), n / (n - 1)
        both = student.var(axis=-1) + teacher.var(axis=-1)
        summed = n * student.var(axis=-1) - teacher.var(axis=-1)
        return {"standard deviations, not variances": (weights * abs(deviations)).sum(),
                "variances divided by N - 1, not by N": more * (weights * abs(variances)).sum(),
                "a variance divided by N - 1, the other by N":
                    (weights * abs(student.var(axis=-1) - teacher.var(axis=-1, ddof=1))).sum(),
                "the square of the difference of variances, not its absolute value": (weights * variances**2).sum(),
                "the variances are added, not subtracted": (weights * both).sum(),
                "a sum of the student's squares, not an average": (weights * abs(summed)).sum(),
                "the absolute value of an average: each token's first": abs((weights * variances).sum())}  # fmt: skip
    return {"the pattern without its normalisation": (weights * ((student - teacher) ** 2).mean(axis=-1)).sum()}


@prop("11.2", weight=2, essential=True)
def each_term(t):
    """each of the three losses is right, with the factors of the others at 0"""
    for chosen in FACTORS:
        args = maps(t.rng, t.rng.permutation([6, 1, 4]), 6, 5, **{name: float(name == chosen) for name in FACTORS})
        right = t.expected(lambda args=args: reference(RELEASED)(**args)[0])
        more = {name: t.expected(lambda args=args, name=name: reference(RELEASED)(**{**args, name: 1.0})[0])
                for name in FACTORS if name != chosen}  # fmt: skip
        with t.case(f"{chosen} 1, the others 0"):
            result = t.call(*args.values())
            t.require(isinstance(result, tuple) and len(result) == 2, "found no pair, expected loss and cache")
            counted = {
                f"{name} is 0, and its term counts: where is it multiplied?": loss for name, loss in more.items()
            }
            t.equal("loss", result[0], right, mistakes={**mistaken_terms(**args), **counted})


forward_properties("11.2", draw, names=("loss",), edges=[with_factors, far_from_zero, *edges], large=large)
backward_properties(
    "11.2:normalized_feature_map_transfer_backward",
    draw,
    forward=RELEASED,
    wrt=("student",),
    edges=[with_factors, *edges],
    large=large_with_statistics,
    kinks=kinks,
)
