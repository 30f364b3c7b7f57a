# %% [markdown]
# # Lesson 18: half precision
# `python lessons/18_half_precision/walkthrough.py`, some 15 seconds; nothing is compiled. It runs the functions of this
# lesson's tasks: in a student edition it works once they are written.

# %%
import numpy as np

from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.grid import on_grid
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.kernels.runtime.precision import use_precision
from minimobilebert.model.parameters import init_parameters, parameter_shapes
from minimobilebert.model.pretraining import pretraining_step
from minimobilebert.ops.bfloat16 import product, rounded, stochastically_rounded
from minimobilebert.ops.layernorm import layernorm_forward
from minimobilebert.ops.nonorm import nonorm_forward
from minimobilebert.text.counting_texts import counting_texts, small_teacher
from minimobilebert.training.adamw import AdamW

stop_where_one_is_missing()

use_backend("numpy")  # a student edition has no compiled rounding: this lesson asks for it

# %% [markdown]
# ## 1. Three formats
# What is computed here follows from two numbers of each format: the bits of the exponent and of the fraction.

# %%
print("1. format     exponent  fraction      largest    smallest normal    1 and the next number")
for name, exponent, fraction in (("float32", 8, 23), ("bfloat16", 8, 7), ("float16", 5, 10)):
    bias = 2 ** (exponent - 1) - 1
    largest, smallest = (2 - 2.0**-fraction) * 2.0**bias, 2.0 ** (1 - bias)
    print(f"   {name:<9} {exponent:>8} {fraction:>9} {largest:>14.5g} {smallest:>15.3g} {1 + 2.0**-fraction:>25.8g}")
x = np.float32([3.14159265, 0.1, 1000.0, 123456.0, -2.4736526e7])
print("   rounded to bfloat16: " + ", ".join(f"{a:.8g} -> {b:.8g}" for a, b in zip(x, rounded(x), strict=True)))

# %% [markdown]
# ## 2. Ties, and the largest error
# The neighbours of 1 are 2^-7 apart. All 65536 float32 numbers of the first such step are rounded.

# %%
half_way = np.float32([1 + 2.0**-8, 1 + 3 * 2.0**-8, 1 + 5 * 2.0**-8])
print("\n2. half way between two neighbours: " + ", ".join(
    f"{a:.8g} -> {b:.8g}" for a, b in zip(half_way, rounded(half_way), strict=True)))  # fmt: skip
step = (np.float32(1.0).view(np.uint32) + np.arange(65536, dtype=np.uint32)).view(np.float32).astype(np.float64)
errors = np.abs(rounded(step.astype(np.float32)) - step) / step
print(f"   largest relative error {errors.max():.6f} at {step[errors.argmax()]:.8g}; 1 / 257 = {1 / 257:.6f}")
wide = np.exp(np.random.default_rng(18).uniform(-20, 20, 200_000)).astype(np.float32)
relative = np.abs(rounded(wide).astype(np.float64) - wide) / wide
mean_square = np.mean(relative**2)
print(f"   200000 of all sizes: largest {relative.max():.5f}, root of the mean square {np.sqrt(mean_square):.5f}")

# %% [markdown]
# ## 3. Products of two bfloat16 are exact in float32
# All pairs of significands from 1 to just below 2: whatever the exponents are, the digits of the product are these.

# %%
digits = np.float32(1.0) + np.arange(128, dtype=np.float32) / 128
exact = np.outer(digits.astype(np.float64), digits)
same = np.outer(digits, digits).astype(np.float64) == exact
print(f"\n3. {same.sum()} of {same.size} products of two bfloat16 are exact in float32, ", end="")
print(f"{(rounded(exact.astype(np.float32)) == exact).sum()} would be in bfloat16")

# %% [markdown]
# ## 4. Sums
# 1000 times the same number is added to a sum; the sum is kept in float32, in bfloat16, or in bfloat16 with stochastic
# rounding.

# %%
STORES = {
    "float32": lambda w, rng: w,
    "bfloat16": lambda w, rng: rounded(w),
    "bfloat16, stochastic": stochastically_rounded,
}


def sums_of(addend, store, count=1000):
    """-> the sum after each addition"""
    rng, total, all_sums = np.random.default_rng(4), np.zeros(1, np.float32), []
    for _ in range(count):
        total = store(total + np.float32(addend), rng)
        all_sums.append(float(total[0]))
    return all_sums


print("\n4. 1000 additions   " + "".join(f"{name:>22}" for name in STORES))
sums = {addend: {name: sums_of(addend, store) for name, store in STORES.items()} for addend in (1.0, 0.01)}
for addend, kinds in sums.items():
    print(f"   of {addend:<17g}" + "".join(f"{each[-1]:>22.6g}" for each in kinds.values()))

