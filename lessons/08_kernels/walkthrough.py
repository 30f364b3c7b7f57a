# %% [markdown]
# # Fast kernels
# Run this file whole (`python lessons/08_kernels/walkthrough.py`) or cell by cell in an editor that knows `# %%`.
# Counts are the same on every machine. Times are yours; they need Numba, and the first run compiles for some seconds.

# %%
import itertools
from collections import Counter, OrderedDict

import numpy as np

from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.kernels.gemm.matmul import matmul
from minimobilebert.kernels.gemm.packing import pack_panel
from minimobilebert.kernels.gemm.tiles import TILES, nr_of
from minimobilebert.kernels.rows import ROWS_PER_BLOCK
from minimobilebert.kernels.runtime.jit import HAVE_NUMBA, get_num_threads, jit_parallel, prange, set_threads
from minimobilebert.kernels.teaching import ladder
from minimobilebert.kernels.teaching.counting import READ, counted, in_python
from minimobilebert.kernels.teaching.peak import multiply_again
from minimobilebert.support.timing import times_in_turns

stop_where_one_is_missing()

rng = np.random.default_rng(8)

# %% [markdown]
# ## 1. Question 1: lines of the cache
# A cache of 512 lines (32 KB), of which the one that was not used longest makes room; 16 numbers a line.
# a [2, 512], b [512, 128], float32.

# %%
ROWS, DEPTH, COLUMNS, LINE, LINES = 2, 512, 128, 16, 512


def rung_1():
    for i, j, k in itertools.product(range(ROWS), range(COLUMNS), range(DEPTH)):
        yield "a", i * DEPTH + k
        yield "b", k * COLUMNS + j


def rung_2():
    for i, k in itertools.product(range(ROWS), range(DEPTH)):
        yield "a", i * DEPTH + k
        for j in range(COLUMNS):
            yield "b", k * COLUMNS + j
            yield "out", i * COLUMNS + j


def rung_3():
    for k, j in itertools.product(range(0, DEPTH, 4), range(COLUMNS)):
        for step in range(4):
            yield "b", (k + step) * COLUMNS + j
        yield "out", j
        yield "out", COLUMNS + j


def lines_fetched(places):
    """How many lines these reads bring into the cache"""
    cache, fetched = OrderedDict(), 0
    for name, place in places:
        line = name, place // LINE
        if line in cache:
            cache.move_to_end(line)
            continue
        fetched += 1
        cache[line] = None
        if len(cache) > LINES:
            cache.popitem(last=False)
    return fetched


products = ROWS * DEPTH * COLUMNS
fetched = {name: lines_fetched(rung()) / products for name, rung in (("1", rung_1), ("2", rung_2), ("3", rung_3))}
print("1. lines of the cache that are fetched for 1000 multiply-adds")
for name, lines in fetched.items():
    print(f"   rung {name}   {1000 * lines:6.0f}")

# %% [markdown]
# ## 2. Numbers read for a multiply-add
# A tile of m x n sums in registers reads m + n numbers for m n multiply-adds. R rows of V vectors take R V + V + 1
# registers.

# %%
print("\n2. tiles that fit into 32 registers: numbers of one step of k, loads for a multiply-add of two vectors")
for vectors in (1, 2, 3, 4, 6):
    rows = (32 - 1 - vectors) // vectors
    m, n = rows, 16 * vectors
    print(f"   {m:2} x {n:3}: {m + n:3} numbers for {m * n:4} products = {(m + n) / (m * n):.3f}"
          f"   {rows + vectors:2} loads for {rows * vectors} = {(rows + vectors) / (rows * vectors):.2f}")  # fmt: skip
print("   the project's, rows x vectors: " + ", ".join(f"{name} {t.rows} x {t.vectors}" for name, t in TILES.items()))

# %% [markdown]
# ## 3. A race, step by step
# Two threads add 1 and 2 to the same number. Each reads it, adds, and writes it. All orders in which that can happen:

# %%


def outcome(order):
    """The total after the steps of threads 0 and 1 in this order"""
    total, step, register, number = 0, [0, 0], [0, 0], (1, 2)
    for thread in order:
        if step[thread] == 0:
            register[thread] = total
        elif step[thread] == 1:
            register[thread] += number[thread]
        else:
            total = register[thread]
        step[thread] += 1
    return total


orders = sorted(set(itertools.permutations((0, 0, 0, 1, 1, 1))))
ends = Counter(map(outcome, orders))
print(f"\n3. of {len(orders)} orders " + ", ".join(f"{ends[total]} end with {total}" for total in (1, 2, 3)))


@jit_parallel
def add_to_one_number(x, total):
    for i in prange(x.size):
        total[0] += x[i]


