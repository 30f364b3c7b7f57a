"""What lesson 18's functions must do."""

import numpy as np

from minimobilebert.course.sandbox.wire import Seeded
from minimobilebert.course.shared.properties import prop
from minimobilebert.course.shared.trial import reference

LARGEST = 0x7F7F0000  # the bits of the largest bfloat16; 0x7F800000 is infinity, what is above is NaN


def floats(bits):
    return np.array(bits, np.uint64).astype(np.uint32).view(np.float32)


def both_signs(bits):
    bits = np.asarray(bits, np.uint64)
    return floats(np.concatenate([bits, bits | 0x80000000]))


def same_numbers(t, name, found, right):
    """Exactly the same numbers, 0 and -0 told apart; one NaN is like another, as long as it is a bfloat16"""
    if isinstance(found, np.ndarray) and found.dtype == np.float32:
        more = np.ascontiguousarray(found).view(np.uint32) & 0xFFFF != 0
        nan = " (they are NaN)" if np.isnan(found[more]).all() else ""
        text = f"the lower 16 bits of {int(more.sum())} of {more.size} numbers are not 0{nan}: they are no bfloat16"
        t.require(not more.any(), text, name)
        found = np.where(np.isnan(found), np.float32(np.nan), found)  # a signalling NaN would warn when it is compared
    t.equal(name, found, right, tolerance=0.0, dtype=np.float32)
    signs = np.isnan(right) | (np.signbit(found) == np.signbit(right))
    t.require(signs.all(), f"the sign of {int((~signs).sum())} of {signs.size} numbers is lost, of zeros", name)


def compare(t, x):
    right = t.expected(lambda: reference("minimobilebert/ops/bfloat16.py:rounded")(x))
    same_numbers(t, "rounded", t.call(x), right)


# --- 18.1


@prop("18.1", weight=4, essential=True)
def nearest(t):
    """the nearest bfloat16, for numbers of all sizes and both signs"""
    exponents = t.rng.integers(-30, 31, 300)
    compare(t, (t.rng.normal(size=300) * 2.0**exponents).astype(np.float32))
    with t.case("all exponents"):
        compare(t, both_signs((t.rng.integers(1, 254, 200) << 23) + t.rng.integers(0, 1 << 23, 200)))


@prop("18.1", weight=2, essential=True)
def ties(t):
    """of two equally near ones the one whose last bit is 0"""
    upper = t.rng.integers(0x0100, 0x7F00, 60).repeat(2) ^ np.tile([0, 1], 60)  # both parities
    for words, lower in (("half way", 0x8000), ("just below half way", 0x7FFF), ("just above half way", 0x8001)):
        with t.case(words):
            compare(t, both_signs((upper << 16) + lower))


@prop("18.1", weight=1)
def exact(t):
    """a bfloat16 stays what it is"""
    x = both_signs(t.rng.integers(0x0080, 0x7F80, 100) << 16)
    same_numbers(t, "rounded", t.call(x), x)


@prop("18.1", weight=1)
def carries(t):
    """where the fraction is full the exponent rises, and beyond the largest bfloat16 comes infinity"""
    with t.case("to the next power of two"):
        compare(t, both_signs((t.rng.integers(1, 254, 20) << 23) + 0x7F8000))
    with t.case("around the largest bfloat16"):
        compare(t, both_signs(LARGEST + np.array([0, 0x7FFF, 0x8000, 0x8001, 0xFFFF])))


@prop("18.1", weight=1)
def not_finite(t):
    """infinity stays, and NaN stays NaN, whatever its fraction is"""
    with t.case("infinity"):
        compare(t, floats([0x7F800000, 0xFF800000]))
    with t.case("NaN"):
        compare(t, both_signs([0x7FC00000, 0x7F800001, 0x7F808000, 0x7FFFFFFF, 0x7FFF8000]))


@prop("18.1", weight=1)
def small(t):
    """denormal numbers become 0 of their sign, the smallest normal one does not; 0 and -0 stay"""
    numbers = [0, 1, 0x7FFF, 0x8000, 0x10000, 0x007F8000, 0x007FFFFF, 0x00800000, 0x00800001, 0x0080FFFF]
    compare(t, both_signs([*numbers, *t.rng.integers(1, 0x00800000, 20)]))


