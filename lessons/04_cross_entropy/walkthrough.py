# %% [markdown]
# # Softmax and cross-entropy, two derivations
# Run this file whole (`python lessons/04_cross_entropy/walkthrough.py`) or cell by cell in an editor that knows `# %%`.

# %%

import numpy as np

from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.ops.cross_entropy import cross_entropy_backward, cross_entropy_forward
from minimobilebert.ops.softmax import softmax_backward, softmax_forward

stop_where_one_is_missing()

use_backend("numpy")  # nothing to compile, and the same digits on every machine
np.set_printoptions(precision=4, suppress=True)

# %% [markdown]
# ## Softmax: shares of one cake
# Only differences count. Adding 1000 to every score changes nothing, although e^1000 is not a number float64 can hold.

# %%
x = np.array([2.0, 1.0, 0.0, -1.0])
print("scores               ", x)
print("softmax              ", softmax_forward(x)[0])
print("softmax of x + 1000  ", softmax_forward(x + 1000.0)[0])
with np.errstate(over="ignore", invalid="ignore"):
    print("the same without care", np.exp(x + 1000.0) / np.exp(x + 1000.0).sum())

# %% [markdown]
# ## The Jacobian, by differences
# Column j holds what a small push of score j does to all probabilities. It sums to 0: the cake does not grow.

# %%
p, cache = softmax_forward(x)
pushes = 1e-6 * np.eye(4)
measured = np.stack([(softmax_forward(x + d)[0] - softmax_forward(x - d)[0]) / 2e-6 for d in pushes], axis=1)
formula = np.diag(p) - np.outer(p, p)
print("measured Jacobian\n", measured)
print("sum of each column   ", measured.sum(axis=0))
print(f"largest difference from diag(p) - p p^T: {np.abs(measured - formula).max():.0e}")

# %% [markdown]
# ## Question 1: what does an upstream gradient of ones give?

# %%
ones = softmax_backward(np.ones(4), cache)
random = softmax_backward(np.array([0.3, -1.2, 0.5, 2.0]), cache)
print("dx for dy = 1, 1, 1, 1           ", ones)
print("dx for dy = 0.3, -1.2, 0.5, 2    ", random)
print(f"its sum: {abs(random.sum()):.0e}")

# %% [markdown]
# ## Two derivations of one gradient
# First: through the probabilities, `dp = -onehot / p`, then back through softmax. Second: the lesson's other result.

# %%
rng = np.random.default_rng(4)
logits, labels = rng.normal(size=(3, 5)), np.array([4, 0, 2])
losses, kept = cross_entropy_forward(logits, labels)
direct = cross_entropy_backward(np.ones(3), kept)


def through_probabilities(z, labels):
    """The first derivation, step by step -> losses, dz; z [M, V]"""
    p, cache = softmax_forward(z)
    rows = np.arange(len(labels))
    dp = np.zeros_like(p)
    with np.errstate(divide="ignore", invalid="ignore"):
        dp[rows, labels] = -1 / p[rows, labels]
        return -np.log(p[rows, labels]), softmax_backward(dp, cache)


_, long_way = through_probabilities(logits, labels)
print("direct\n", direct)
print("sum of each row      ", direct.sum(axis=1))
print(f"largest difference from the long way, float64: {np.abs(direct - long_way).max():.0e}")

# %% [markdown]
# ## Question 2: how wrong may a model be?
# Two words, the wrong one ahead by a margin, in float32. The loss should be the margin (for a large one), its slope 1.

# %%
margins = np.arange(0.0, 121.0, 1.0, dtype=np.float32)
two = np.stack([np.zeros_like(margins), margins], axis=1)
right = np.zeros(len(margins), int)
losses, kept = cross_entropy_forward(two, right)
slopes = cross_entropy_backward(np.ones_like(losses), kept)[:, 1]
with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
    naive, naive_slopes = through_probabilities(two, right)
print("margin   loss   -log(p)   slope   slope the long way")
for m in (1, 10, 80, 100, 110):
    print(f"{m:6}  {losses[m]:5.1f}  {naive[m]:8.1f}   {slopes[m]:.3f}   {naive_slopes[m, 1]:.3f}")
first = int(np.argmax(~np.isfinite(naive)))
print(f"-log(p) is first infinite at a margin of {first}; the slope the long way is first not finite at "
      f"{int(np.argmax(~np.isfinite(naive_slopes[:, 1])))}")  # fmt: skip

# %% [markdown]
# ## What an untrained model should lose
# Logits near 0 over V words: each has a share of 1/V, so the loss is log V. A loss far above says: wrong first weights.

# %%
for words in (2, 4096, 30522):
    losses, _ = cross_entropy_forward(0.01 * rng.normal(size=(64, words)), rng.integers(0, words, 64))
    print(f"{words:6} words: loss {losses.mean():7.4f}   log V {np.log(words):7.4f}")

# %% [markdown]
# ## The picture

# %%
plt = pyplot()
if plt:
    figure, (left, right_) = plt.subplots(1, 2, figsize=(7.0, 2.8))
    every = slice(None, None, 2)
    left.plot(margins[every], cross_entropy_forward(two, right)[0][every], color="#1b6ca8", label="log-sum minus logit")
    left.plot(margins[every], naive[every], "--", color="#c4531b", label="-log(p)")
    left.set(xlabel="how far the wrong word is ahead", ylabel="loss, float32")
    right_.plot(margins[every], slopes[every], color="#1b6ca8", label="from the logarithm of the sum")
    right_.plot(margins[every], naive_slopes[every, 1], "--", color="#c4531b", label="through 1/p")
    right_.set(xlabel="how far the wrong word is ahead", ylabel="slope")
    for panel, values in ((left, naive), (right_, naive_slopes[:, 1])):
        last = int(np.argmax(~np.isfinite(values))) - 1
        panel.plot(margins[last], values[last], "o", color="#c4531b", markersize=5)
        panel.annotate(
            "its last number",
            (margins[last], values[last]),
            xytext=(-20, -16),
            textcoords="offset points",
            fontsize=7,
            color="#c4531b",
        )
        panel.legend()
    figure.tight_layout()
    save(plt, figure, __file__, "margin")