if HAVE_NUMBA and get_num_threads() > 1:
    ones, found = np.ones(4_000_000), Counter()
    for _ in range(12):
        total = np.zeros(1)
        add_to_one_number(ones, total)
        found[f"{total[0]:,.0f}"] += 1
    print(f"   4,000,000 ones, {get_num_threads()} threads, one number, 12 times: "
          + ", ".join(f"{times} times {total}" for total, times in sorted(found.items())))  # fmt: skip

# %% [markdown]
# Each thread a sum of its own, added at the end, is no race. But then the number of threads decides how it is rounded.
# Blocks of a fixed size do not depend on who computes them.

# %%
x = (rng.standard_normal(10_000) * 10.0 ** rng.integers(-3, 4, 10_000)).astype(np.float32)


def one_by_one(x):
    """The sum in the order of x, in float32"""
    return np.add.accumulate(x)[-1]


for threads in (1, 2, 3, 4):
    parts = one_by_one(np.array([one_by_one(part) for part in np.array_split(x, threads)]))
    sums = np.empty(-(-x.size // ROWS_PER_BLOCK), np.float32)
    for thread in range(threads):  # this thread's blocks
        for block in range(thread, sums.size, threads):
            sums[block] = one_by_one(x[block * ROWS_PER_BLOCK : (block + 1) * ROWS_PER_BLOCK])
    print(f"   {threads} threads: a sum a thread {parts!s:>12}   blocks of {ROWS_PER_BLOCK} {one_by_one(sums)!s:>12}")

# %% [markdown]
# ## 4. Fast-math
# Another order is another rounding. Being told that NaN does not exist is another program.

# %%
big, one = np.float32(1e8), np.float32(1)
print(f"\n4. float32: (1e8 + 1) - 1e8 = {(big + one) - big}, and 1 + (1e8 - 1e8) = {one + (big - big)}")
if HAVE_NUMBA:
    import numba

    def is_nan(x):
        return x != x

    answers = {}
    for words, flags in (("none", False), ("contract, reassoc", {"contract", "reassoc"}), ("all", True)):
        answers[words] = numba.njit(fastmath=flags)(is_nan)(float("nan"))
    print("   is NaN different from itself?  " + "; ".join(f"flags {words}: {a}" for words, a in answers.items()))

# %% [markdown]
# ## 5. Question 2: the roofline
# Of a core that does 150 GFLOP/s and gets 20 GB/s from memory: example numbers, the same picture for everybody.

# %%
PEAK, BANDWIDTH = 150e9, 20e9


def layer(rows, inputs, outputs):
    """Operations and bytes of x W^T in float32, each array moved once"""
    return 2 * rows * inputs * outputs, 4 * (rows * inputs + inputs * outputs + rows * outputs)


work = {f"512 to 128, {rows} token{'s' * (rows > 1)}": layer(rows, 512, 128) for rows in (1, 18, 128, 1024)}
work["128 to 128, 128 tokens"] = layer(128, 128, 128)
work["NoNorm"], work["ReLU"], work["AdamW"] = (2, 8), (1, 8), (15, 28)  # for one number
print(f"\n5. example core: ridge at {PEAK / BANDWIDTH:.1f} operations a byte")
for name, (operations, size) in work.items():
    intensity = operations / size
    print(f"   {name:23} {intensity:6.2f} a byte   at most {min(PEAK, intensity * BANDWIDTH) / 1e9:6.1f} GFLOP/s")
operations, size = layer(1024, 128, 512)
after = 8 * 1024 * 512  # ReLU as a pass of its own: y is read and written again
product_time, pass_time = 1e6 * operations / PEAK, 1e6 * after / BANDWIDTH
print(f"   128 to 512, 1024 tokens: {product_time:.0f} us; ReLU in a pass of its own {pass_time:.0f} us more,"
      f" {100 * pass_time / product_time:.0f} %, for {after / size:.2f} times the product's bytes")  # fmt: skip


def best(function, turns=7):
    """Seconds of the fastest of some calls, the first ones not among them"""
    return times_in_turns({"it": function}, turns)["it"].min()


if HAVE_NUMBA:
    set_threads(1)
    source = np.ones(8 << 20, np.float32)
    target = np.empty_like(source)
    bandwidth = 2 * source.nbytes / best(lambda: np.copyto(target, source))
    peak = multiply_again(300, 1) / best(lambda: multiply_again(300, 1))
    print(f"   this core: {peak / 1e9:.0f} GFLOP/s, {bandwidth / 1e9:.0f} GB/s, ridge at {peak / bandwidth:.1f}")

# %% [markdown]
# ## 6. The picture

# %%
plt = pyplot()
if plt:
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.0, 3.0), width_ratios=(2, 3))
    names = ["rung 1", "rung 2", "rung 3", "tile 14 x 32"]
    accesses = [2.0, 3.0, 1.0, (14 + 32) / (14 * 32)]
    for place, number in enumerate(accesses):
        left.text(place - 0.2, number + 0.05, f"{number:.2g}", ha="center", fontsize=7)
    for place, number in enumerate(fetched.values()):
        left.text(place + 0.2, number + 0.05, f"{number:.2g}", ha="center", fontsize=7)
    left.bar(np.arange(4) - 0.2, accesses, 0.4, color="#1b6ca8", label="numbers read or written")
    left.bar(np.arange(3) + 0.2, list(fetched.values()), 0.4, color="#c4531b", label="lines fetched (section 1)")
    left.set(title="for a multiply-add", ylim=(0, 3.9))
    left.set_xticks(range(4), names, fontsize=7)
    left.legend(fontsize=7)
    intensities = np.array([0.1, PEAK / BANDWIDTH, 100.0])
    right.loglog(intensities, np.minimum(PEAK, intensities * BANDWIDTH) / 1e9, color="#333333")
    for name, shown, place in (
        ("ReLU", "ReLU", (4, -9)), ("NoNorm", "NoNorm", (4, -9)), ("AdamW", "AdamW", (6, -3)),
        ("512 to 128, 1 token", "1 token", (-42, 3)), ("512 to 128, 18 tokens", "18 tokens", (2, -12)),
        ("512 to 128, 128 tokens", "128", (-8, -12)), ("512 to 128, 1024 tokens", "1024", (-4, -12)),
    ):  # fmt: skip
        intensity = work[name][0] / work[name][1]
        dot = min(PEAK, intensity * BANDWIDTH) / 1e9
        right.plot(intensity, dot, "o", color="#c4531b" if "to" in name else "#1b6ca8")
        right.annotate(shown, (intensity, dot), xytext=place, textcoords="offset points", fontsize=7)
    right.set(title="roofline of the example core", xlabel="operations a byte", ylabel="GFLOP/s", ylim=(1, 300))
    figure.tight_layout()
    save(plt, figure, __file__, "ladder")

