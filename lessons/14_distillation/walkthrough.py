# %% [markdown]
# # Lesson 14: pre-training distillation
# `python lessons/14_distillation/walkthrough.py`, some seconds. It runs the functions of this lesson's tasks
# (and lesson 04's soft cross-entropy): in a student edition it works once they are written.

# %%
import numpy as np

from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.distillation.pretraining_distillation import distillation_losses, mixed_targets
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.model.pretraining import PretrainingOutput
from minimobilebert.ops.cross_entropy import soft_cross_entropy_backward, soft_cross_entropy_forward
from minimobilebert.ops.layernorm import layernorm_forward
from minimobilebert.ops.softmax import softmax_forward
from minimobilebert.text.batches import PretrainingBatch

stop_where_one_is_missing()

use_backend("numpy")  # small arrays: nothing is worth compiling here
WORDS = ["carpenter", "waiter", "mechanic", "teacher", "clerk", "and"]
rng = np.random.default_rng(14)


def entropy(p):
    return -(p * np.log(np.maximum(p, 1e-300))).sum(axis=-1)


teacher_logits = np.array([[3.0, 2.4, 2.1, 1.8, 1.0, -4.0]])
student_logits = rng.normal(size=(1, 6))
label = np.array([2])
# %% [markdown]
# ## 1. One masked word
# "the man worked as a [MASK]": the text had "mechanic" there. Numbers made up; the table shows who pulls which way.

# %%
print("1. One masked word")
targets = mixed_targets(teacher_logits, label, 0.5)
losses, _ = soft_cross_entropy_forward(student_logits, targets)
onehot, teacher = mixed_targets(teacher_logits, label, 1.0), mixed_targets(teacher_logits, label, 0.0)
print(f"{'':<18}" + "".join(f"{word:>11}" for word in WORDS) + "      sum")
p = softmax_forward(student_logits)[0]


def slope(y):
    """The gradient at the student's logits"""
    return soft_cross_entropy_backward(np.ones(1), soft_cross_entropy_forward(student_logits, y)[1])


for name, numbers in {
    "student p": p, "label": onehot, "teacher": teacher, "mixed, alpha 0.5": targets,
    "gradient, label": slope(onehot), "gradient, teacher": slope(teacher), "gradient, mixed": slope(targets),
}.items():  # fmt: skip
    print(f"{name:<18}" + "".join(f"{number:>11.4f}" for number in numbers[0]) + f"{numbers.sum() + 0.0:>9.4f}")

# %% [markdown]
# ## 2. One cross-entropy for two losses

# %%
print("\n2. One cross-entropy for two losses")
hard, soft = (float(soft_cross_entropy_forward(student_logits, y)[0][0]) for y in (onehot, teacher))
half = 0.5 * hard + 0.5 * soft
print(f"L_MLM {hard:.6f}, L_KD {soft:.6f}, half of each {half:.6f}; against mixed targets {losses[0]:.6f}")

# %% [markdown]
# ## 3. The smallest value
# The best student has the mixed targets themselves as its probabilities.

# %%
print("\n3. The smallest value")
print("alpha   smallest loss possible   p(mechanic) there")
for alpha in (0.0, 0.25, 0.5, 0.75, 0.99):
    y = mixed_targets(teacher_logits, label, alpha)
    best = float(soft_cross_entropy_forward(np.log(y), y)[0][0])
    print(f"{alpha:>5} {best:>22.6f} {y[0, 2]:>18.4f}")

# %% [markdown]
# ## 4. A temperature that does nothing
# The released flag multiplies the teacher's hidden vector; LayerNorm stands between it and the logits.

# %%
print("\n4. A temperature that does nothing")
hidden, table = rng.normal(size=(200, 32)), 0.7 * rng.normal(size=(50, 32))


def head(x):
    return layernorm_forward(x, None, None)[0] @ table.T


plain = softmax_forward(head(hidden))[0]
for name, other in {
    "hidden vector divided by 2": softmax_forward(head(hidden / 2.0))[0],
    "logits divided by 2": softmax_forward(head(hidden) / 2.0)[0],
}.items():
    print(f"{name:<28} mean entropy {entropy(plain).mean():.4f} -> {entropy(other).mean():.4f},"
          f" largest change of a probability {np.abs(other - plain).max():.1e}")  # fmt: skip

