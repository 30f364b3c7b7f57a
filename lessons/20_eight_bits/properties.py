"""What lesson 20's functions must do."""

import numpy as np

from minimobilebert.course.shared.properties import prop
from minimobilebert.course.shared.trial import reference
from minimobilebert.ops.quantized_linear import QuantizedWeight

FLOAT = np.float32
STEP = 1e-4  # of a scale: x / s and x (1 / s) are rounded differently, so a number near a tie may go either way


def returned(t, names, result):
    """A result of several arrays -> the arrays"""
    t.require(isinstance(result, tuple) and len(result) == len(names), f"expected {', '.join(names)}", "result")
    for name, array in zip(names, result, strict=True):
        t.require(isinstance(array, np.ndarray), "expected an array", name)
    return result


def is_array(t, name, array, dtype, shape):
    t.require(array.dtype == dtype, f"found {array.dtype}, expected {np.dtype(dtype)}", name)
    t.require(array.shape == shape, f"found the shape {array.shape}, expected {shape}", name)


# --- 20.1


def quantized(t, x):
    """The student's integers and scales of x, of the right types and shapes"""
    integers, scales = returned(t, ("integers", "scales"), t.call(x))
    is_array(t, "integers", integers, np.int8, x.shape)
    is_array(t, "scales", scales, FLOAT, x.shape[:-1])
    return integers, scales


def compare_rows(t, x, found=None):
    """Rows of finite numbers: each scale, each integer"""
    integers, scales = found or quantized(t, x)
    expected = np.abs(x.astype(np.float64)).max(axis=-1) / 127.0
    # Row by row: relative to the largest scale of all, a small one could be anything.
    ratio = scales / np.where(expected > 0.0, expected, 1.0)
    t.equal("scales", ratio, np.where(expected > 0.0, 1.0, 0.0), 1e-6)
    steps = x / np.where(expected > 0.0, expected, 1.0)[..., None]
    wrong = np.abs(integers - steps) > 0.5 + STEP
    t.require(
        not wrong.any(), f"{int(wrong.sum())} of {wrong.size} integers are not the nearest to x / s: of"
        f" x / s = {steps[wrong][:1]} came {integers[wrong][:1]}", "integers",
    )  # fmt: skip


@prop("20.1", weight=4, essential=True)
def nearest(t):
    """each row has the scale max |x| / 127, and each number becomes the nearest integer"""
    compare_rows(t, t.rng.normal(size=(5, 40)).astype(FLOAT))
    with t.case("rows of very different sizes"):
        compare_rows(t, (t.rng.normal(size=(6, 31)) * 10.0 ** np.arange(-12, 12, 4)[:, None]).astype(FLOAT))
    with t.case("the largest number of each row is negative"):
        x = t.rng.uniform(-1.0, 1.0, (4, 30)).astype(FLOAT)
        x[np.arange(4), t.rng.integers(0, 30, 4)] = -3.0
        compare_rows(t, x)


@prop("20.1", weight=2, essential=True)
def ties(t):
    """a number half way between two integers goes to the even one"""
    halves = t.rng.permutation(np.arange(-126, 126))[:60] + 0.5
    for power in (-7, 0, 9):  # a power of two as the scale: x / s is exact
        integers, scales = quantized(t, (np.append(halves, 127.0) * 2.0**power).astype(FLOAT)[None])
        with t.case(f"scale 2^{power}"):
            t.equal("scales", scales, np.array([2.0**power]), 0.0)
            t.equal("integers", integers, np.append(2.0 * np.rint(halves / 2.0), 127.0)[None], 0.0)


@prop("20.1", weight=1)
def symmetric(t):
    """-x gives the same integers with the other sign, from -127 to 127"""
    x = np.append(t.rng.normal(size=(4, 25)), np.full((4, 1), 9.0), axis=1).astype(FLOAT)
    found, mirrored = quantized(t, x), quantized(t, -x)
    compare_rows(t, x, found)
    t.equal("integers of -x", mirrored[0], -found[0], 0.0)
    t.equal("scales of -x", mirrored[1], found[1], 0.0)
    t.require(mirrored[0].min() == -127 and found[0].max() == 127, "the largest number is not 127 scales", "integers")


