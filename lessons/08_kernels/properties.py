"""What lesson 08's functions must do: the numbers, and how often and in which order they go to memory.

Here kernels are plain Python, so no time is graded. What makes a rung fast can be counted instead:
kernels/teaching/counting.py.
"""

import numpy as np

from minimobilebert.course.shared.properties import prop
from minimobilebert.kernels.teaching.counting import READ, WRITTEN

NEAR = 16  # a number's right-hand neighbour has to be read within so many reads


# --- the ladder: out = a b


def operands(rng, rows, depth, columns, dtype=np.float64):
    """a, b and an out in which nothing useful stands"""
    a, b = rng.standard_normal((rows, depth)), rng.standard_normal((depth, columns))
    return a.astype(dtype), b.astype(dtype), np.full((rows, columns), np.nan, dtype)


def in_order(a, b):
    """The definition: every number of the output added up in the order of k, in the type of a"""
    out = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    with np.errstate(all="ignore"):
        for i, j in np.ndindex(out.shape):
            total = a.dtype.type(0.0)
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            out[i, j] = total
    return out


def ran(name, a, b, out):  # runs beside the student's code; NumPy warns where NaN and infinity are made
    import numpy as np

    from minimobilebert.kernels.teaching import ladder

    with np.errstate(all="ignore"):
        return getattr(ladder, name)(a, b, out), a, b, out


def product(t, a, b, out):
    """What the student's function leaves in out, after looking that a and b are as they were"""
    result, a_after, b_after, found = t.run(ran, t.task.name, a, b, out)
    t.require(result is None, "the function returned something: expected that it writes into out, and returns nothing")
    t.unchanged(("a", "b"), (a, b), (a_after, b_after))
    t.require(found.dtype == a.dtype and found.shape == out.shape, f"expected {a.dtype} {out.shape}", "out")
    if np.isnan(out).all() and np.isfinite(a).all() and np.isfinite(b).all():
        text = "NaN, which stood in out before the call: is every number of it set to 0 before it is added to?"
        t.require(np.isfinite(found).all(), text, "out")
    return found


def watched(name, a, b, out):  # runs beside the student's code
    import numpy as np

    from minimobilebert.kernels.teaching import ladder
    from minimobilebert.kernels.teaching.counting import counted

    log = []
    getattr(ladder, name)(*(counted(x, log, number) for number, x in enumerate((a, b, out))))
    return np.array(log, np.int64).reshape(-1, 3), out


def accesses(t, a, b, out):
    """-> {("a", READ): places in the order in which they were read, ...}; the product itself is right"""
    log, found = t.run(watched, t.task.name, a, b, out)
    t.equal("out", found, in_order(a, b))
    return {
        (key, what): log[(log[:, 0] == number) & (log[:, 2] == what), 1]
        for number, key in enumerate(("a", "b", "out"))
        for what in (READ, WRITTEN)
    }


def at_most(t, name, count, most, why):
    t.require(count <= most, f"{name} {count} times, expected at most {most}: {why}", f"how often {name}")


def walks(t, b, reads):
    """b is read along its rows: the right-hand neighbour of a number is among the next NEAR that are read"""
    columns = b.shape[1]
    t.require(
        set(range(b.size)) <= set(reads.tolist()),
        "some numbers of b are never read, neither alone nor in a row",
        "what is read of b",
    )
    inner = np.flatnonzero(reads % columns < columns - 1)
    inner = inner[inner + NEAR < reads.size]
    following = reads[inner[:, None] + np.arange(1, NEAR + 1)]
    share = float((following == reads[inner][:, None] + 1).any(axis=1).mean())
    text = (
        f"a number of b is followed soon by its right-hand neighbour in {100 * share:.0f} % of the cases, expected all"
    )
    t.require(share == 1.0, f"{text}: which loop is the inner one?", "the order in which b is read")


