# %% [markdown]
# Lesson 02: shapes, why a gradient is a sum over tokens, and what a dense layer costs.
# Cells that use `linear_forward` and `linear_backward` say so in one line while those are not written.

# %%
import time

import numpy as np

from minimobilebert.config import preset
from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.model.parameters import parameter_shapes
from minimobilebert.ops.linear import linear_backward, linear_forward

stop_where_one_is_missing()

use_backend("numpy")  # nothing is compiled here; lesson 08 does that
rng = np.random.default_rng(2)

# %% [markdown]
# ## 1. Two ways to write down "the other way round"
# A product with the weight on the left gives y transposed. A reshape has the right shape and the wrong numbers.

# %%
x, weight = np.arange(6.0).reshape(3, 2), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])  # 3 tokens, 2 -> 3
left = weight @ x.T
print("1. three tokens, 2 features in, 3 out; the weight copies both and adds them")
print(f"   token by token                 {[[float(v) for v in weight @ token] for token in x]}")
print(f"   weight on the left, reshaped   {left.reshape(3, 3).tolist()}")
print(f"   weight on the left, turned     {left.T.tolist()}")

# %% [markdown]
# ## 2. One weight, many tokens
# Question 1 of the lesson: 4096 tokens, each adds its own piece to dweight. If all tokens were equal, how many times
# the piece of one would it be? And how large is it if the pieces point anywhere?

# %%
sizes, same, mixed = [1, 16, 256, 4096], [], []
for tokens in sizes:
    one_x, one_dy = rng.normal(size=8), rng.normal(size=5)
    piece = np.linalg.norm(np.outer(one_dy, one_x))
    same.append(np.linalg.norm(sum(np.outer(one_dy, one_x) for _ in range(tokens))) / piece)
    xs, dys = rng.normal(size=(tokens, 8)), rng.normal(size=(tokens, 5))
    pieces = [np.outer(dy, x) for dy, x in zip(dys, xs, strict=True)]
    mixed.append(np.linalg.norm(sum(pieces)) / np.mean([np.linalg.norm(piece) for piece in pieces]))
print("\n2. length of the sum of all tokens' pieces, one token's = 1")
for tokens, a, b in zip(sizes, same, mixed, strict=True):
    print(f"   {tokens:>5} tokens    all alike {a:>7.0f}    independent {b:>6.1f}    sqrt(tokens) {tokens**0.5:>5.1f}")

# %% [markdown]
# ## 3. Your layer against a loop
# A loop over tokens, one inner product for each output: slow, and hard to get wrong.

# %%
x, weight, bias = rng.normal(size=(2, 3, 4)), rng.normal(size=(5, 4)), rng.normal(size=5)
dy = rng.normal(size=(2, 3, 5))
try:
    y, cache = linear_forward(x, weight, bias)
    slow = np.empty((2, 3, 5))
    for b, t, o in np.ndindex(2, 3, 5):
        slow[b, t, o] = sum(x[b, t, i] * weight[o, i] for i in range(4)) + bias[o]
    print(f"\n3. largest gap between linear_forward and the loop: {np.abs(y - slow).max():.0e}")
    dx, dweight, dbias = linear_backward(dy, cache)
    print(f"   dx {list(dx.shape)}, dweight {list(dweight.shape)}, dbias {list(dbias.shape)}")
except NotImplementedError as error:
    print(f"\n3. {error}")

# %% [markdown]
# ## 4. What it costs
# Two operations (a product and a sum) for each weight and token forward. Question 2: how much is the backward?

# %%
config = preset("mobilebert")
dense = {n: s for n, s in parameter_shapes(config).items() if ".layer.0." in n and len(s) == 2}
forward = sum(2 * out * size for out, size in dense.values())
everything = forward + 2 * 2 * 128 * config.intra_bottleneck_size  # scores, and the weighted sum of the values
weights = sum(out * size for out, size in dense.values())
print(f"\n4. one block of MobileBERT has {len(dense)} dense layers with {weights:,} weights")
print(f"   forward {forward:,} operations a token: {100 * forward / everything:.0f} % of the block at 128 tokens")
rows, size, out = 1024, 512, 128
flops = {"forward": 2 * rows * size * out, "dx": 2 * rows * out * size, "dweight": 2 * out * rows * size}
print(f"   {rows} tokens, {size} -> {out}: " + ", ".join(f"{k} {v / 1e6:.0f} MFLOP" for k, v in flops.items()))
x, weight = rng.normal(size=(rows, size)).astype(np.float32), rng.normal(size=(out, size)).astype(np.float32)
dy = rng.normal(size=(rows, out)).astype(np.float32)
try:
    y, cache = linear_forward(x, weight, None)
    linear_backward(dy, cache)  # once for nothing: the first call is slower
    spent = {"forward": [], "backward": []}
    for _ in range(15):
        start = time.perf_counter()
        linear_forward(x, weight, None)
        middle = time.perf_counter()
        linear_backward(dy, cache)
        spent["forward"].append(middle - start)
        spent["backward"].append(time.perf_counter() - middle)
    times = {key: min(values) for key, values in spent.items()}
    print(f"   on this machine, best of 15: forward {times['forward'] * 1e3:.2f} ms, backward"
          f" {times['backward'] * 1e3:.2f} ms, ratio {times['backward'] / times['forward']:.1f}")  # fmt: skip
except NotImplementedError as error:
    print(f"   no times yet: {error}")

# %% [markdown]
# ## 5. The figure of section 2

# %%
plt = pyplot()
if plt:
    figure, axes = plt.subplots(figsize=(4.6, 2.6))
    axes.loglog(sizes, same, "o-", color="#c4531b", label="all tokens alike")
    axes.loglog(sizes, mixed, "o-", color="#1b6ca8", label="independent tokens")
    axes.set(xlabel="tokens in the batch", ylabel="length of dweight")
    axes.legend()
    save(plt, figure, __file__, "tokens")
