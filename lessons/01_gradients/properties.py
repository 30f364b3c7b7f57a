"""What lesson 01's functions must do. What is right is known here in closed form, so nothing has to be recorded."""

import numpy as np

from minimobilebert.course.shared.bundles import backward_properties
from minimobilebert.course.shared.properties import prop

# --- 01.1: central_difference(function, x, step)

SMOOTH = 1e-8  # a step of 1e-5 leaves an error near 1e-10: h^2 and rounding are of that size


def shapes(rng):
    """No axis, one, two and three; nothing square"""
    return [(), (3,), tuple(rng.permutation([2, 3])), tuple(rng.permutation([2, 3, 4]))]


@prop("01.1", weight=4, essential=True)
def values(t):
    """the gradient of a smooth function, for arrays of any shape"""
    for shape in shapes(t.rng):
        x, a = t.rng.normal(size=shape), t.rng.normal(size=shape)
        returned = t.call(lambda x, a=a: float((a * np.sin(x)).sum() + x.sum() ** 2), x)
        t.equal("gradient", returned, a * np.cos(x) + 2.0 * x.sum(), SMOOTH)


@prop("01.1", weight=2, essential=True)
def second_order(t):
    """the difference is central and its step is the one that was asked for"""
    x = t.rng.normal(size=(2, 3))
    for step in (0.5, 0.1):
        # ((x + h)^3 - (x - h)^3) / 2h is 3 x^2 + h^2 exactly; one-sided it is 3 x^2 + 3 x h + h^2.
        found, slope = t.call(lambda x: float((x**3).sum()), x, step), 3.0 * x**2
        t.equal("gradient", found, slope + step**2, mistakes={
            "a one-sided difference of x + h and x: its error is of order h": slope + 3.0 * step * x + step**2,
            "a one-sided difference of x and x - h: its error is of order h": slope - 3.0 * step * x + step**2,
            "the slope itself, or a difference with a smaller step: the step is not the one that was asked for": slope,
        })  # fmt: skip


@prop("01.1", weight=1)
def evaluations(t):
    """two evaluations an entry, and none for an array without entries"""
    for shape in [(2, 3), (4,), (0, 3)]:
        calls = []

        def function(x, calls=calls):
            calls.append(x)
            return float((x * x).sum())

        x = t.rng.normal(size=shape)
        t.equal("gradient", t.call(function, x), 2.0 * x, SMOOTH)
        expected = 2 * x.size
        t.require(len(calls) == expected, f"{len(calls)} evaluations for {x.size} entries, expected {expected}")


@prop("01.1", weight=1)
def single(t):
    """float32 goes in and the work is done in float64"""
    x = t.rng.normal(size=(2, 3)).astype(np.float32)
    returned = t.call(lambda x: float((x * x).sum()), x)
    not_converted = "convert x to float64 first: float32 has no digits left for the difference of two near values"
    right = 2.0 * x.astype(np.float64)
    t.equal("gradient", returned, right, SMOOTH, np.float64, mistakes={not_converted: None})


def keeping(x):
    import numpy as np

    from minimobilebert.gradcheck.small import central_difference

    return central_difference(lambda x: float(np.exp(x).sum()), x), x


@prop("01.1", weight=1)
def untouched(t):
    """x is left bit for bit as it was"""
    x = t.rng.normal(size=(3, 4))
    returned, after = t.run(keeping, x)
    t.equal("gradient", returned, np.exp(x), SMOOTH)
    t.unchanged(["x"], [x], [after])


def scribbling(x):
    from minimobilebert.gradcheck.small import central_difference

    def function(x):
        value = float((x * x).sum())
        x *= 0.0
        return value

    return central_difference(function, x)


@prop("01.1", weight=1)
def own_arrays(t):
    """each call gets an array of its own: the function may write into it"""
    x = 1.0 + t.rng.random((2, 3))
    t.equal("gradient", t.run(scribbling, x), 2.0 * x, SMOOTH)


# --- 01.2: direction_error(forward, backward, inputs, rng, step)


