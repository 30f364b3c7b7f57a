# %% [markdown]
# Lesson 00: what is in a BERT, what MobileBERT makes of it, and what runs in this folder.
# Run it whole (`python lessons/00_tour/walkthrough.py`) or cell by cell in an editor that knows `# %%`.

# %%

import numpy as np

from minimobilebert.config import PRESETS, preset
from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.model.encoder import encoder_forward
from minimobilebert.model.parameters import init_parameters, parameter_shapes
from minimobilebert.model.sizes import forward_flops, parameters_by_part
from minimobilebert.ops.tanh import tanh_forward

stop_where_one_is_missing()

use_backend("numpy")  # nothing here is worth compiling

# %% [markdown]
# ## 1. Where the parameters are
# Question 1 of the lesson: which part holds most of BERT-base's parameters, and which of MobileBERT's?

# %%
NAMES = ("bert-base", "ib-bert-large", "mobilebert")
parts = {name: parameters_by_part(PRESETS[name]) for name in NAMES}
print("1. parameters in millions, and GFLOP for 128 tokens")
print(f"{'':<14}" + "".join(f"{part:>15}" for part in parts["mobilebert"]) + f"{'all':>9}{'GFLOP':>8}")
for name, sizes in parts.items():
    cells = "".join(f"{count / 1e6:>15.1f}" for count in sizes.values())
    print(f"{name:<14}{cells}{sum(sizes.values()) / 1e6:>9.1f}{forward_flops(PRESETS[name], 128) / 1e9:>8.1f}")
smaller = sum(parts["bert-base"].values()) / sum(parts["mobilebert"].values())
less = forward_flops(PRESETS["bert-base"], 128) / forward_flops(PRESETS["mobilebert"], 128)
print(f"MobileBERT has {smaller:.1f} times fewer parameters than BERT-base and does {less:.1f} times less work")

# %% [markdown]
# ## 2. A forward and its cache
# Every operation in `ops/` has this form. Until this lesson's task is written, this cell says so.

# %%
try:
    y, cache = tanh_forward(np.array([-2.0, 0.0, 0.5]))
    print(f"\n2. tanh of -2, 0, 0.5 is {np.round(y, 4)}; the cache is a {type(cache).__name__} with {cache._fields}")
except NotImplementedError as error:
    print(f"\n2. {error}")

# %% [markdown]
# ## 3. A model small enough to look at
# One sentence of six tokens through two blocks of random weights. Question 2: what shape has the output of block 1?

# %%
small = preset("mobilebert", vocab_size=50, hidden_size=32, embedding_size=8, intra_bottleneck_size=16,
               intermediate_size=24, num_hidden_layers=2, num_attention_heads=4)  # fmt: skip
shapes = parameter_shapes(small)
params = init_parameters(shapes, small, np.random.default_rng(0), np.float64)
print("\n3. the weights of one block: name, [out, in]")
for name, shape in shapes.items():
    if ".layer.0." in name and len(shape) == 2:
        print(f"   {name.partition('.layer.0.')[2]:<40} {list(shape)}")
ids = np.array([[2, 17, 5, 40, 8, 3]])
try:
    output, _ = encoder_forward(params, small, ids, np.zeros_like(ids), np.ones_like(ids, dtype=bool))
    for layer, hidden in enumerate(output.hidden_states):
        print(f"   hidden state {layer}: {list(hidden.shape)}" + ("  (embeddings)" if layer == 0 else ""))
    maps = output.attention_maps[0]
    print(f"   attention map of block 1: {list(maps.shape)}, each row sums to {maps.sum(axis=-1).mean():.3f}")
except NotImplementedError as error:
    print(f"   the model runs once its operations are there; the first one that is not: {error}")

# %% [markdown]
# ## 4. The figure of section 1

# %%
plt = pyplot()
if plt:
    figure, axes = plt.subplots(figsize=(6.4, 1.9))
    left = np.zeros(len(NAMES))
    for part, colour in zip(parts["mobilebert"], ("#7a7a7a", "#1b6ca8", "#c4531b", "#3d8b5f", "#333333"), strict=True):
        counts = np.array([parts[name][part] / 1e6 for name in NAMES])
        axes.barh(NAMES, counts, left=left, color=colour, label=part)
        left += counts
    axes.invert_yaxis()
    axes.set_xlabel("parameters, millions")
    axes.legend(ncols=5, fontsize=8, loc="lower left", bbox_to_anchor=(-0.02, 1.0), columnspacing=1.0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    save(plt, figure, __file__, "parameters")