rng = np.random.default_rng(5)
a, b = rng.normal(size=(200, 512)).astype(np.float32), rng.normal(size=(512, 200)).astype(np.float32)
right = a.astype(np.float64) @ b
with use_precision("bfloat16"):
    mixed = product(a, b)
short = np.zeros_like(mixed)
for k in range(512):
    short = rounded(short + np.outer(rounded(a[:, k]), rounded(b[k])))
print("   [200, 512] times [512, 200], error relative to the length of the right result:")
results = {"all in float32": a @ b, "operands in bfloat16, sums in float32": mixed, "sums in bfloat16, too": short}
for name, found in results.items():
    error = np.linalg.norm(found - right) / np.linalg.norm(right)
    print(f"   {name:<40} {'below 1e-6' if error < 1e-6 else f'{error:.4f}':>10}")

# %% [markdown]
# ## 5. What it costs in gradients
# A small model of two layers on lesson 10's language of 24 words, in which word n is followed by word n + 1. Its
# gradients are computed in float64, and with products in bfloat16.


# %%
def cosine(x, y):
    return float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))


print("\n5. cosine of the gradients with those in float64")
for activation in ("gelu_tanh", "relu"):
    config = small_teacher(activation)
    params = init_parameters(parameter_shapes(config, "pretraining"), config, np.random.default_rng(7))
    texts = counting_texts(np.random.default_rng(8))
    _, exact = pretraining_step({name: w.astype(np.float64) for name, w in params.items()}, config, texts)
    cosines = {}
    for precision in ("float32", "bfloat16"):
        with use_precision(precision):
            _, found = pretraining_step(params, config, texts)
        # A key's bias has no gradient: softmax does not see it (lesson 06).
        names = [name for name in found if np.linalg.norm(exact[name]) > 1e-9]
        each = [cosine(found[name].astype(np.float64).ravel(), exact[name].ravel()) for name in names]
        both = (np.concatenate([g[name].astype(np.float64).ravel() for name in names]) for g in (found, exact))
        cosines[precision] = cosine(*both), min(each)
    for precision, (whole, worst) in cosines.items():
        print(f"   {activation:<10} {precision:<9} all parameters {whole:.5f}, the worst parameter {worst:.5f}")

x, weight = rng.normal(size=(2000, 128)).astype(np.float32), rng.normal(size=(512, 128)).astype(np.float32)
right = x.astype(np.float64) @ weight.T
with use_precision("bfloat16"):
    found = product(x, weight.T)
flips = (found > 0) != (right > 0)
error = np.linalg.norm(found - right) / np.linalg.norm(right)
of_derivative = np.sqrt(flips.sum() / (right > 0).sum())  # each is 0 or 1
print(f"   a dense layer of 128 inputs: relative error {error:.4f}; {flips.mean():.3%} of its outputs change sign")
print(f"   relative error of ReLU's derivative behind it: {of_derivative:.4f}")

# %% [markdown]
# ## 6. Where the weights are stored
# First the small model is trained for 150 steps in float32. From there 100 more steps of AdamW with a constant rate,
# three times with the same batches: gradients and moments in float64. Only the storage of the weights differs.

# %%
CONFIG, EDGES = small_teacher("gelu_tanh"), (0.0, 0.01, 0.03, 0.1, 0.3, np.inf)


GRID = 2.0**-26  # 1.5e-8; AdamW's eps is 1e-8, so what is smaller hardly moves a weight anyway


def gradients_of(params, rng):
    """Multiples of GRID: the last digits of a sum, which depend on its order, would grow into other counts below"""
    _, gradients = pretraining_step(params, CONFIG, counting_texts(rng))
    return on_grid(gradients, GRID)


def train(params, store, steps, rate, seed):
    """-> weights, and for each range of EDGES: how many (weight, step) there were, and how many of them changed"""
    rng, chance = np.random.default_rng(seed), np.random.default_rng(99)
    params = {name: w.astype(np.float64) for name, w in params.items()}  # float64 that hold what was stored
    optimiser = AdamW(params)
    counts = np.zeros((2, len(EDGES) - 1), int)
    for _ in range(steps):
        gradients = gradients_of(params, rng)
        before = {name: w.copy() for name, w in params.items()}
        optimiser.step(params, gradients, rate)
        for name, w in params.items():
            w[...] = store(w.astype(np.float32), chance)
            size = np.digitize(np.abs(before[name]).ravel(), EDGES) - 1
            counts[0] += np.bincount(size, minlength=len(EDGES) - 1)
            counts[1] += np.bincount(size, (w != before[name]).ravel(), len(EDGES) - 1).astype(int)
    return params, counts


def moved(after, before):
    """The whole way, as one vector"""
    return np.concatenate([(after[name] - before[name]).ravel() for name in after])