# %% [markdown]
# From here on your own functions run, each as far as it is written.
# ## 7. Your rungs, counted and timed
# Counted in plain Python, timed as Numba compiles them: 256 x 512 x 128, float32, one thread.

# %%
print("\n7. numbers read or written for a multiply-add (4 x 64 x 32), and speed with one thread")
small = rng.standard_normal((4, 64)), rng.standard_normal((64, 32)), np.empty((4, 32))
a, b = rng.standard_normal((256, 512), np.float32), rng.standard_normal((512, 128), np.float32)
for name, rung in ladder.RUNGS.items():
    log = []
    try:
        with in_python(ladder):
            getattr(ladder, rung.__name__)(*(counted(x, log, key) for x, key in zip(small, "abo", strict=True)))
        counts = Counter((key, what == READ) for key, _, what in log)
        each = {key: (counts[key, True] + counts[key, False]) / (4 * 64 * 32) for key in "abo"}
        text = "  ".join(f"{key} {value:.2f}" for key, value in zip(("a", "b", "out"), each.values(), strict=True))
        if HAVE_NUMBA:
            seconds = best(lambda name=name: ladder.climb(name, a, b))
            right = np.allclose(ladder.climb(name, a, b), a @ b, atol=1e-3)
            text += f"   {2 * 256 * 512 * 128 / seconds / 1e9:6.1f} GFLOP/s{'' if right else ', and WRONG numbers'}"
        print(f"   {name:18} {text}")
    except NotImplementedError as missing:
        print(f"   {name:18} {missing}")
    except Exception as error:  # what Numba cannot compile
        print(f"   {name:18} {type(error).__name__}: {' '.join(str(error).split())[:200]}")

# %% [markdown]
# ## 8. Your panel, and the product that reads it

# %%
weight = np.arange(1.0, 16.0, dtype=np.float32).reshape(5, 3)  # W [out 5, in 3]; b = W^T is [3, 5]
panel = np.full((3, nr_of(weight)), np.nan, np.float32)
try:
    pack_panel(weight.T, panel)
    print(f"\n8. W^T, 3 rows of 5, in a panel of {nr_of(weight)} columns; the first seven:")
    print("\n".join(f"   {row}" for row in panel[:, :7]))
    x, weight = rng.standard_normal((256, 512), np.float32), rng.standard_normal((128, 512), np.float32)
    print(f"   x W^T, largest distance from NumPy's: {np.abs(matmul(x, weight.T) - x @ weight.T).max():.0e}")
    if HAVE_NUMBA:
        speed = 2 * 256 * 512 * 128 / best(lambda: matmul(x, weight.T)) / 1e9
        beside = 2 * 256 * 512 * 128 / best(lambda: matmul(a, b)) / 1e9
        print(f"   panels and register tile: {speed:.1f} GFLOP/s; {beside:.1f} where b lies as tiles read it already")
except NotImplementedError as missing:
    print(f"\n8. {missing}")
