# %% [markdown]
# # Lesson 13: progressive transfer, and a bug to find
# `python lessons/13_progressive_transfer/walkthrough.py`, a few seconds. It runs the functions of this lesson's
# tasks (and those of lessons 11 and 12): in a student edition it works once they are written.

# %%
import sys

import numpy as np

from minimobilebert.config import ModelConfig
from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.distillation.layer_transfer import TransferSettings, layer_transfer_step
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.model.parameters import init_parameters, parameter_shapes
from minimobilebert.text.batches import PretrainingBatch
from minimobilebert.training.schedules import progressive_multiplier

stop_where_one_is_missing()

use_backend("numpy")  # small arrays: nothing is worth compiling here
COLOURS = ("#1b6ca8", "#3a923a", "#c4531b", "#7a5aa6")
LAYERS, STEPS = 4, 100

SIZES = {
    "vocab_size": 40, "hidden_size": 24, "embedding_size": 8, "intra_bottleneck_size": 12, "intermediate_size": 16,
    "num_hidden_layers": LAYERS, "num_attention_heads": 2, "max_position_embeddings": 12, "initializer_range": 0.3,
    "use_bottleneck": True, "trigram_input": True, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
TEACHER = ModelConfig(**SIZES, hidden_act="gelu_tanh")
STUDENT = ModelConfig(
    **SIZES, key_query_shared_bottleneck=True, hidden_act="relu", num_feedforward_networks=2,
    normalization_type="no_norm", classifier_activation=False,
)  # fmt: skip

rng = np.random.default_rng(13)
teacher, student = (
    init_parameters(parameter_shapes(config, "pretraining"), config, rng, np.float64) for config in (TEACHER, STUDENT)
)
ids = rng.integers(5, 40, (4, 12)).astype(np.int32)
zeros = np.zeros_like(ids)
empty = np.zeros(0, np.int32)
batch = PretrainingBatch(ids, zeros, np.ones(ids.shape, bool), empty, empty, np.zeros(4, np.int32))


def transfer(layers, model=student, config=STUDENT):
    return layer_transfer_step(model, config, teacher, TEACHER, batch, layers, TransferSettings("released"))


# %% [markdown]
# ## 1. The multipliers

# %%
print("1. The multipliers")
steps = np.arange(LAYERS * STEPS + 1)
multipliers = np.array([[progressive_multiplier(int(s), layer, STEPS) for layer in range(LAYERS)] for s in steps])
print(f"{LAYERS} layers, {STEPS} steps each\nstep    " + "".join(f"layer {layer:<4}" for layer in range(LAYERS)))
for s in (0, 1, 5, 10, 50, 99, 100, 101, 110, 150, 250, 399, 400):
    print(f"{s:>4}    " + "".join(f"{m:<10.4f}" for m in multipliers[s]))
print(f"largest multiplier of any layer: {multipliers.max():.4f}; of a finished one: {multipliers[101:, 0].max():.4f}")
at_borders = multipliers[::STEPS]
print(f"largest multiplier at steps 0, {STEPS}, {2 * STEPS}, ...: {at_borders.max()}")

plt = pyplot()
if plt:
    figure, axes = plt.subplots(figsize=(6.0, 2.4))
    for layer in range(LAYERS):
        axes.plot(steps, multipliers[:, layer], color=COLOURS[layer], linewidth=1.2, label=f"layer {layer}")
    axes.set(xlabel="step", ylabel="multiplier")
    axes.legend(ncol=4, loc="upper center", bbox_to_anchor=(0.5, 1.2))
    save(plt, figure, __file__, "multipliers")

# %% [markdown]
# ## 2. Whose loss moves whose parameters
# One stage of progressive transfer: the loss of one layer. The gradient reaches that layer and all below it.

# %%
print("\n2. Whose loss moves whose parameters")
print("largest gradient of a parameter, by layer")
for asked in range(LAYERS):
    _, gradients = transfer([asked])
    found = [0.0] * LAYERS
    for name, gradient in gradients.items():
        layer = int(name.split(".")[3])
        found[layer] = max(found[layer], float(np.abs(gradient).max()))
    print(f"  loss of layer {asked}:  " + "".join(f"{size:>10.2f}" for size in found))

# %% [markdown]
# ## 3. The bug to find
# Below are the mean and variance terms of the released code, as NumPy. They are run on a student that IS the teacher,
# layer by layer. Every layer has a level and a size of its own, as layers do.

# %%
print("\n3. The bug to find")
LEVELS_AND_SIZES = ((-1.0, 0.5), (0.0, 1.0), (0.2, 1.2), (4.0, 3.0))
teacher_hiddens = [level + size * rng.normal(size=(2, 5, 64)) for level, size in LEVELS_AND_SIZES]


def statistics_losses(student_hiddens, teacher_hiddens):
    """What the released code computes -> one (level, size) a layer"""
    losses = []
    for student_hidden, teacher_hidden in zip(student_hiddens, teacher_hiddens, strict=True):
        assert student_hidden.shape == teacher_hidden.shape
        student_mean, teacher_mean = np.mean(student_hidden, axis=-1), np.mean(teacher_hiddens, axis=-1)
        student_variance, teacher_variance = np.var(student_hidden, axis=-1), np.var(teacher_hiddens, axis=-1)
        level = np.mean((teacher_mean - student_mean) ** 2)
        size = np.mean(np.abs(teacher_variance - student_variance))
        losses.append((level, size))
    return losses


print("a student that is its teacher: level and size of each layer, which should be 0")
for layer, (level, size) in enumerate(statistics_losses(teacher_hiddens, teacher_hiddens)):
    print(f"  layer {layer}:  level {level:.4f}   size {size:.4f}")
alone = statistics_losses(teacher_hiddens[2:3], teacher_hiddens[2:3])[0]
print(f"  a model of one layer:  level {alone[0]:.4f}   size {alone[1]:.4f}")

# %% [markdown]
# ## 4. Where it leads
# Each layer of the student is moved and scaled until its loss is smallest, by trying. The true levels and variances
# are printed beside it. It is the answer to a question, so it is printed on request only.

# %%
print("\n4. Where it leads")
shifts, factors = np.linspace(-6.0, 6.0, 1201), np.linspace(0.05, 8.0, 1591)
answer = [
    "layer   level: its teacher's   where the loss is smallest     variance: its teacher's   where it is smallest"
]
curves = []
for layer, hidden in enumerate(teacher_hiddens):
    by_level, by_size = [], []
    mean, variance = hidden.mean(axis=-1, keepdims=True), hidden.var(axis=-1, keepdims=True)
    for level in shifts:  # every token at this level
        by_level.append(np.mean((np.mean(teacher_hiddens, axis=-1) - level) ** 2))
    for value in factors:  # every token at this variance
        by_size.append(np.mean(np.abs(np.var(teacher_hiddens, axis=-1) - value)))
    curves.append(((mean[..., 0] - shifts[:, None, None]) ** 2).mean(axis=(1, 2)))
    best_level, best_size = shifts[int(np.argmin(by_level))], factors[int(np.argmin(by_size))]
    answer.append(f"{layer:>5}   {mean.mean():>20.2f} {best_level:>28.2f} {variance.mean():>27.2f} {best_size:>22.2f}")
means = [hidden.mean() for hidden in teacher_hiddens]
variances = [hidden.var(axis=-1).mean() for hidden in teacher_hiddens]
low, high = sorted(variances)[1:3]
answer.append(f"average of the layers' levels {np.mean(means):.2f}; of their variances {np.mean(variances):.2f};"
              f" the middle of their variances, between {low:.2f} and {high:.2f}")  # fmt: skip
ASKED = "answer" in sys.argv[1:]  # in a notebook: True
print(
    "\n".join(answer)
    if ASKED
    else "your answer first; then: python lessons/13_progressive_transfer/walkthrough.py answer"
)

if plt:
    figure, axes = plt.subplots(figsize=(6.0, 2.6))
    for layer, curve in enumerate(curves):
        axes.plot(shifts[::20], curve[::20], color=COLOURS[layer], linewidth=1.0, label=f"layer {layer}, as meant")
    axes.plot(shifts[::20], by_level[::20], color="#333333", linewidth=2.0, label="every layer, as released")
    axes.set(xlabel="level of the student's layer", ylabel="level term", ylim=(0.0, 20.0), xlim=(-4.0, 6.0))
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    save(plt, figure, __file__, "levels")

# %% [markdown]
# ## 5. The property that finds it
# Yours: a model compared with itself, all its layers at once.

# %%
print("\n5. The property that finds it")
losses, gradients = transfer([0, 1, 2, 3], teacher, TEACHER)
largest = max(float(np.abs(gradient).max()) for gradient in gradients.values())
print(f"your losses, the teacher compared with itself: {losses['loss']:.1e}; largest gradient {largest:.1e}")
