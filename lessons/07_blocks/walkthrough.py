# %% [markdown]
# # Bottleneck blocks, teacher and student
# Run this file whole (`python lessons/07_blocks/walkthrough.py`) or cell by cell in an editor that knows `# %%`.

# %%

import numpy as np

from minimobilebert.config import preset
from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.model.block import block_backward, block_forward
from minimobilebert.model.parameters import block_shapes, init_parameters
from minimobilebert.model.sizes import forward_flops, parameters_by_part

stop_where_one_is_missing()

use_backend("numpy")  # nothing to compile, and the same digits on every machine

# %% [markdown]
# ## Where the numbers are
# These cells need none of your functions: they count the parameters of each part.


# %%
def counted(config):
    """Millions in attention and in feed-forwards, their ratio, and millions of the whole encoder"""
    parts = parameters_by_part(config)
    attention, feed_forward = parts["attention"] / 1e6, parts["feed-forwards"] / 1e6
    return attention, feed_forward, attention / feed_forward, sum(parts.values()) / 1e6


print("model               attention  feed-forward   ratio   bottlenecks   whole   GFLOP at 128 tokens")
for name in ("bert-base", "bert-large", "ib-bert-large", "mobilebert-paper", "mobilebert", "mobilebert-tiny"):
    config = preset(name)
    attention, feed_forward, ratio, whole = counted(config)
    narrow = parameters_by_part(config)["bottlenecks"] / 1e6
    print(f"{name:18} {attention:9.2f}M {feed_forward:12.2f}M {ratio:7.2f} {narrow:12.2f}M {whole:6.1f}M"
          f" {forward_flops(config, 128) / 1e9:10.2f}")  # fmt: skip

# %% [markdown]
# ## Question 1: how many feed-forwards restore BERT's balance?
# MobileBERT as in Table 1 reads queries, keys and values from the wide h, but its feed-forwards from the narrow n.

# %%
paper = preset("mobilebert-paper")
print("feed-forwards   attention to feed-forward")
for count in (1, 2, 3, 4, 8):
    print(f"{count:13}   {counted(paper.replace(num_feedforward_networks=count))[2]:.2f}")

# %% [markdown]
# ## Table 3: the same size, shared out differently
# The paper's F1 on SQuAD beside what is counted here. All four have about 25 million parameters.

# %%
TABLE_3 = ((192, 6, 1, 82.6), (160, 5, 2, 83.4), (128, 4, 4, 83.4), (96, 3, 8, 81.6))
rows = []
print("width inside   heads   feed-forwards   attention   feed-forward   ratio   whole   F1 (paper)")
for width, heads, count, f1 in TABLE_3:
    config = paper.replace(
        intra_bottleneck_size=width, num_attention_heads=heads, num_feedforward_networks=count,
        intermediate_size=4 * width,
    )  # fmt: skip
    attention, feed_forward, ratio, whole = counted(config)
    rows.append((ratio, f1, f"{width} wide, {count} FFN", count))
    print(
        f"{width:12} {heads:7} {count:15} {attention:10.2f}M {feed_forward:13.2f}M {ratio:7.2f} {whole:6.1f}M {f1:9.1f}"
    )

# %% [markdown]
# From here on your own functions run.

# %%
student = preset("mobilebert")
rng = np.random.default_rng(7)


def weights(config, layer):
    shapes = {f"{config.prefix}.encoder.layer.{layer}.{name}": shape for name, shape in block_shapes(config).items()}
    return init_parameters(shapes, config, rng, np.float64)


h = rng.normal(size=(1, 8, student.hidden_size))
mask = np.ones((1, 8), bool)
# %% [markdown]
# ## One block, every kind
# The slope along a random direction, by differences and from the backward.

# %%
for name in ("mobilebert", "mobilebert-paper", "mobilebert-tiny", "classroom-teacher"):
    config = preset(name).replace(initializer_range=0.1, hidden_dropout_prob=0.0)
    params = weights(config, 0)
    x, way, dy = (rng.normal(size=(2, 5, config.hidden_size)) for _ in range(3))
    real = np.array([[True] * 5, [True] * 3 + [False] * 2])

    def loss(step, params=params, config=config, x=x, way=way, dy=dy, real=real):
        return (block_forward(params, config, 0, x + step * way, real)[0] * dy).sum()

    grads = {}
    dh = block_backward(dy, block_forward(params, config, 0, x, real)[1], grads, config, 0)
    measured = (loss(1e-6) - loss(-1e-6)) / 2e-6
    print(
        f"{name:18} {len(grads)} gradients, slope measured {measured:10.4f}, from the backward {(dh * way).sum():10.4f}"
    )

# %% [markdown]
# ## Question 2: what arrives at the first of 24 blocks?
# A gradient of size 1 starts at the top of MobileBERT with its first weights. With NoNorm at its first values a block
# is y = f(h) + h, so f alone, a block without its wide residual, is y - h, and its backward is dh - dy.

# %%
caches, blocks = [], 24
for layer in range(blocks):
    y, cache = block_forward(weights(student, layer), student, layer, h, mask)
    caches.append(cache)
    h = y
start = rng.normal(size=h.shape)
start /= np.linalg.norm(start)
sizes = {"with the residual": [1.0], "without": [1.0]}
gradient = dict.fromkeys(sizes, start)
for layer in reversed(range(blocks)):
    for key, dy in gradient.items():
        dh = block_backward(dy, caches[layer], {}, student, layer)
        gradient[key] = dh if key == "with the residual" else dh - dy
        sizes[key].append(float(np.linalg.norm(gradient[key])))
print("blocks below the top   with the residual   without")
for below in (0, 1, 2, 6, 12, 24):
    print(f"{below:20}   {sizes['with the residual'][below]:17.3f}   {sizes['without'][below]:7.0e}")

# %% [markdown]
# ## The pictures

# %%
plt = pyplot()
if plt:
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.0, 2.9))
    left.axvspan(0.4, 0.6, color="#eeeeee")
    for ratio, f1, label, count in rows:
        left.plot(ratio, f1, "o", color="#c4531b")
        left.annotate(label, (ratio, f1), xytext=(5, 5 if count == 2 else -10), textcoords="offset points", fontsize=7)
    left.set(
        xlabel="attention to feed-forward, parameters", ylabel="SQuAD F1 (Table 3)", xlim=(0.2, 1.6), ylim=(81, 84)
    )
    for key, colour in (("with the residual", "#1b6ca8"), ("without", "#c4531b")):
        right.semilogy(sizes[key], color=colour, label=key)
    right.set(xlabel="blocks below the top", ylabel="size of the gradient")
    right.legend()
    figure.tight_layout()
    save(plt, figure, __file__, "balance")