def both(task, weight_of_values):
    """What both rungs must do, whatever their order."""

    @prop(task, weight=weight_of_values, essential=True)
    def values(t):
        """the product is right, whatever stood in out before"""
        for _ in range(4):
            rows, depth, columns = (int(size) for size in t.rng.integers((2, 5, 2), (8, 14, 9)))
            a, b, out = operands(t.rng, rows, depth, columns)
            t.equal("out", product(t, a, b, out), a @ b)

    @prop(task, weight=2)
    def remainders(t):
        """odd sizes, and sizes 0 and 1: every number of rows up to 5 and of steps up to 9"""
        for rows in range(6):
            for depth in range(10):
                a, b, out = operands(t.rng, rows, depth, 3)
                with t.case(f"a [{rows}, {depth}], b [{depth}, 3]"):
                    t.equal("out", product(t, a, b, out), a @ b)
        for shape in ((3, 5, 0), (3, 5, 1), (1, 1, 1)):
            a, b, out = operands(t.rng, *shape)
            with t.case(f"a {list(shape[:2])}, b {list(shape[1:])}"):
                t.equal("out", product(t, a, b, out), a @ b)

    @prop(task, weight=1)
    def types(t):
        """float32 goes in and comes out"""
        a, b, out = operands(t.rng, 3, 6, 5, np.float32)
        wide = a.astype(np.float64) @ b.astype(np.float64)
        t.equal("out", product(t, a, b, out), wide, 2e-5, np.float32)

    @prop(task, weight=1)
    def not_finite(t):
        """NaN and infinity reach the numbers they belong to, and no others"""
        for special in (np.nan, np.inf, -np.inf):
            for in_a in (True, False):
                a, b, out = operands(t.rng, 5, 7, 3)
                a[t.rng.integers(5), t.rng.integers(7)] = 0.0
                changed = a if in_a else b
                changed[tuple(t.rng.integers(changed.shape))] = special
                t.equal("out", product(t, a, b, out), in_order(a, b))
        a, b, out = operands(t.rng, 5, 7, 3)
        a[:, 2], b[2, 1] = 0.0, np.inf  # 0 * infinity is NaN: nothing may be left out because it is 0
        t.equal("out", product(t, a, b, out), in_order(a, b))


both("08.1", 3)


@prop("08.1", weight=2, essential=True)
def order_of_k(t):
    """every number is added up in the order of k: bit for bit the naive rung's"""
    for dtype in (np.float32, np.float64):
        a, b, out = operands(t.rng, 3, 40, 4, dtype)
        a *= (10.0 ** t.rng.integers(-4, 5, a.shape)).astype(dtype)  # sizes so different that every order rounds alone
        found, right = product(t, a, b, out), in_order(a, b)
        t.equal("out", found, right, 1e-4)
        wrong = int((found != right).sum())
        text = f"right but for rounding, which differs in {wrong} of {out.size} numbers: added in another order"
        t.require(wrong == 0, text, "the order of the additions")


@prop("08.1", weight=3, essential=True)
def along_memory(t):
    """the inner loop walks along rows of b and of out, and each number of a is read once"""
    a, b, out = operands(t.rng, 3, 40, 11)
    found = accesses(t, a, b, out)
    walks(t, b, found["b", READ])
    reads = found["a", READ]
    once = reads.size == a.size and set(reads.tolist()) == set(range(a.size))
    t.require(
        once,
        f"a is read {reads.size} times, expected {a.size}: once each, before the inner loop",
        "how often a is read",
    )
    rising = bool((np.diff(reads) > 0).all())
    t.require(rising, "expected row by row: finish a row of out before the next", "the order in which a is read")
    most = a.size * b.shape[1]
    at_most(t, "b is read", found["b", READ].size, most, "once for each multiply-add")
    at_most(t, "out is written", found["out", WRITTEN].size, most + out.size, "once a multiply-add, and the zeros")


both("08.2", 3)


@prop("08.2", weight=4, essential=True)
def used_several_times(t):
    """a number of b serves two rows, and a number of out is read and written once for four steps of k"""
    rows, depth, columns = 6, 40, 11
    a, b, out = operands(t.rng, rows, depth, columns)
    found = accesses(t, a, b, out)
    walks(t, b, found["b", READ])
    pairs, fours = rows // 2, depth // 4
    at_most(t, "b is read", found["b", READ].size, pairs * b.size, "once for two rows")
    at_most(t, "out is read", found["out", READ].size, fours * out.size, "once for four steps of k")
    at_most(t, "out is written", found["out", WRITTEN].size, (fours + 1) * out.size, "once a four, and the zeros")
    at_most(t, "a is read", found["a", READ].size, a.size, "each number once, before the inner loop")


