# %% [markdown]
# # Lesson 10: optimisers, and pre-training a teacher
# `python lessons/10_training/walkthrough.py`, some seconds; the first time half a minute, for kernels are compiled. It
# runs the functions of this lesson's tasks: in a student edition it works once they are written.

# %%
import numpy as np

from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.model.parameters import init_parameters, parameter_shapes
from minimobilebert.model.pretraining import pretraining_step
from minimobilebert.text.counting_texts import counting_texts, small_teacher
from minimobilebert.training.adamw import AdamW
from minimobilebert.training.clipping import clip_by_global_norm
from minimobilebert.training.lamb import LAMB
from minimobilebert.training.schedules import WarmupLinearDecay

stop_where_one_is_missing()

# %% [markdown]
# ## 1. How far is the first step?
# One weight at 1, a gradient of three sizes, learning rate 0.01, no decay. LAMB has no bias correction, but its ratio
# sets the length anyway. The last column is AdamW's formula with the correction left out.

# %%
print("1. the first step with learning rate 0.01")
print("   gradient      gradient descent     AdamW      LAMB   AdamW, not corrected")
for size in (1e-4, 1.0, 1e4):
    moved = []
    for make in (AdamW, LAMB):
        params = {"w": np.ones(1)}
        make(params, weight_decay=0.0).step(params, {"w": np.full(1, size)}, 0.01)
        moved.append(1.0 - float(params["w"][0]))
    raw = 0.01 * 0.1 * size / (np.sqrt(0.001 * size**2) + 1e-8)
    print(f"   {size:<10g} {0.01 * size:>19g} {moved[0]:>9.5f} {moved[1]:>9.5f} {raw:>22.5f}")

# %% [markdown]
# ## 2. Where the decay stands
# Two weights at 1; one gets gradients of size 0.01, the other of size 1, both with random signs. The same 200 updates
# with the decay outside (AdamW), and with decay * w added to the gradient (an L2 penalty under Adam).

# %%
rng = np.random.default_rng(10)
noise, sizes, decay = rng.normal(size=(200, 2, 500)), np.array([[0.01], [1.0]]), 0.1
print("\n2. mean of 500 weights after 200 updates, learning rate 0.01, decay 0.1; started at 1")
for name, inside, outside in (("decay outside", 0.0, decay), ("decay in the gradient", decay, 0.0)):
    params = {"w": np.ones((2, 500))}
    optimiser = AdamW(params, weight_decay=outside)
    for one in noise:
        optimiser.step(params, {"w": sizes * one + inside * params["w"]}, 0.01)
    small, large = params["w"].mean(axis=1)
    print(f"   {name:<22} small gradients {small:.3f}, large gradients {large:.3f}")
print(f"   (1 - 0.01 * 0.1)^200 = {(1 - 0.01 * decay) ** 200:.3f}")

# %% [markdown]
# ## 3. One factor for all gradients

# %%
gradients = {"large": np.array([30.0, 40.0]), "small": np.array([0.3, 0.4])}
norm, factor = clip_by_global_norm(gradients, 1.0)
print(f"\n3. norm {norm:.4f}, factor {factor:.6f}")
apart = {name: g / max(1.0, np.linalg.norm(g)) for name, g in gradients.items()}
for name, clipped in (("together", {n: factor * g for n, g in gradients.items()}), ("array by array", apart)):
    ratio = np.linalg.norm(clipped["large"]) / np.linalg.norm(clipped["small"])
    print(f"   clipped {name:<15} large : small = {ratio:.0f} : 1")

# %% [markdown]
# ## 4. The schedule
# A warm-up of a tenth, so that the drop where the lines meet can be seen.

# %%
schedule = WarmupLinearDecay(1.0, 100, 1000)
print("\n4. warm-up 100 of 1000 steps, peak 1: " +
      ", ".join(f"step {step}: {schedule(step):.4f}" for step in (0, 50, 99, 100, 550, 1000)))  # fmt: skip

# %% [markdown]
# ## 5. What LAMB is for
# Three matrices whose numbers are about 0.01, 1 and 100, with gradients of one size, learning rate 0.01, no decay.

# %%
print("\n5. length of the first step as a share of the matrix's own length")
for make in (AdamW, LAMB):
    params = {f"numbers about {size:g}": size * rng.normal(size=(20, 20)) for size in (0.01, 1.0, 100.0)}
    before = {name: w.copy() for name, w in params.items()}
    make(params, weight_decay=0.0).step(params, {name: rng.normal(size=w.shape) for name, w in params.items()}, 0.01)
    shares = {name: np.linalg.norm(w - before[name]) / np.linalg.norm(before[name]) for name, w in params.items()}
    print(f"   {make.__name__:<6}" + ", ".join(f"{name}: {share:.4f}" for name, share in shares.items()))

# %% [markdown]
# ## 6. A small teacher
# An inverted-bottleneck BERT of two layers, on a language of 24 words in which word n is followed by
# word n + 1 (24 by 1 again): a masked word can be told from its neighbours. The second half of a text goes on
# counting, or starts anywhere: that is the next-sentence question. The same data for everyone.

# %%
CONFIG, STEPS = small_teacher(), 150


def train(make, schedule):
    """-> losses, one a step"""
    rng = np.random.default_rng(1)
    params = init_parameters(parameter_shapes(CONFIG, "pretraining"), CONFIG, rng)
    optimiser, losses = make(params), []
    for step in range(STEPS):
        values, gradients = pretraining_step(params, CONFIG, counting_texts(rng))
        losses.append(values["loss"])
        _, factor = clip_by_global_norm(gradients, 1.0)
        optimiser.step(params, gradients, schedule(step), factor=factor)
    return losses


class Descent:
    """Plain gradient descent, in the same form"""

    def __init__(self, params):
        pass

    def step(self, params, gradients, learning_rate, factor=1.0):
        for name, gradient in gradients.items():
            params[name] -= learning_rate * factor * gradient


print(f"\n6. guessing costs ln 24 + ln 2 = {np.log(24) + np.log(2):.2f}; mean loss of the last 10 of {STEPS} steps")
runs = {}
for name, make, peak in (
    ("gradient descent, peak 0.1", Descent, 0.1), ("gradient descent, peak 1", Descent, 1.0),
    ("AdamW, peak 0.01", AdamW, 0.01), ("LAMB, peak 0.02", LAMB, 0.02),
):  # fmt: skip
    runs[name] = train(make, WarmupLinearDecay(peak, STEPS // 10, STEPS))
    print(f"   {name:<28} first {runs[name][0]:.2f}, last {np.mean(runs[name][-10:]):.2f}")

# %%
plt = pyplot()
if plt:
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.0, 2.6))
    left.plot(range(1001), [schedule(step) for step in range(1001)], color="#1b6ca8")
    left.set(xlabel="step", ylabel="share of the peak", ylim=(0.0, None))
    for (name, losses), colour in zip(runs.items(), ("#bbbbbb", "#777777", "#1b6ca8", "#c4531b"), strict=True):
        right.plot(np.convolve(losses, np.ones(5) / 5, mode="valid"), color=colour, label=name, linewidth=1)
    right.set(xlabel="step", ylabel="loss, mean of 5 steps", ylim=(0.0, None))
    right.legend(fontsize=7)
    figure.tight_layout()
    save(plt, figure, __file__, "training")