@prop("18.1", weight=1)
def arrays(t):
    """arrays of any layout and size, and the argument is left as it is"""
    x = t.rng.normal(size=(4, 6, 3)).astype(np.float32)
    for words, each in (("transposed", x.T), ("every second", x[:, ::2, ::-1]), ("empty", x[:, :0])):
        with t.case(words):
            compare(t, each)
    right = t.expected(lambda: reference(t.task.function)(x.copy()))
    result, after = t.call_keeping(x)
    same_numbers(t, "rounded", result, right)
    t.unchanged(("x",), (x,), after)


# --- product


def multiply(precision, a, b):
    """product(a, b) with the precision chosen, and what its arguments are afterwards"""
    from minimobilebert.kernels.runtime.precision import use_precision
    from minimobilebert.ops.bfloat16 import product

    with use_precision(precision):
        return product(a, b), a, b


def multiply_in_float32(a, b):
    """product(a, b) where a part of the code asks for float32 in a run in bfloat16, as the masked-word head does"""
    from minimobilebert.kernels.runtime.precision import in_float32, use_precision
    from minimobilebert.ops.bfloat16 import product

    with use_precision("bfloat16"), in_float32():
        return product(a, b)


def compare_product(t, precision, a, b, tolerance, dtype):
    right = t.expected(lambda: multiply(precision, a.copy(), b.copy())[0])
    found, after_a, after_b = t.run(multiply, precision, a, b)
    if (cause := what_was_rounded(found, right, a, b, precision)) is not None:
        t.require(False, cause, "a @ b")
    t.equal("a @ b", found, right, tolerance, dtype)
    t.unchanged(("a", "b"), (a, b), (after_a, after_b))


def what_was_rounded(found, right, a, b, precision):
    """Where `found` is wrong: the product that it is instead, in words, or None"""

    def same(x, y):
        return np.abs(x - y).max() <= 2e-6 * np.abs(right).max()

    if not isinstance(found, np.ndarray) or found.shape != right.shape or same(found, right):
        return None
    r = reference("minimobilebert/ops/bfloat16.py:rounded")
    of_a, of_b = r(a), r(b)
    if precision == "bfloat16" and a.dtype == np.float32:
        products = {
            "nothing was rounded, though the precision is bfloat16": a @ b,
            "the result was rounded, not the operands": r(a @ b),
            "the result was rounded too; only the operands are": r(of_a @ of_b),
            "only a was rounded": of_a @ b,
            "only b was rounded": a @ of_b,
        }
    else:
        words = f"the operands were rounded, though they are {a.dtype} and the precision is {precision}"
        products = {words: of_a @ of_b}
    return next((words for words, product in products.items() if same(found, product)), None)


def operands(rng, dtype, m=5, k=37, n=4):
    return rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)


@prop("18.1:product", weight=4, essential=True)
def rounds_operands(t):
    """with bfloat16 both operands are rounded, and the sums are float32"""
    for m, k, n in ((5, 37, 4), (3, 200, 6), (1, 1, 1)):
        with t.case(f"[{m}, {k}] times [{k}, {n}]"):
            compare_product(t, "bfloat16", *operands(t.rng, np.float32, m, k, n), 2e-5, np.float32)


@prop("18.1:product", weight=2, essential=True)
def exact_sums(t):
    """whole numbers up to 256: every product and every sum is exact in float32, and has to come out exactly"""
    a, b = (t.rng.integers(-256, 257, size).astype(np.float32) for size in ((4, 100), (100, 3)))
    compare_product(t, "bfloat16", a, b, 0.0, np.float32)
    ones = np.ones((1, 1000), np.float32)
    with t.case("1000 ones"):
        compare_product(t, "bfloat16", ones, ones.T, 0.0, np.float32)


@prop("18.1:product", weight=2, essential=True)
def float32_is_the_default(t):
    """with float32 nothing is rounded"""
    compare_product(t, "float32", *operands(t.rng, np.float32), 2e-6, np.float32)