@prop("08.2", weight=1)
def rows_left_over(t):
    """an odd last row and last steps of k do not undo that for the others"""
    rows, depth, columns = 5, 43, 11
    a, b, out = operands(t.rng, rows, depth, columns)
    found = accesses(t, a, b, out)
    most = (rows // 2 * (depth + depth % 4) + depth) * columns
    at_most(t, "b is read", found["b", READ].size, most, "once for two rows, as far as fours of k go")
    most = (4 * (depth // 4 + depth % 4) + depth) * columns
    at_most(t, "out is read", found["out", READ].size, most, "four rows by fours of k, the rest by single steps")


# --- packing


def columns_of_a_tile(dtype):  # runs beside the student's code: how wide a tile is there
    import numpy as np

    from minimobilebert.kernels.gemm.tiles import nr_of

    return int(nr_of(np.zeros(1, dtype)))


def laid_out(matrix, rows_contiguous):
    """The same numbers as part of a larger memory: rows one after the other, or columns, as those of W^T"""
    depth, columns = matrix.shape
    if rows_contiguous:
        memory = np.full((depth, columns + 2), np.nan, matrix.dtype)
        memory[:, :columns] = matrix
        return memory[:, :columns]
    memory = np.full((columns, depth + 2), np.nan, matrix.dtype)
    memory[:, :depth] = matrix.T
    return memory[:, :depth].T


def packs(t, dtype, depth, columns, rows_contiguous, change=None):
    """Pack one panel and compare all of it; columns None: as many as fit."""
    nr = t.run(columns_of_a_tile, dtype)
    columns = nr if columns is None else min(columns, nr)
    matrix = t.rng.standard_normal((depth, columns)).astype(dtype)
    if change is not None:
        change(matrix)
    b, panel = laid_out(matrix, rows_contiguous), np.full((depth, nr), np.nan, dtype)
    expected = np.zeros_like(panel)
    expected[:, :columns] = matrix
    result, (b_after, found) = t.call_keeping(b, panel)
    t.require(
        result is None, "the function returned something: expected that it writes into panel, and returns nothing"
    )
    t.unchanged(("b",), (b,), (b_after,))
    t.require(
        found.dtype == panel.dtype and found.shape == panel.shape, f"expected {panel.dtype} {panel.shape}", "panel"
    )
    if np.isfinite(matrix).all():
        left = int(np.isnan(found).sum())
        text = f"{left} of the panel's {depth} x {nr} numbers are NaN: not written (b has {columns} columns)"
        t.require(left == 0, text, "the panel")
    t.equal("the panel", found, expected)


@prop("08.3", weight=4, essential=True)
def whole_panels(t):
    """a whole panel has its rows one after the other, whatever the strides of b"""
    for dtype in ("float32", "float64"):
        for rows_contiguous in (True, False):
            packs(t, dtype, int(t.rng.integers(2, 12)), None, rows_contiguous)


@prop("08.3", weight=3, essential=True)
def partial_panels(t):
    """a partial panel is filled up with zeros in every row"""
    for dtype in ("float32", "float64"):
        for rows_contiguous in (True, False):
            for columns in (1, 3, int(t.rng.integers(4, 31))):
                packs(t, dtype, int(t.rng.integers(2, 12)), columns, rows_contiguous)


@prop("08.3", weight=1)
def sizes(t):
    """no step of k, one step, one column, and many steps"""
    for depth, columns in ((0, 5), (1, 1), (1, None), (7, 1), (40, 17)):
        for rows_contiguous in (True, False):
            packs(t, "float64", depth, columns, rows_contiguous)


@prop("08.3", weight=1)
def not_finite(t):
    """NaN and infinity are copied, and the zeros beside them are zeros"""

    def change(matrix):
        matrix[2:5, 0] = np.nan, np.inf, -np.inf
        matrix[tuple(t.rng.integers(matrix.shape))] = np.nan

    for rows_contiguous in (True, False):
        packs(t, "float32", 6, 9, rows_contiguous, change)


def watched_packing(b, panel):  # runs beside the student's code
    import numpy as np

    from minimobilebert.kernels.gemm import packing
    from minimobilebert.kernels.teaching.counting import counted

    log = []
    b, panel = counted(b, log, 0), counted(panel, log, 1)
    packing.pack_panel(b, panel)
    return np.array(log, np.int64).reshape(-1, 3), b.positions().ravel(), panel.positions().ravel()


@prop("08.3", weight=1)
def once(t):
    """each number of b is read once, and each of the panel is written once"""
    nr = t.run(columns_of_a_tile, "float64")
    columns = min(13, nr)
    for rows_contiguous in (True, False):
        b, panel = laid_out(t.rng.standard_normal((9, columns)), rows_contiguous), np.full((9, nr), np.nan)
        log, of_b, of_panel = t.run(watched_packing, b, panel)
        reads, writes = (np.sort(log[(log[:, 0] == i) & (log[:, 2] == w), 1]) for i, w in ((0, READ), (1, WRITTEN)))
        copied = "a copy of b was read, and b itself is a view with any strides: index b[k, j]"
        t.require(set(reads.tolist()) <= set(of_b.tolist()), copied, "what is read of b")
        text = f"b was read {reads.size} times, expected {of_b.size}: each number once"
        t.require(np.array_equal(reads, np.sort(of_b)), text, "what is read of b")
        text = f"the panel was written {writes.size} times, expected {of_panel.size}: each number once"
        t.require(np.array_equal(writes, np.sort(of_panel)), text, "what is written")