def errors_of(case, wrong, seeds, shape, size=1.0):
    """Runs beside the student's code -> direction_error of a toy operation for each seed, and what it did to get there

    wrong: "" or which mistake the operation's backward makes
    """
    import numpy as np

    from minimobilebert.gradcheck.small import direction_error

    def square(x):
        return size * x * x, x

    def square_back(dy, x):
        return {"": 2.0 * size * dy * x, "no dy": 2.0 * size * x, "half": size * dy * x, "sign": -2.0 * size * dy * x,
                "nan": np.nan * dy * x}[wrong]  # fmt: skip

    def centre(x):
        return x - x.mean(axis=-1, keepdims=True), None

    def centre_back(dy, cache):
        return 0.0 * dy if wrong == "zeros" else dy - dy.mean(axis=-1, keepdims=True)

    def turn(x):
        return np.roll(x, 1, axis=0), None

    def turn_back(dy, cache):
        return np.roll(dy, 1 if wrong == "same way" else -1, axis=0)

    def view(x):
        return x[::-1], None

    def view_back(dy, cache):
        return dy if wrong == "not undone" else dy[::-1]

    def product(x, w, b):
        return size * (x * w + b), (x, w)

    def product_back(dy, cache):
        x, w = cache
        dw, db = (dy * x).sum(axis=0), dy.sum(axis=0)
        if wrong == "mean":
            db = dy.mean(axis=0)
        if wrong == "rows":
            dw = (dy[::-1] * x).sum(axis=0)
        return size * dy * w, size * dw, size * db

    def offset(x):
        return np.concatenate([np.sin(x), np.full(x.shape, 1e9)]), x

    def offset_back(dy, x):
        return dy[: len(x)] * np.cos(x)

    def cubic(x):
        return 1e3 * x**3, x

    def cubic_back(dy, x):
        return 3e3 * dy * x**2

    def nothing(x):
        return 0.0 * x, None

    def nothing_back(dy, cache):
        return 0.0 * dy

    def number(x):
        return float(np.sin(x).sum()), x

    def number_back(dy, x):
        return dy * (-np.cos(x) if wrong == "sign" else np.cos(x))

    def writing(x):
        y, cache = np.sin(x), x.copy()
        x *= 0.0
        return y, cache

    def writing_back(dy, x):
        return dy * np.cos(x)

    here = locals()
    errors, calls, same, drawn = [], [], True, True

    def forward(*given):
        calls.append(given)
        return here[case](*given)

    for seed in seeds:
        rng = np.random.default_rng([seed, 1])
        inputs = (rng.normal(size=shape),)
        if case == "product":
            inputs += (rng.normal(size=shape[-1]), rng.normal(size=shape[-1]))
        before, again = ([x.copy() for x in inputs] for _ in range(2))
        rng, twin = np.random.default_rng([seed, 2]), np.random.default_rng([seed, 2])
        y = here[case](*again)[0]
        errors.append(direction_error(forward, here[f"{case}_back"], inputs, rng))
        for array in (y, *inputs):
            twin.standard_normal(np.shape(array))
        drawn = drawn and bool(rng.bit_generator.random_raw() == twin.bit_generator.random_raw())
        same = same and all(np.array_equal(a, b) for a, b in zip(inputs, before, strict=True))
    return {"errors": errors, "calls": len(calls) / len(seeds), "inputs unchanged": same, "drawn": drawn}


# Along one direction a wrong gradient can be right by chance, and the slope of a right one so small that rounding is
# large beside it: measured, at most one direction in 4,000 for any operation here. Of five directions the middle one
# is taken, so that a verdict is wrong only if three of them are.
RIGHT, WRONG, DIRECTIONS = 1e-6, 1e-4, 5


TOYS = {
    "square": "x^2", "centre": "x minus the average of its row; it adds up to 0", "turn": "rows moved on by one",
    "product": "x w + b, three inputs", "nothing": "0 x", "number": "the sum of sin x, a number and no array",
    "writing": "sin x, whose forward writes into x",
    "view": "x upside down, a view of x", "cubic": "1000 x^3", "offset": "sin x, and beside it many 1e9",
}  # fmt: skip
MISTAKES = {
    "no dy": "it forgets dy", "half": "it forgets the 2", "sign": "the sign", "nan": "it returns NaN",
    "zeros": "it returns zeros", "same way": "it does not move them back", "not undone": "it does not turn dy back",
    "mean": "db is an average", "rows": "dw takes the rows of dy in another order",
}  # fmt: skip