@prop("18.1:product", weight=1)
def asks_rounds(t):
    """whether to round is what `rounds` says: a part of the code can ask for float32 in a run in bfloat16"""
    a, b = operands(t.rng, np.float32)
    found = t.run(multiply_in_float32, a, b)
    cause = what_was_rounded(found, a @ b, a, b, "float32")
    t.require(cause is None, "rounded inside `with in_float32()`: ask `rounds`, not the precision", "a @ b")
    t.equal("a @ b", found, a @ b, 2e-6, np.float32)


@prop("18.1:product", weight=1)
def float64(t):
    """float64 is multiplied in float64, whatever the precision is"""
    for precision in ("bfloat16", "float32"):
        with t.case(precision):
            compare_product(t, precision, *operands(t.rng, np.float64), 1e-12, np.float64)


@prop("18.1:product", weight=1)
def leading_axes(t):
    """leading axes, and transposed operands"""
    a, b = (t.rng.normal(size=size).astype(np.float32) for size in ((2, 3, 4, 5), (6, 5)))
    with t.case("[2, 3, 4, 5] times [5, 6]"):
        compare_product(t, "bfloat16", a, b.T, 2e-5, np.float32)
    with t.case("[2, 3, 4, 5] times [2, 3, 5, 4]"):
        compare_product(t, "bfloat16", a, a.swapaxes(-1, -2), 2e-5, np.float32)


# --- 18.2


def neighbours(x):
    """The bfloat16 nearer to 0 and the one farther from it; x is a normal number"""
    bits = x.view(np.uint32)
    return floats(bits & 0xFFFF0000), floats((bits & 0xFFFF0000).astype(np.uint64) + 0x10000)


def rounded_and_argument(x, rng):
    """The result, and the argument afterwards"""
    from minimobilebert.ops.bfloat16 import stochastically_rounded

    return stochastically_rounded(x, rng), x


def rounded_twice(x, rng):
    """Two calls with one generator"""
    from minimobilebert.ops.bfloat16 import stochastically_rounded

    return stochastically_rounded(x, rng), stochastically_rounded(x, rng)


def draw(t, x, seed=None):
    found = t.call(x, Seeded(int(t.rng.integers(1 << 30)) if seed is None else seed))
    t.require(isinstance(found, np.ndarray), "expected an array", "result")
    t.require(found.dtype == np.float32, f"found {found.dtype}, expected float32", "result")
    t.require(found.shape == x.shape, f"found the shape {found.shape}, expected {x.shape}", "result")
    return found


@prop("18.2", weight=3, essential=True)
def a_neighbour(t):
    """each number becomes one of the two bfloat16 beside it"""
    x = both_signs((t.rng.integers(1, 254, 500) << 23) + t.rng.integers(0, 1 << 23, 500))
    found, (below, above) = draw(t, x), neighbours(x)
    wrong = int(((found != below) & (found != above)).sum())
    t.require(wrong == 0, f"{wrong} of {x.size} numbers are none of their two neighbours", "result")


@prop("18.2", weight=4, essential=True)
def mean(t):
    """the mean of many roundings is the number itself"""
    for words, share in (("1/64", 1 / 64), ("1/4", 0.25), ("half", 0.5), ("9/10", 0.9)):
        upper = int(t.rng.integers(0x3000, 0x4F00)) << 16
        for sign in (0, 0x80000000):
            x = floats(np.full((100, 200), upper + int(share * 0x10000) + sign))
            above, expected = int((draw(t, x) == neighbours(x)[1]).sum()), share * x.size
            bound = 6.0 * np.sqrt(expected * (1.0 - share))
            with t.case(f"{'-' if sign else ''}x at {words} of the way from below to above"):
                t.require(
                    abs(above - expected) < bound,
                    f"{above} of {x.size} became the one above, expected {expected:.0f} ± {bound:.0f}",
                    "result",
                )


