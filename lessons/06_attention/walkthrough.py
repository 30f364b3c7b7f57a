# %% [markdown]
# # Attention
# Run this file whole (`python lessons/06_attention/walkthrough.py`) or cell by cell in an editor that knows `# %%`.

# %%

import numpy as np

from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.kernels.attention import MASKED_SCORE
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.ops.attention import attention_backward, attention_forward

stop_where_one_is_missing()

use_backend("numpy")  # nothing to compile, and the same digits on every machine
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## Why scores are divided by sqrt(K)
# This part needs none of your functions. Queries and keys are normal numbers; a score is a sum of K products of them.

# %%
rng = np.random.default_rng(6)


def largest_share(scores):
    """The average over the rows of softmax's largest entry"""
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (e.max(axis=1) / e.sum(axis=1)).mean()


print("  K   spread of q . k   largest of 16 shares: unscaled   divided by sqrt(K)")
for size in (4, 32, 256):
    products = rng.normal(size=(400, size)) @ rng.normal(size=(size, 16))
    print(f"{size:3}   {products.std():15.2f}   {largest_share(products):30.3f}   "
          f"{largest_share(products / np.sqrt(size)):18.3f}")  # fmt: skip

# %% [markdown]
# ## Padding: replace, do not push
# One real key and one padding key. NoNorm models do have scores of many thousands.

# %%
print("score of the real key, of padding   -6 instead   -10000 added   MASKED_SCORE instead   : padding's share")
for real, score in ((0.0, 0.0), (-8.0, 0.0), (0.0, 30000.0)):
    shares = [1.0 / (1.0 + np.exp(min(real - new, 700.0))) for new in (-6.0, score - 10000.0, MASKED_SCORE)]
    print(f"{real:21.0f} {score:12.0f}   {shares[0]:10.4f}   {shares[1]:12.4f}   {shares[2]:20.4f}")

# %% [markdown]
# From here on your own functions run.
#
# ## A look-up that can be differentiated
# Three tokens, one head. Each key is a direction of its own, and the query points at key 1, harder and harder.

# %%
key = np.eye(3)[None] * np.sqrt(3.0)  # the scale divides by sqrt(3) again
value = np.array([10.0, 20.0, 60.0])[None, :, None] * np.ones(3)
real = np.ones((1, 3), bool)
for strength in (0.0, 1.0, 3.0, 10.0):
    query = np.tile(strength * np.eye(3)[1], (1, 3, 1))
    context, cache = attention_forward(query, key, value, real, 1)
    print(f"strength {strength:4.0f}: probabilities {cache.probabilities[0, 0, 0]}, context {context[0, 0, 0]:.3f}")

# %% [markdown]
# ## Heads do not mix
# Push one number of head 0's query: only head 0's columns of the context move.

# %%
B, T, A, K = 2, 5, 2, 3
q, k, v = (rng.normal(size=(B, T, A * K)) for _ in range(3))
mask = np.array([[True] * 5, [True, True, True, False, False]])
context, cache = attention_forward(q, k, v, mask, A)
pushed = q.copy()
pushed[0, 2, 0] += 1.0
moved = np.abs(attention_forward(pushed, k, v, mask, A)[0] - context)
print("moved, token by column, sequence 0\n", moved[0])
print("moved in sequence 1:", moved[1].max())

# %% [markdown]
# ## Question 1: what is padding's gradient?
# Sequence 1 has two padding tokens. Their queries ask, so they have a gradient; what of their keys and values?

# %%
dq, dk, dv = attention_backward(rng.normal(size=context.shape), cache)
for name, gradient in (("dquery", dq), ("dkey", dk), ("dvalue", dv)):
    print(f"{name:7} of sequence 1, largest entry of each token", np.abs(gradient[1]).max(axis=1))
print("probabilities of the padding query 4 of sequence 1", cache.probabilities[1, 0, 4])

# %% [markdown]
# ## Question 2: what does a bias of the keys do?
# The same number added to every key adds the same number to all scores of a row. The gradient of such a bias is the sum
# of dkey over the tokens.

# %%
shifted, _ = attention_forward(q, k + rng.normal(size=A * K), v, mask, A)
print(f"largest change of the context by a bias of the keys: {np.abs(shifted - context).max():.0e}")
of_keys, of_queries = (np.abs(gradient.sum(axis=(0, 1))).max() for gradient in (dk, dq))
print(f"largest entry of its gradient: {of_keys:.0e}; of the queries' bias: {of_queries:.2f}")

# %% [markdown]
# ## The backward against differences, along a random direction

# %%
dcontext = rng.normal(size=context.shape)
found = attention_backward(dcontext, cache)
ways = [rng.normal(size=x.shape) for x in (q, k, v)]


def loss(step):
    moved = [x + step * way for x, way in zip((q, k, v), ways, strict=True)]
    return (attention_forward(*moved, mask, A)[0] * dcontext).sum()


measured = (loss(1e-6) - loss(-1e-6)) / 2e-6
backward = sum((g * way).sum() for g, way in zip(found, ways, strict=True))
print(f"slope measured {measured:.8f}, from the backward {backward:.8f}")

# %% [markdown]
# ## What must be kept
# One block of the released MobileBERT: 4 heads, 128 columns, float32. The maps grow with the square of the length.

# %%
print("tokens   q, k, v   probabilities   (kB a sequence and block)")
for tokens in (32, 128, 512):
    print(f"{tokens:6}   {3 * tokens * 128 * 4 / 1000:7.0f}   {4 * tokens * tokens * 4 / 1000:13.0f}")

# %% [markdown]
# ## The picture

# %%
plt = pyplot()
if plt:
    size, tokens = 64, 8
    q, k, v = (rng.normal(size=(1, tokens, size)) for _ in range(3))
    mask = np.arange(tokens)[None] < 6
    figure, panels = plt.subplots(1, 3, figsize=(7.0, 2.7))
    for panel, factor, title in zip(
        panels, (np.sqrt(size), 1.0, 0.0), ("not scaled", "divided by sqrt(K)", "scores of 0"), strict=True
    ):
        maps = attention_forward(factor * q, k, v, mask, 1)[1].probabilities[0, 0]
        panel.pcolormesh(maps, cmap="Blues", vmin=0.0, vmax=1.0)
        panel.invert_yaxis()
        panel.set_xticks(np.arange(0.5, tokens), range(tokens))
        panel.set_yticks(np.arange(0.5, tokens), range(tokens))
        panel.set(title=title, xlabel="key (6 and 7 are padding)")
    panels[0].set_ylabel("query")
    figure.tight_layout()
    save(plt, figure, __file__, "maps")
