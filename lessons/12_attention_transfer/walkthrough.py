# %% [markdown]
# # Lesson 12: attention transfer
# `python lessons/12_attention_transfer/walkthrough.py`, a few seconds. It runs the functions of this lesson's
# tasks: in a student edition it works once they are written.

# %%
import numpy as np

from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.distillation.attention_transfer import attention_transfer_backward, attention_transfer_forward
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.ops.softmax import softmax_forward

stop_where_one_is_missing()

use_backend("numpy")  # small arrays: nothing is worth compiling here
TEXTS, HEADS, TOKENS = 2, 2, 6
rng = np.random.default_rng(12)
student, teacher = rng.normal(size=(2, TEXTS, HEADS, TOKENS, TOKENS)) * np.array([1.0, 2.0]).reshape(2, 1, 1, 1, 1)
mask = np.ones((TEXTS, TOKENS), bool)
# %% [markdown]
# ## 1. Divergence and cross-entropy
# The released code minimises the cross-entropy of the two maps. All rows count here (no padding), so a mean will do.


# %%
print("1. Divergence and cross-entropy")


def cross_entropy(student, teacher):
    return float(-(softmax_forward(teacher)[0] * np.log(softmax_forward(student)[0])).sum(axis=-1).mean())


def slope(loss, student, direction, step=1e-5):
    """How the loss changes along a direction, by a central difference"""
    return (loss(student + step * direction) - loss(student - step * direction)) / (2.0 * step)


entropy = cross_entropy(teacher, teacher)
print(f"entropy of the teacher's rows, on average: {entropy:.6f} (it would be {np.log(TOKENS):.6f} for even ones)")
print("student            KL         cross-entropy   their difference")
for name, scores in {"random": student, "half way": 0.5 * (student + teacher), "the teacher": teacher.copy()}.items():
    loss, _ = attention_transfer_forward(scores, teacher, mask)
    other = cross_entropy(scores, teacher)
    print(f"{name:<12} {loss:>12.6f} {other:>14.6f} {other - loss:>17.6f}")

direction = rng.normal(size=student.shape)
loss, cache = attention_transfer_forward(student, teacher, mask)
gradient = attention_transfer_backward(1.0, cache)
measured = slope(lambda scores: cross_entropy(scores, teacher), student, direction)
print(f"along a random direction: cross-entropy changes by {measured:.8f},")
print(f"                the gradient of the KL divergence says {float((gradient * direction).sum()):.8f}")

# %% [markdown]
# ## 2. What the loss does not see

# %%
print("\n2. What the loss does not see")
shifted = student.copy()
shifted[0, 0, 2] += 5.0
doubled = student.copy()
doubled[0, 0, 2] *= 2.0
moved, sharper = (attention_transfer_forward(scores, teacher, mask)[0] for scores in (shifted, doubled))
print(f"the loss {loss:.6f}; 5 added to one row of scores: {moved:.6f}; that row doubled: {sharper:.6f}")
print(f"largest sum of a row of the gradient: {np.abs(gradient.sum(axis=-1)).max():.0e}")

# %% [markdown]
# ## 3. Masked rows
# The second text has 4 real tokens. Keys 4 and 5 of every row, and the rows of queries 4 and 5, are padding.

# %%
print("\n3. Masked rows")
short = mask.copy()
short[1, 4:] = False
real = short[:, None, :, None] & short[:, None, None, :]
loud = np.where(real, student, 50.0 * rng.normal(size=student.shape))
for name, scores in (("as drawn", student), ("other scores in the padding", loud)):
    loss, cache = attention_transfer_forward(scores, teacher, short)
    gradient = attention_transfer_backward(1.0, cache)
    inside, outside = np.abs(np.where(real, gradient, 0.0)).max(), np.abs(np.where(real, 0.0, gradient)).max()
    print(f"{name:<28} loss {loss:.6f}   largest gradient {inside:.6f}   in the padding {outside:.1f}")
everything = np.ones_like(short)
print(f"{'the same, nothing masked':<28} loss {attention_transfer_forward(loud, teacher, everything)[0]:.6f}")
nothing = np.zeros_like(short)
loss, cache = attention_transfer_forward(student, teacher, nothing)
print(f"a batch of padding only: loss {loss}, largest gradient {np.abs(attention_transfer_backward(1.0, cache)).max()}")

# %% [markdown]
# ## 4. Which of the two comes first
# The teacher looks at two keys. One student looks at one of them only, the other one spreads over all keys.


# %%
print("\n4. Which of the two comes first")


def row(*probabilities):
    return np.log(np.array(probabilities)).reshape(1, 1, 1, -1) * np.ones((1, 1, len(probabilities), 1))


two_keys, one_key, all_keys = row(0.49, 0.49, 0.01, 0.01), row(0.97, 0.01, 0.01, 0.01), row(0.25, 0.25, 0.25, 0.25)
four = np.ones((1, 4), bool)
print("student                      KL(teacher || student)   KL(student || teacher)")
for name, scores in (("looks at one of the two", one_key), ("looks everywhere", all_keys)):
    forward = attention_transfer_forward(scores, two_keys, four)[0]
    backward = attention_transfer_forward(two_keys, scores, four)[0]
    print(f"{name:<28} {forward:>22.4f} {backward:>24.4f}")

# %% [markdown]
# ## 5. A softmax too many
# The TensorFlow 2 port takes the softmax of maps that are probabilities already.

# %%
print("\n5. A softmax too many")
left, right = row(0.97, 0.01, 0.01, 0.01), row(0.01, 0.01, 0.01, 0.97)
once = attention_transfer_forward(left, right, four)[0]
twice = attention_transfer_forward(softmax_forward(left)[0], softmax_forward(right)[0], four)[0]
print(f"two maps that look in opposite directions: KL {once:.4f}; after a second softmax {twice:.4f}")

# %% [markdown]
# ## 6. A student that learns one map
# Plain gradient descent on the student's scores.

# %%
print("\n6. A student that learns one map")
scores, history = student.copy(), []
for _ in range(200):
    loss, cache = attention_transfer_forward(scores, teacher, mask)
    history.append((loss, cross_entropy(scores, teacher)))
    scores -= 20.0 * attention_transfer_backward(1.0, cache)
difference = np.abs(softmax_forward(scores)[0] - softmax_forward(teacher)[0]).max()
offset = (scores - teacher).mean(axis=-1)
kl, ce = history[-1]
print(f"after 200 steps: KL {kl:.6f}, cross-entropy {ce:.6f}; largest difference of the maps {difference:.4f};")
print(f"rows of scores differ from the teacher's by up to {np.abs(offset).max():.2f} on average")

plt = pyplot()
if plt:
    figure, axes = plt.subplots(figsize=(5.0, 2.6))
    axes.plot([c for _, c in history], color="#c4531b", label="cross-entropy")
    axes.plot([k for k, _ in history], color="#1b6ca8", label="KL divergence")
    axes.axhline(entropy, color="#333333", linewidth=0.8, linestyle=":", label="the teacher's entropy")
    axes.set(xlabel="step", ylim=(0.0, None))
    axes.legend()
    save(plt, figure, __file__, "divergence")
