# %% [markdown]
# # The factorised trigram embedding
# Run this file whole (`python lessons/05_embedding/walkthrough.py`) or cell by cell in an editor that knows `# %%`.

# %%

import numpy as np

from minimobilebert.config import preset
from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.model.sizes import parameters_by_part
from minimobilebert.ops.embedding import embedding_backward, embedding_forward
from minimobilebert.ops.trigram import trigram_backward, trigram_forward

stop_where_one_is_missing()

use_backend("numpy")  # nothing to compile, and the same digits on every machine
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## What the word table costs
# These need none of your functions: they count the numbers in each shape.

# %%
for name in ("bert-base", "bert-large", "mobilebert"):
    config = preset(name)
    parts = parameters_by_part(config)
    table = config.vocab_size * config.embedding_size
    print(f"{name:11} table {config.vocab_size} x {config.embedding_size:4} = {table:10,}"
          f"   embeddings {parts['embeddings']:10,} of {sum(parts.values()):11,}"
          f" ({parts['embeddings'] / sum(parts.values()):.1%})")  # fmt: skip

config = preset("mobilebert")
wide = config.replace(embedding_size=config.hidden_size, trigram_input=False)
plain = config.replace(trigram_input=False)
counts = {
    "512 wide, no factors": parameters_by_part(wide)["embeddings"],
    "128 wide, one token": parameters_by_part(plain)["embeddings"],
    "128 wide, three tokens": parameters_by_part(config)["embeddings"],
}
for what, count in counts.items():
    print(f"{what:23} {count:11,}")
trigram_cost = counts["128 wide, three tokens"] - counts["128 wide, one token"]
print(f"the two neighbours cost {trigram_cost:,} numbers; "
      f"the narrow table saves {counts['512 wide, no factors'] - counts['128 wide, one token']:,}")  # fmt: skip

# %% [markdown]
# From here on your own functions run.
#
# ## Three vectors side by side
# Four tokens, one feature each, so that every number can be followed: next, current, previous.

# %%
x = np.array([10.0, 20.0, 30.0, 40.0]).reshape(1, 4, 1)
y, _ = trigram_forward(x)
print("x  ", x[0, :, 0])
for t in range(4):
    print(f"y[{t}]", y[0, t])

# %% [markdown]
# ## The same as a convolution
# The dense layer behind the trigram holds three taps. Sliding them over the tokens gives the same numbers.

# %%
rng = np.random.default_rng(5)
words, weight = rng.normal(size=(2, 6, 4)), rng.normal(size=(5, 12))
dense = trigram_forward(words)[0] @ weight.T
padded = np.pad(words, ((0, 0), (1, 1), (0, 0)))
taps = {+1: weight[:, :4], 0: weight[:, 4:8], -1: weight[:, 8:]}
convolution = sum(padded[:, 1 + shift : 7 + shift] @ tap.T for shift, tap in taps.items())
print(f"largest difference between trigram + dense layer and convolution: {np.abs(dense - convolution).max():.0e}")

# %% [markdown]
# ## Question 1: whose gradient is it?
# Only y[1] gets a gradient: 1 for its next part, 2 for its current part, 3 for its previous part.

# %%
dy = np.zeros((1, 4, 3))
dy[0, 1] = 1.0, 2.0, 3.0
print("dx ", trigram_backward(dy, None)[0, :, 0])
ones = trigram_backward(np.ones((1, 4, 3)), None)[0, :, 0]
print("dx for dy = 1 everywhere", ones, "- how often each token was used")

# %% [markdown]
# ## Question 2: one word, three times
# Word 2 stands at three places with gradients 1, 10 and 100. `dtable[ids] += dy` looks right.

# %%
ids = np.array([[2, 0, 2, 2]])
dy = np.array([1.0, 5.0, 10.0, 100.0]).reshape(1, 4, 1)
_, cache = embedding_forward(ids, np.zeros((4, 1)))
buffered = np.zeros((4, 1))
buffered[ids] += dy
print("dtable                ", embedding_backward(dy, cache)[:, 0])
print("with dtable[ids] += dy", buffered[:, 0])

# %% [markdown]
# ## How many rows of the table does a batch touch?
# Words are as unequal as cities: drawn with chances 1, 1/2, 1/3, ..., as they are in text, most of 30,522 never occur.

# %%
chances = 1.0 / np.arange(1, 30523)
batch = rng.choice(30522, size=(32, 128), p=chances / chances.sum())
used = len(np.unique(batch))
print(f"{batch.size} tokens use {used} of 30522 rows: {1 - used / 30522:.1%} of the table's gradient is 0")

# %% [markdown]
# ## Padding is seen
# The last real token's `next` is the padding's vector, or a zero if there is no padding: the same text, another input.

# %%
text = rng.normal(size=(1, 3, 2))
padding = np.concatenate([text, np.full((1, 2, 2), 0.5)], axis=1)
gap = trigram_forward(padding)[0][:, :3] - trigram_forward(text)[0]
print("what padding changed, token by token\n", gap[0])

# %% [markdown]
# ## The picture

# %%
plt = pyplot()
if plt:
    tokens, features = 7, 3
    copies = np.zeros((3 * features * tokens, features * tokens))
    for column in range(features * tokens):
        one = np.zeros(features * tokens)
        one[column] = 1.0
        copies[:, column] = trigram_forward(one.reshape(1, tokens, features))[0].ravel()
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.0, 3.0), gridspec_kw={"width_ratios": [1, 1.7]})
    of_token = copies.reshape(tokens, 3, features, tokens, features).sum(axis=(2, 4))
    colours = ("#c4531b", "#333333", "#1b6ca8")
    for part, name in enumerate(("next", "current", "previous")):
        t, source = np.nonzero(of_token[:, part])
        left.plot(source, t, "s", color=colours[part], label=name, markersize=7)
    left.set(xlabel="from token of x", ylabel="into token of y", title="who is copied where", ylim=(tokens - 0.5, -0.5))
    left.legend(fontsize=7, loc="lower left")
    right.barh(list(counts)[::-1], [count / 1e6 for count in counts.values()][::-1], 0.6, color="#1b6ca8")
    right.set(xlabel="million numbers in MobileBERT's embeddings")
    figure.tight_layout()
    save(plt, figure, __file__, "trigram")