start = init_parameters(parameter_shapes(CONFIG, "pretraining"), CONFIG, np.random.default_rng(1))
start, _ = train(start, STORES["float32"], 150, 0.01, 1)
start = {name: rounded(w.astype(np.float32)) for name, w in start.items()}  # the same beginning for all
norms = [name for name in start if name.endswith("LayerNorm.weight")]
total, total_norms = sum(w.size for w in start.values()), sum(start[name].size for name in norms)
shares = {}
print(f"\n6. {total} weights after 100 steps; {total_norms} of them are norm weights, near 1")
print("   rate    stored in                 changed   norm weights   way along the masters'")
for rate in (6e-4, 6e-5):
    for name, store in STORES.items():
        after, counts = train(start, store, 100, rate, 2)
        way = moved(after, start)
        if name == "float32":
            masters = way
        shares[rate, name] = counts[1] / counts[0]
        changed, changed_norms = np.count_nonzero(way), sum(np.count_nonzero(after[n] != start[n]) for n in norms)
        along = way @ masters / (masters @ masters)
        print(f"   {rate:<7g} {name:<24} {changed:>8} {changed_norms:>14} {along:>22.2f}")
print("   share of the updates that change a weight, by its size:")
names = [*(f"{EDGES[i]:g} to {EDGES[i + 1]:g}" for i in range(len(EDGES) - 2)), f"above {EDGES[-2]:g}"]
print(f"   {'':<33}" + "".join(f"{name:>14}" for name in names))
for (rate, name), each in shares.items():
    print(f"   {rate:<7g} {name:<25}" + "".join(f"{share:>14.3f}" for share in each))

# %% [markdown]
# ## 7. Why not float16
# MobileBERT's hidden vector at [CLS] begins with a number near -2.47e7 (lesson 17). At the other end of the range: the
# gradients of section 6's model.

# %%
hidden = rng.normal(size=(1, 128)).astype(np.float32)
hidden[0, 0] = -2.4736526e7
weight, bias = np.full(128, 0.5, np.float32), np.zeros(128, np.float32)
print("\n7. a hidden vector with one number of -2.47e7; its largest number")
for name, y in (
    ("in float32", hidden), ("in bfloat16", rounded(hidden)),
    ("after NoNorm with weights 0.5", nonorm_forward(hidden, weight, bias)[0]),
    ("after LayerNorm with weights 0.5", layernorm_forward(hidden, weight, bias)[0]),
):  # fmt: skip
    with np.errstate(over="ignore"):
        print(f"   {name:<34} {np.abs(y).max():>12.6g}   in float16 {np.abs(y.astype(np.float16)).max():>8.6g}")
with np.errstate(over="ignore", invalid="ignore"):
    y = hidden.astype(np.float16)
    print(f"   LayerNorm in float16, of infinity: {((y - y.mean()) / y.std())[0, 0]}")
gradients = gradients_of({name: w.astype(np.float64) for name, w in start.items()}, np.random.default_rng(3))
small = np.concatenate([g.ravel() for g in gradients.values()]).astype(np.float32)
small = small[small != 0]
print(f"   {small.size} gradients, half of them below {np.median(np.abs(small)):.1g}; become 0:", end="")
print(f" {(small.astype(np.float16) == 0).mean():.1%} in float16, {(rounded(small) == 0).mean():.1%} in bfloat16")
for power in (16, 24):
    with np.errstate(over="ignore"):
        scaled = (np.float32(2.0**power) * small).astype(np.float16)
    zeros, infinite = (scaled == 0).mean(), np.isinf(scaled).sum()
    print(f"   in float16, multiplied by 2^{power} first: {zeros:.1%} become 0, {infinite} become infinite")

# %%
plt = pyplot()
if plt:
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.0, 2.6))
    colours = dict(zip(STORES, ("#bbbbbb", "#c4531b", "#1b6ca8"), strict=True))
    for name, values in sums[0.01].items():
        left.plot(range(10, 1001, 10), values[9::10], color=colours[name], label=name, linewidth=1)
    left.set(xlabel="additions of 0.01", ylabel="sum", ylim=(0.0, None))
    left.legend(fontsize=7)
    for (rate, name), each in shares.items():
        if name != "float32":
            style = "-" if rate == 6e-4 else "--"
            right.plot(range(len(each)), each, style, color=colours[name], marker="o", markersize=3, linewidth=1,
                       label=f"{name}, {rate:g}")  # fmt: skip
    right.set(xlabel="size of the weight", ylabel="updates that change it", ylim=(0.0, 1.0), xticks=range(len(names)))
    right.set_xticklabels(names, fontsize=6)
    right.legend(fontsize=6)
    figure.tight_layout()
    save(plt, figure, __file__, "rounding")