def judged(t, case, wrong="", shape=(3, 4), size=1.0):
    """-> the error in the middle, NaN counted as large; and what else errors_of says"""
    seeds = [int(seed) for seed in t.rng.integers(2**31, size=DIRECTIONS)]
    found = t.run(errors_of, case, wrong, seeds, shape, size)
    for error in found["errors"]:
        t.require(isinstance(error, float), f"found {type(error).__name__}, expected a number (float)", "error")
    return sorted(error if error == error else np.inf for error in found["errors"])[DIRECTIONS // 2], found


def accepted(t, case, shape=(3, 4), size=1.0):
    error, found = judged(t, case, "", shape, size)
    text = f"the right backward of {TOYS[case]}: error {error:.1e}, expected below {RIGHT:.0e}"
    t.require(error <= RIGHT, text, "error")
    return found


def rejected(t, case, wrong, shape=(3, 4), size=1.0):
    error, _ = judged(t, case, wrong, shape, size)
    text = f"a wrong backward of {TOYS[case]} ({MISTAKES[wrong]}): error {error:.1e}, expected above {WRONG:.0e}"
    t.require(error > WRONG, text, "error")


@prop("01.2", weight=3, essential=True)
def right(t):
    """right backward passes have an error near 0"""
    for case in ("square", "centre", "turn", "product", "nothing"):
        accepted(t, case)
    accepted(t, "number")


@prop("01.2", weight=3, essential=True)
def blind_spots(t):
    """mistakes that a check with dy = 1 does not see are seen"""
    for case, wrong in (("square", "no dy"), ("centre", "zeros"), ("turn", "same way"), ("product", "rows")):
        rejected(t, case, wrong)


@prop("01.2", weight=2, essential=True)
def mistakes(t):
    """factors, signs, NaN, and one wrong gradient among several are seen"""
    for case, wrong in (("square", "half"), ("square", "sign"), ("product", "mean"), ("number", "sign")):
        rejected(t, case, wrong)
    rejected(t, "square", "nan")


@prop("01.2", weight=1)
def scales(t):
    """the error is relative: large and small operations are judged alike"""
    for size in (1e6, 1e-6, 1e-40):
        for case in ("square", "product"):
            accepted(t, case, size=size)
        rejected(t, "square", "half", size=size)
        rejected(t, "product", "mean", size=size)


@prop("01.2", weight=1)
def views(t):
    """a forward that returns a view of its input is judged like any other"""
    accepted(t, "view")
    rejected(t, "view", "not undone")


@prop("01.2", weight=1)
def accuracy(t):
    """the difference is central, and large outputs that do not move leave no trace in it"""
    accepted(t, "cubic")
    accepted(t, "offset")


@prop("01.2", weight=1, essential=True)
def cheap(t):
    """three forward passes, however many entries there are"""
    for shape in ((2, 3), (40, 50)):
        calls = accepted(t, "product", shape)["calls"]
        t.require(calls <= 3, f"{calls:g} forward passes, expected 3: y and cache, above, below")


@prop("01.2", weight=1)
def from_rng(t):
    """chance comes from rng alone: dy is drawn from it, then a direction for each input, and nothing else"""
    for case in ("square", "product", "number"):
        drawn = accepted(t, case)["drawn"]
        text = "rng was left in another state than after standard_normal for dy and for each input's direction"
        t.require(drawn, text, "rng")


@prop("01.2", weight=1)
def untouched_inputs(t):
    """the inputs are left as they are, also by a forward that writes into what it is given"""
    for case in ("square", "product"):
        same = accepted(t, case)["inputs unchanged"]
        t.require(same, "the inputs were changed in place: move copies", "inputs")
    error, found = judged(t, "writing")
    text = f"{TOYS['writing']}: error {error:.1e}, and the inputs were changed: the first forward, too, gets copies"
    t.require(error <= RIGHT and found["inputs unchanged"], text, "inputs")


# --- 01.3: tanh_backward(dy, cache)


def draw(rng):
    return {"x": 1.5 * rng.normal(size=rng.permutation([2, 3, 4]))}


edges = [
    lambda rng: {"x": rng.normal(size=(0, 3))},
    lambda rng: {"x": rng.normal(size=1)},
    lambda rng: {"x": np.array([-800.0, -20.0, 0.0, 20.0, 800.0])},
]

backward_properties(
    "01.3", draw, forward="minimobilebert/ops/tanh.py:tanh_forward", wrt=("x",), edges=edges,
    large=lambda rng: {"x": rng.normal(size=(8, 64, 128))},
    tolerance=1e-13,  # two roundings a number; the best difference is a hundred times further away
)  # fmt: skip