# %% [markdown]
# ## 5. How much should the student believe?
# A language of 30 words in which the truth is known: the next word's distribution is softmax(context @ TRUTH). The
# student sees 300 contexts with ONE word each, drawn from the truth, and a teacher that knows the truth up to noise.
# What counts is the cross-entropy on 2,000 new contexts, above the smallest possible one (the truth's entropy).

# %%
print("\n5. How much should the student believe?")
SIZE, VOCABULARY, SEEN = 12, 30, 300
truth = rng.normal(size=(SIZE, VOCABULARY))
contexts, fresh = rng.normal(size=(SEEN, SIZE)), rng.normal(size=(2000, SIZE))
probabilities = softmax_forward(contexts @ truth)[0]
words = np.array([rng.choice(VOCABULARY, p=row) for row in probabilities])
fresh_truth = softmax_forward(fresh @ truth)[0]
floor = entropy(fresh_truth).mean()
teachers = {
    "good teacher": truth + 0.2 * rng.normal(size=truth.shape),
    "poor teacher": truth + 1.0 * rng.normal(size=truth.shape),
}


def train(targets, steps=300, rate=1.0):
    """Plain gradient descent of a student of the same form, from 0"""
    weight = np.zeros((SIZE, VOCABULARY))
    for _ in range(steps):
        _, cache = soft_cross_entropy_forward(contexts @ weight, targets)
        weight -= rate * contexts.T @ soft_cross_entropy_backward(np.full(SEEN, 1.0 / SEEN), cache)
    return weight


def above_floor(weight):
    return float(soft_cross_entropy_forward(fresh @ weight, fresh_truth)[0].mean() - floor)


ALPHAS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
print("cross-entropy on new contexts, above the smallest possible")
print(f"{'alpha':<16}" + "".join(f"{alpha:>8}" for alpha in ALPHAS) + "   the teacher itself")
found = {}
for name, weight in teachers.items():
    found[name] = [above_floor(train(mixed_targets(contexts @ weight, words, alpha))) for alpha in ALPHAS]
    print(f"{name:<16}" + "".join(f"{value:>8.4f}" for value in found[name]) + f"{above_floor(weight):>15.4f}")

plt = pyplot()
if plt:
    figure, axes = plt.subplots(figsize=(5.0, 2.6))
    for (name, values), colour in zip(found.items(), ("#1b6ca8", "#c4531b"), strict=True):
        axes.plot(ALPHAS, values, color=colour, marker="o", markersize=3, label=name)
    axes.set(xlabel="alpha: 0 teacher only, 1 labels only", ylabel="nats above the floor", ylim=(0.0, None))
    axes.legend()
    save(plt, figure, __file__, "alpha")

# %% [markdown]
# ## 6. Equation 4
# The teacher's opinion of the next sentence is not asked: another teacher there changes nothing.

# %%
print("\n6. Equation 4")
ids = np.zeros((3, 8), np.int32)
labels = rng.integers(0, 6, 5).astype(np.int32)
batch = PretrainingBatch(ids, ids, ids == 0, np.arange(5), labels, np.array([0, 1, 0], np.int32))


def output():
    return PretrainingOutput(rng.normal(size=(5, 6)), rng.normal(size=(3, 2)), None)


student_output, teacher_output = output(), output()
losses, dwords, dnext = distillation_losses(student_output, teacher_output, batch, 0.5)
negated = teacher_output._replace(next_sentence_logits=-teacher_output.next_sentence_logits)
again, _, _ = distillation_losses(student_output, negated, batch, 0.5)
print(f"L_PD {losses['loss']:.6f} = words {losses['distillation_loss']:.6f} + next sentence {losses['nsp_loss']:.6f};"
      f" with the teacher's next-sentence logits turned round {again['loss']:.6f}")  # fmt: skip
sums = [np.abs(gradient.sum(axis=1)).max() for gradient in (dwords, dnext)]
print(f"largest sum of a gradient's row: words {sums[0]:.0e}, next sentence {sums[1]:.0e}")