@prop("20.1", weight=1)
def given_range(t):
    """a given range is the largest number of all rows, and what is beyond it becomes 127 or -127"""
    steps = t.rng.integers(-300, 301, (5, 30)) + t.rng.uniform(-0.4, 0.4, (5, 30))
    steps[0], steps[1] = steps[0] / 300.0, 0.0  # a row far inside, and one of zeros
    for power in (-6, 3):  # a power of two as the scale, so that no number is near a tie
        x, given = (steps * 2.0**power).astype(FLOAT), FLOAT(127.0 * 2.0**power)
        with t.case(f"range 127 times 2^{power}"):
            integers, scales = returned(t, ("integers", "scales"), t.call(x, given))
            is_array(t, "integers", integers, np.int8, x.shape)
            is_array(t, "scales", scales, FLOAT, x.shape[:-1])
            t.equal("scales", scales, np.full(5, 2.0**power), 0.0)
            t.equal("integers", integers, np.clip(np.rint(steps), -127, 127), 0.0)
    with t.case("a row with NaN"):
        x[2, 3] = np.nan
        _, scales = returned(t, ("integers", "scales"), t.call(x, given))
        t.equal("scales that are NaN", np.isnan(scales).astype(float), np.arange(5) == 2.0, 0.0)
    with t.case("a range of 0"):
        integers, scales = returned(t, ("integers", "scales"), t.call(np.ones((2, 3), FLOAT), FLOAT(0.0)))
        t.require(not integers.any() and not scales.any(), "expected zeros", "integers and scales")


@prop("20.1", weight=1)
def zeros(t):
    """a row of zeros, or of numbers below 1e-30, gives zeros; the other rows are what they are"""
    x = t.rng.normal(size=(4, 12)).astype(FLOAT)
    for words, number in (("zeros", 0.0), ("1e-45", 1e-45), ("1e-38", 1e-38), ("9e-31", 9e-31)):
        x[2] = number
        with t.case(f"a row of {words}"):
            integers, scales = quantized(t, x)
            t.equal("integers", integers[2], np.zeros(12), 0.0)
            t.require(0.0 <= scales[2] <= 1e-30, f"found {scales[2]}, expected a number from 0 to 1e-30", "scales")
            others = np.delete(x, 2, axis=0)
            compare_rows(t, others, (np.delete(integers, 2, axis=0), np.delete(scales, 2)))


@prop("20.1", weight=1)
def not_finite(t):
    """a row with NaN or infinity has the scale NaN, and no other row has"""
    x = t.rng.normal(size=(5, 20)).astype(FLOAT)
    for bad in (np.nan, np.inf, -np.inf):
        spoilt = x.copy()
        spoilt[3, int(t.rng.integers(0, 20))] = bad
        with t.case(f"a row with {bad}"):
            integers, scales = quantized(t, spoilt)
            t.require(bool(np.isnan(scales[3])), f"found {scales[3]}, expected NaN", "scales")
            found = np.delete(integers, 3, axis=0), np.delete(scales, 3)
            compare_rows(t, np.delete(x, 3, axis=0), found)


@prop("20.1", weight=1)
def shapes(t):
    """any number of axes, any layout, rows of one number, no rows, rows of nothing; x is left as it is"""
    x = t.rng.normal(size=(2, 3, 7)).astype(FLOAT)
    layouts = {"[2, 3, 7]": x, "transposed": x.T, "every second": x[:, :, ::2], "one number": x[..., :1]}
    for words, each in (layouts | {"one row": x[0, 0]}).items():
        with t.case(words):
            compare_rows(t, each)
    with t.case("empty"):
        quantized(t, x[:0])
        t.equal("scales", quantized(t, x[..., :0])[1], np.zeros((2, 3)), 0.0)
    result, after = t.call_keeping(x)
    compare_rows(t, x, returned(t, ("integers", "scales"), result))
    t.unchanged(("x",), (x,), after)


# --- 20.2


def grid(rng, rows, inputs):
    """x [rows, inputs], never near a tie, and with powers of two as scales -> x, powers"""
    steps = rng.integers(-126, 127, (rows, inputs)) + rng.uniform(-0.4, 0.4, (rows, inputs))
    steps[np.arange(rows), rng.integers(0, inputs, rows)] = 127.0
    powers = 2.0 ** rng.integers(-12, 12, (rows, 1))
    return (steps * powers).astype(FLOAT), powers.astype(FLOAT)


def weight_of(rng, outputs, inputs):
    scales = (2.0 ** rng.integers(-9, -2, outputs) * rng.uniform(1.0, 2.0, outputs)).astype(FLOAT)
    return QuantizedWeight(rng.integers(-127, 128, (outputs, inputs)).astype(np.int8), scales)


