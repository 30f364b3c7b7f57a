# %% [markdown]
# Lesson 03: three activations and their slopes, where LayerNorm's gradient cannot point, and what NoNorm gives up.
# Cells that need a function of this lesson say so in one line while it is not written.

# %%
import math
import time

import numpy as np

from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.ops.gelu import gelu_backward, gelu_forward, gelu_tanh_backward, gelu_tanh_forward
from minimobilebert.ops.layernorm import layernorm_backward, layernorm_forward
from minimobilebert.ops.nonorm import nonorm_forward
from minimobilebert.ops.relu import relu_backward, relu_forward

stop_where_one_is_missing()

use_backend("numpy")  # nothing is compiled here; lesson 08 does that
rng = np.random.default_rng(3)


def slope_of(forward, x, h=1e-5):
    return (forward(x + h)[0] - forward(x - h)[0]) / (2.0 * h)


# %% [markdown]
# ## 1. Slopes
# Question 1 of the lesson: is GELU's slope always between 0 and 1, as ReLU's is?

# %%
x = np.linspace(-5.0, 5.0, 2001)
forwards = {"ReLU": relu_forward, "GELU (erf)": gelu_forward, "GELU (tanh)": gelu_tanh_forward}
values = {name: forward(x)[0] for name, forward in forwards.items()}
slopes = {name: slope_of(forward, x) for name, forward in forwards.items()}
print("1. slopes by central differences")
for name, slope in slopes.items():
    print(f"   {name:<12} from {slope.min():.3f} (at x = {x[slope.argmin()]:.2f}) to {slope.max():.3f}"
          f" (at x = {x[slope.argmax()]:.2f})")  # fmt: skip
one, zero = x[slopes["GELU (erf)"] > 1.0].min(), x[slopes["GELU (erf)"] < 0.0].max()
print(f"   GELU's slope is above 1 from x = {one:.2f} on and below 0 up to x = {zero:.2f}")
between = {n: np.abs(v["GELU (erf)"] - v["GELU (tanh)"]).max() for n, v in (("values", values), ("slopes", slopes))}
print("   the two GELUs: " + ", ".join(f"{name} differ by up to {gap:.1e}" for name, gap in between.items()))
dy = rng.standard_normal(x.shape)
for name, backward in (("ReLU", relu_backward), ("GELU (erf)", gelu_backward), ("GELU (tanh)", gelu_tanh_backward)):
    try:
        _, cache = forwards[name](x)
        # ReLU's difference means nothing at its kink, where it is 1/2.
        gap = np.abs(backward(dy, cache) - dy * slopes[name])[np.abs(x) > 1e-4].max()
        print(f"   {name} backward against the difference: {gap:.0e}")
    except NotImplementedError as error:
        print(f"   {error}")

# %% [markdown]
# ## 2. Where LayerNorm's gradient cannot point
# Adding a constant to all features of a token, or stretching it about its mean, leaves n as it is.
# So dx is at right angles to the vector of ones and to n. Question 2: what is dx, then, for a token of two features?

# %%
print("\n2. LayerNorm")
try:
    for size in (6, 2):
        x = rng.normal(size=(1, size))
        dy = rng.normal(size=(1, size))
        n, _ = layernorm_forward(x, None, None)
        _, cache = layernorm_forward(x, None, None)
        dx = layernorm_backward(dy, cache)[0]
        print(f"   {size} features: |dy| {np.linalg.norm(dy):.2f}, |dx| {np.linalg.norm(dx):.1e},"
              f" dx . ones {dx.sum():.0e}, dx . n {(dx * n).sum():.0e}")  # fmt: skip
    x, weight = rng.normal(size=(3, 6)), rng.normal(size=6)
    for name, w in (("a weight of 1, as at the start", np.ones(6)), ("a random weight", weight)):
        _, cache = layernorm_forward(x, w, np.zeros(6))
        ones = np.abs(layernorm_backward(np.ones((3, 6)), cache)[0]).max()
        drawn = np.abs(layernorm_backward(rng.normal(size=(3, 6)), cache)[0]).max()
        print(f"   {name}: largest |dx| under dy = 1 {ones:.0e}, under a random dy {drawn:.1f}")
