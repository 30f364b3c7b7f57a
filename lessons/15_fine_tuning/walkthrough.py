# %% [markdown]
# # Lesson 15: fine-tuning
# `python lessons/15_fine_tuning/walkthrough.py`, some seconds. It runs the functions of this lesson's tasks: in a
# student edition it works once they are written. All data are made up here.

# %%
import numpy as np

from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.tasks.metrics import accuracy, f1, matthews
from minimobilebert.text.length_batches import TrainingBatches

stop_where_one_is_missing()

rng = np.random.default_rng(15)
# %% [markdown]
# ## 1. Three scores for one set of answers
# 10,000 sentences of which seven in ten are class 1.

# %%
labels = (rng.random(10_000) < 0.7).astype(int)
fair = (rng.random(10_000) < 0.5).astype(int)
skewed = (rng.random(10_000) < 0.7).astype(int)
model = np.where(rng.random(10_000) < 0.8, labels, 1 - labels)
people = {"always 1": labels * 0 + 1, "always 0": labels * 0, "fair coin": fair, "coin, 70 %": skewed,
          "right 4 of 5 times": model, "the same, reversed": 1 - model}  # fmt: skip
print(f"{'':<20}{'accuracy':>10}{'F1':>10}{'F1, other class':>17}{'Matthews':>10}")
for name, answers in people.items():
    print(f"{name:<20}{accuracy(answers, labels):>10.3f}{f1(answers, labels):>10.3f}"
          f"{f1(1 - answers, 1 - labels):>17.3f}{matthews(answers, labels):>10.3f}")  # fmt: skip

# %% [markdown]
# ## 2. The same quality, other shares of the classes
# Right 4 of 5 times in either class; only the share of class 1 changes.

# %%
SHARES = np.array([0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98])
curves = {"accuracy": [], "F1": [], "Matthews": []}
for share in SHARES:
    truth = (rng.random(100_000) < share).astype(int)
    answers = np.where(rng.random(100_000) < 0.8, truth, 1 - truth)
    for name, score in (("accuracy", accuracy), ("F1", f1), ("Matthews", matthews)):
        curves[name].append(score(answers, truth))
print(f"\n{'share of class 1':<18}" + "".join(f"{share:>7.2f}" for share in SHARES))
for name, values in curves.items():
    print(f"{name:<18}" + "".join(f"{value:>7.3f}" for value in values))
plt = pyplot()
if plt:
    figure, axes = plt.subplots(figsize=(4.6, 2.6))
    for (name, values), colour in zip(curves.items(), ("#7a5aa6", "#c4531b", "#1b6ca8"), strict=True):
        axes.plot(SHARES, values, color=colour, marker="o", markersize=3, label=name)
    axes.set(xlabel="share of class 1", ylabel="score", ylim=(0.0, 1.0))
    axes.legend()
    save(plt, figure, __file__, "scores")

# %% [markdown]
# ## 3. What padding costs
# 20,000 texts, most of them short, in batches of 32: the share of the numbers in a batch that are padding.


# %%
class Texts:
    """Only lengths: all that the order of the batches depends on"""

    lengths = np.clip(np.exp(rng.normal(3.0, 0.6, 20_000)), 5, 128).astype(int)


def padding(batches):
    """Share of padding if each batch is as long as its longest text"""
    return 1.0 - Texts.lengths.sum() / sum(len(rows) * Texts.lengths[rows].max() for rows in batches)


shuffled = np.array_split(rng.permutation(20_000), 625)
batches = TrainingBatches(Texts, 32, seed=1)
print(f"\nall texts as long as the longest   {1.0 - Texts.lengths.mean() / Texts.lengths.max():.1%} padding")
print(f"batches at random                  {padding(shuffled):.1%}")
print(f"by length in pools of 32 batches   {padding([batches.rows(s) for s in range(batches.steps_per_epoch)]):.1%}")
print(f"all sorted by length               {padding(np.array_split(np.argsort(Texts.lengths), 625)):.1%}")