def compare_output(t, x, weight, bias=None, residual=None, sizes=1.0, tolerance=2e-6):
    """sizes: how large each row of y is; relative to the largest row, a small one could be anything"""
    given = (x, weight, bias) if residual is None else (x, weight, bias, residual)
    right = t.expected(lambda: reference(t.task.function)(*given))
    found = t.call(*given)
    t.require(isinstance(found, np.ndarray), "expected an array", "y")
    is_array(t, "y", found, FLOAT, right.shape)
    t.equal("y", found / sizes, right / sizes, tolerance)


@prop("20.2", weight=4, essential=True)
def values(t):
    """y is the sum of the integers' products, times both scales"""
    for rows, inputs, outputs in ((3, 7, 5), (6, 40, 4), (1, 1, 1)):
        x, powers = grid(t.rng, rows, inputs)
        with t.case(f"x [{rows}, {inputs}], weight [{outputs}, {inputs}]"):
            compare_output(t, x, weight_of(t.rng, outputs, inputs), sizes=powers)


@prop("20.2", weight=2, essential=True)
def exact_sums(t):
    """the sum is exact, however long it is: it is rounded once, when it becomes float32"""
    for inputs in (3, 300, 4001):
        steps = np.where(t.rng.random((2, inputs)) < 0.9, 127, t.rng.integers(-127, 128, (2, inputs)))
        steps[:, 0] = 127
        weight = QuantizedWeight(steps.astype(np.int8) - (steps > 0), np.ones(2, FLOAT))
        with t.case(f"{inputs} products"):
            compare_output(t, steps.astype(FLOAT), weight, tolerance=0.0)


@prop("20.2", weight=2, essential=True)
def rows_alone(t):
    """a row's result does not depend on the other rows: each token has its own scale"""
    x, powers = grid(t.rng, 4, 20)
    weight = weight_of(t.rng, 3, 20)
    compare_output(t, x, weight, sizes=powers)
    with t.case("beside a huge number"):
        x[1, 5] = 2.0**22
        compare_output(t, x, weight, sizes=np.abs(x).max(axis=-1, keepdims=True))


@prop("20.2", weight=2, essential=True)
def bias_and_residual(t):
    """bias and residual are added as they are, where they are given"""
    x, powers = grid(t.rng, 3, 9)
    x, weight = x / powers * np.array([[0.5], [1.0], [4.0]], FLOAT), weight_of(t.rng, 5, 9)
    bias, residual = (t.rng.normal(size=size).astype(FLOAT) * FLOAT(1e3) for size in (5, (3, 5)))
    for words, b, r in (("bias", bias, None), ("residual", None, residual), ("both", bias, residual)):
        with t.case(words):
            compare_output(t, x, weight, b, r)


@prop("20.2", weight=1)
def input_range(t):
    """a weight with an input range: it is the range of every row of x"""
    x, powers = grid(t.rng, 4, 10)
    x, weight = x / powers * np.array([[0.25], [1.0], [2.0], [8.0]], FLOAT), weight_of(t.rng, 3, 10)
    for given in (127.0, 254.0):
        with t.case(f"range {given:g}"):
            compare_output(t, x, QuantizedWeight(weight.integers, weight.scales, FLOAT(given)))


@prop("20.2", weight=1)
def not_finite_rows(t):
    """a row with NaN or infinity is NaN in the result, and no other row is"""
    x, _ = grid(t.rng, 4, 11)
    weight, bias = weight_of(t.rng, 3, 11), t.rng.normal(size=3).astype(FLOAT)
    for bad in (np.nan, -np.inf):
        x[2, int(t.rng.integers(0, 11))] = bad
        with t.case(f"a row with {bad}"):
            compare_output(t, x, weight, bias)


@prop("20.2", weight=1)
def axes(t):
    """any number of axes, sizes 0; a row of zeros is the bias; no argument is changed"""
    x, powers = grid(t.rng, 6, 8)
    x, weight = (x / powers).reshape(2, 3, 8), weight_of(t.rng, 5, 8)
    bias, residual = t.rng.normal(size=5).astype(FLOAT), t.rng.normal(size=(2, 3, 5)).astype(FLOAT)
    x[1, 1] = 0.0
    right = t.expected(lambda: reference(t.task.function)(x.copy(), weight, bias, residual))
    result, after = t.call_keeping(x, weight, bias, residual)
    t.require(isinstance(result, np.ndarray), "expected an array", "y")
    is_array(t, "y", result, FLOAT, (2, 3, 5))
    t.equal("y", result, right, 2e-6)
    t.unchanged(("x", "bias", "residual"), (x, bias, residual), (after[0], after[2], after[3]))
    t.unchanged(("integers", "scales"), (weight.integers, weight.scales), (after[1].integers, after[1].scales))
    with t.case("no tokens"):
        compare_output(t, x[:0], weight, bias)
    with t.case("one row"):
        compare_output(t, x[0, 0], weight, bias, residual[0, 0])