@prop("18.2", weight=1)
def rare(t):
    """a small part of the way is a small chance, down to 1 in 65536; so is a small part that is missing"""
    upper, lowers = int(t.rng.integers(0x3000, 0x4F00)) << 16, (0x0001, 0x0080, 0x01EC, 0xFFFF)
    counts = [1_500_000 if lower in (0x0001, 0xFFFF) else 250_000 for lower in lowers]
    x = floats(upper + np.repeat(lowers, counts))
    up = np.split(draw(t, x) == neighbours(x)[1], np.cumsum(counts)[:-1])
    for lower, count, part in zip(lowers, counts, up, strict=True):
        expected = min(lower, 0x10000 - lower) / 0x10000 * count  # those that go to the farther neighbour
        found = int(part.sum()) if lower < 0x8000 else count - int(part.sum())
        with t.case(f"lower half 0x{lower:04X}"):
            t.require(
                0 < found < expected + 7.0 * np.sqrt(expected) and found > expected - 7.0 * np.sqrt(expected),
                f"{found} of {count} went to the farther neighbour, expected about {expected:.0f}: how many different"
                " chances does your generator give?", "result",
            )  # fmt: skip


@prop("18.2", weight=2, essential=True)
def exact_stays(t):
    """a bfloat16 stays what it is, always"""
    # A million numbers: one in 65536 is what a range of chances that is off by one moves.
    x = both_signs(np.repeat(t.rng.integers(0x0080, 0x7F80, 20) << 16, 25_000))
    same_numbers(t, "result", draw(t, x), x)


@prop("18.2", weight=1)
def independent(t):
    """each number has a chance of its own"""
    x = floats(np.full((50, 40), 0x3F808000))
    found = draw(t, x) == neighbours(x)[1]
    for axis, words in ((0, "a column"), (1, "a row")):
        with t.case(words):
            shares = found.mean(axis=axis)
            t.require((np.abs(shares - 0.5) < 0.48).all(), f"all numbers of {words} went the same way", "result")


@prop("18.2", weight=1)
def from_rng(t):
    """chance comes from rng alone: the same seed, the same result; and another one with another seed"""
    x = t.rng.normal(size=(20, 30)).astype(np.float32)
    seed = int(t.rng.integers(1 << 30))
    first, again, other = draw(t, x, seed), draw(t, x, seed), draw(t, x, seed + 1)
    t.require(np.array_equal(first, again), "two calls with generators of one seed differ", "result")
    t.require(not np.array_equal(first, other), "generators of two seeds give the same result", "result")
    once, twice = t.run(rounded_twice, x, Seeded(int(t.rng.integers(1 << 30))))
    text = "two calls with one generator give the same: the first leaves the generator as it was"
    t.require(not np.array_equal(once, twice), text, "result")
    below, above = neighbours(x)
    t.require(((first == below) | (first == above)).all(), "a number is none of its neighbours", "result")


@prop("18.2", weight=1)
def special(t):
    """infinity and NaN stay, denormal numbers become 0 of their sign"""
    nan = [0x7FC00000, 0x7F800001, 0x7F80FFFF, 0x7FFFFFFF, 0x7FFF8000]
    x = np.concatenate([both_signs(np.repeat(part, 20)) for part in ([0x7F800000], nan, [0, 1, 0x8000, 0x007FFFFF])])
    right = np.where(np.isnan(x), np.float32(np.nan), x)
    right = np.where(np.abs(right) < np.float32(2.0**-126), np.copysign(np.float32(0.0), right), right)
    same_numbers(t, "result", draw(t, x), right)


@prop("18.2", weight=1)
def layouts(t):
    """arrays of any layout and size, and the argument is left as it is"""
    x = t.rng.normal(size=(4, 6, 3)).astype(np.float32)
    for words, each in (("transposed", x.T), ("every second", x[:, ::2, ::-1]), ("empty", x[:, :0])):
        with t.case(words):
            found, (below, above) = draw(t, each), neighbours(np.ascontiguousarray(each))
            t.require(((found == below) | (found == above)).all(), "a number is none of its neighbours", "result")
    result, after = t.run(rounded_and_argument, x, Seeded(7))
    below, above = neighbours(x)
    t.require(((result == below) | (result == above)).all(), "a number is none of its neighbours", "result")
    t.unchanged(("x",), (x,), (after,))