except NotImplementedError as error:
    print(f"   {error}")

# %% [markdown]
# ## 3. Subtract first, square afterwards
# The variance of five float32 numbers with deviation about 1 and a growing mean, two ways that are equal in algebra.

# %%
print("\n3. variance in float32, right value beside it")
base = np.array([-1.5, -0.5, 0.0, 0.75, 1.25])
for mean in (0.0, 1e2, 1e3, 1e4):
    x = (base + mean).astype(np.float32)
    exact = x.astype(np.float64).var()
    squares_first = (x * x).mean(dtype=np.float32) - x.mean(dtype=np.float32) ** 2
    centred = x - x.mean(dtype=np.float32)
    print(f"   mean {mean:>7.0f}   right {exact:.5f}   squares first {squares_first:>9.5f}"
          f"   subtracted first {(centred * centred).mean():.5f}")  # fmt: skip

# %% [markdown]
# ## 4. What NoNorm gives up
# Twelve random layers with a residual, y = Norm(x + f(x)). LayerNorm brings each output back to size 1.
# Nothing holds NoNorm's back, at its first weights (1 and 0).

# %%
width, layers = 128, 12
start = rng.normal(size=(16, width))
matrices = [rng.normal(size=(width, width)) / math.sqrt(width) for _ in range(layers)]
sizes = {}
print("\n4. root mean square of the features after 0, 3, 6, 9 and 12 layers")
try:
    for name in ("LayerNorm", "NoNorm"):
        h, sizes[name] = start, [1.0]
        for matrix in matrices:
            s = h + np.maximum(h @ matrix, 0.0)
            if name == "LayerNorm":
                h, _ = layernorm_forward(s, np.ones(width), np.zeros(width))
            else:
                h, _ = nonorm_forward(s, np.ones(width), np.zeros(width))
            sizes[name].append(float(np.sqrt((h * h).mean())))
        print(f"   {name:<10}" + "".join(f"{value:>9.3g}" for value in sizes[name][::3]))
except NotImplementedError as error:
    sizes = {}
    print(f"   {error}")

# %% [markdown]
# ## 5. What each costs, on this machine, in NumPy

# %%
print("\n5. [1024, 512] in float32, best of 15")
x = rng.normal(size=(1024, 512)).astype(np.float32)
weight, bias = np.ones(512, np.float32), np.zeros(512, np.float32)
costs = {"ReLU": lambda: relu_forward(x), "GELU (tanh)": lambda: gelu_tanh_forward(x),
         "NoNorm": lambda: nonorm_forward(x, weight, bias),
         "LayerNorm": lambda: layernorm_forward(x, weight, bias)}  # fmt: skip
for name, run in costs.items():
    try:
        spent = []
        for _ in range(15):
            begin = time.perf_counter()
            run()
            spent.append(time.perf_counter() - begin)
        print(f"   {name:<12} {min(spent) * 1e3:6.2f} ms")
    except NotImplementedError as error:
        print(f"   {error}")

# %% [markdown]
# ## 6. The figures of sections 1 and 4

# %%
plt = pyplot()
if plt:
    x, some = np.linspace(-5.0, 5.0, 2001)[::20], slice(None, None, 20)
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.5))
    for name, colour in (("ReLU", "#c4531b"), ("GELU (erf)", "#1b6ca8")):
        left.plot(x, values[name][some], color=colour, label=name)
        gap = (name == "ReLU") & (np.abs(x) < 1e-9)  # no slope at the kink: the line has a gap there
        right.plot(x, np.where(gap, np.nan, slopes[name][some]), color=colour)
    left.set(xlabel="x", ylabel="y")
    right.set(xlabel="x", ylabel="slope")
    left.legend(loc="upper left")
    figure.tight_layout()
    save(plt, figure, __file__, "activations")
    if sizes:
        figure, axes = plt.subplots(figsize=(4.2, 2.4))
        for (name, curve), colour in zip(sizes.items(), ("#1b6ca8", "#c4531b"), strict=True):
            axes.semilogy(range(layers + 1), curve, "o-", color=colour, label=name, markersize=3)
        axes.set(xlabel="layer", ylabel="size of the features")
        axes.legend()
        save(plt, figure, __file__, "sizes")