# --- 20.3


def as_the_instruction(x, integers, scales):
    """x [R, K] int8 times integers [N, K] int8, as the kernel multiplies: bytes of x + 128, times the words

    -> the sums [R, N], and what the words, starts and scales have behind the N outputs and the K inputs
    """
    import numpy as np

    from minimobilebert.kernels.gemm.quads import quads_from
    from minimobilebert.kernels.gemm.tiles import nr_of

    words, starts, all_scales = quads_from(integers, scales)
    columns, nr, depth = len(integers), nr_of(scales), -(-x.shape[1] // 4)
    count = (columns + nr - 1) // nr
    unsigned = np.full((len(x), 4 * depth), 128, np.uint8)
    unsigned[:, : x.shape[1]] = x.astype(np.int16) + 128
    panels = (
        np.ascontiguousarray(words.reshape(count, depth, nr)).astype("<i4").view(np.int8).reshape(count, depth, nr, 4)
    )
    wrapping = np.einsum("rkb,pkjb->rpj", unsigned.reshape(len(x), depth, 4).astype(np.int64), panels.astype(np.int64))
    sums = (wrapping.reshape(len(x), -1) + starts.astype(np.int64)).astype(np.int32)  # 32 bits, as in the register
    rows = panels.transpose(0, 2, 1, 3).reshape(count * nr, -1)
    sizes = words.size - count * nr * depth, starts.size - count * nr, all_scales.size - count * nr
    return {
        "sums": sums[:, :columns], "scales": all_scales[:columns],
        "behind": (rows[columns:], rows[:, x.shape[1] :], starts[columns:], all_scales[columns:]),
        "kinds": [(each.dtype.name, each.ndim) for each in (words, starts, all_scales)], "too_many": sizes,
        "starts": starts[:columns],
    }  # fmt: skip


def with_one_weight(output, number, value, outputs, inputs):
    """The words and starts of a weight that is 0 but for one number, as bytes [panels, words, NR, 4], [outputs]"""
    import numpy as np

    from minimobilebert.kernels.gemm.quads import quads_from
    from minimobilebert.kernels.gemm.tiles import nr_of

    integers, scales = np.zeros((outputs, inputs), np.int8), np.ones(outputs, np.float32)
    integers[output, number] = value
    words, starts, _ = quads_from(integers, scales)
    nr = nr_of(scales)
    panels, depth = -(-outputs // nr), -(-inputs // 4)
    if words.size != panels * depth * nr or starts.size < outputs:
        return None, None
    return np.array(words).astype("<i4").view(np.int8).reshape(panels, depth, nr, 4), starts[:outputs]


def where_it_is(panel, word, output, byte):
    return f"byte {byte} of word {word} of output {output} in panel {panel}"


def misplaced(t, outputs, inputs):
    """What happens to a weight with one number that is not 0, in words, or None if all that are tried are right"""
    numbers = {0, min(1, inputs - 1), min(4, inputs - 1), inputs - 1}
    for output in sorted({0, min(1, outputs - 1), outputs - 1}):
        for number in sorted(numbers):
            found, starts = t.run(with_one_weight, output, number, -3, outputs, inputs)
            if found is None:
                return None
            nr = found.shape[2]
            right = output // nr, number // 4, output % nr, number % 4
            filled = np.argwhere(found != 0).tolist()
            what = f"the weight of output {output} and input {number}, alone,"
            if len(filled) > 1:
                return f"weights of 0 are not 0 in the words: with {what} {len(filled) - 1} other bytes are not 0"
            if filled != [list(right)]:
                there = where_it_is(*filled[0]) if filled else "nowhere"
                return f"{what} is in {there}, expected in {where_it_is(*right)}"
            if found[right] != -3:
                return f"{what} is {found[right]} in its byte, expected -3"
            if starts[output] != 384:
                return f"{what} is -3, and its start {starts[output]}, expected -128 times the sum of weights, 384"
    return None


def wrong_start(starts, integers):
    """What is wrong with the starts, in words, or None"""
    sums = integers.astype(np.int64).sum(axis=1)
    if np.array_equal(starts, -128 * sums):
        return None
    for wrong, text in (
        (128 * sums, "they have the wrong sign"), (-sums, "they are the sums of weights without the 128"),
        (-128 * sums.astype(np.int8).astype(np.int64), "the weights were added up in int8, which wraps around"),
        (-127 * sums, "127 instead of 128"), (np.zeros_like(sums), "they are 0"),
    ):  # fmt: skip
        if np.array_equal(starts, wrong):
            return f"starts: expected -128 times the sum of each output's weights; {text}"
    return None


def integers_of(rng, *shape):
    return rng.integers(-127, 128, shape).astype(np.int8)


def compare_sums(t, x, integers):
    scales = t.rng.uniform(0.1, 1.0, len(integers)).astype(FLOAT)
    found = t.run(as_the_instruction, x, integers, scales)
    right = x.astype(np.int64) @ integers.T.astype(np.int64)
    if not np.array_equal(found["sums"], right):
        known = misplaced(t, *integers.shape) or wrong_start(found["starts"], integers)
        t.require(known is None, known, "the sum that begins with the start")
    t.equal("sums", found["sums"], right, 0.0)
    return found, scales


@prop("20.3", weight=4, essential=True)
def products(t):
    """the instruction's sums, which begin with the starts, are the products of x and the weights"""
    for columns, depth in ((5, 8), (150, 12), (64, 4)):
        with t.case(f"{columns} outputs, {depth} inputs"):
            compare_sums(t, integers_of(t.rng, 3, depth), integers_of(t.rng, columns, depth))


@prop("20.3", weight=2, essential=True)
def rest(t):
    """inputs that do not fill the last word: it ends with zeros"""
    for depth in (1, 2, 3, 5, 7, 21):
        with t.case(f"{depth} inputs"):
            compare_sums(t, integers_of(t.rng, 2, depth), integers_of(t.rng, 6, depth))


@prop("20.3", weight=2, essential=True)
def nothing_left(t):
    """x = 0 is 128 in every byte, and its sums are 0"""
    compare_sums(t, np.zeros((2, 10), np.int8), integers_of(t.rng, 7, 10))
    with t.case("3000 times 127"):
        compare_sums(t, np.zeros((1, 3000), np.int8), np.full((3, 3000), 127, np.int8))
        compare_sums(t, np.full((1, 3000), -127, np.int8), np.full((3, 3000), 127, np.int8))


@prop("20.3", weight=1)
def behind_the_last(t):
    """words, starts and scales are 0 behind the last output and the last input; before that, scales are the weights'"""
    found, scales = compare_sums(t, integers_of(t.rng, 2, 9), integers_of(t.rng, 67, 9))
    t.equal("scales", found["scales"], scales, 0.0)
    names = ("words", "words", "starts", "scales")
    for name, part, last in zip(names, found["behind"], ("output", "input", "output", "output"), strict=True):
        t.require(not part.any(), f"found other numbers than 0 behind the last {last}", name)


@prop("20.3", weight=1)
def kinds(t):
    """words and starts are int32, scales are float32, all in one dimension and for whole panels"""
    found, _ = compare_sums(t, integers_of(t.rng, 2, 6), integers_of(t.rng, 5, 6))
    for name, dtype, (kind, axes), more in zip(
        ("words", "starts", "scales"), ("int32", "int32", "float32"), found["kinds"], found["too_many"], strict=True
    ):
        t.require(kind == dtype, f"found {kind}, expected {dtype}", name)
        t.require(axes == 1, f"found {axes} dimensions, expected 1", name)
        t.require(more == 0, f"found {abs(more)} numbers too {'many' if more > 0 else 'few'} for whole panels", name)


@prop("20.3", weight=1)
def unchanged(t):
    """the weights are left as they are, and may be a transposed matrix"""
    integers, scales = integers_of(t.rng, 9, 14), t.rng.uniform(0.1, 1.0, 9).astype(FLOAT)
    _, after = t.call_keeping(integers, scales)
    t.unchanged(("integers", "scales"), (integers, scales), after)
    compare_sums(t, integers_of(t.rng, 3, 14), integers)
    with t.case("transposed"):
        compare_sums(t, integers_of(t.rng, 3, 9), integers.T)
