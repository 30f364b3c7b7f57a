# %% [markdown]
# # Lesson 11: feature-map transfer
# `python lessons/11_feature_map_transfer/walkthrough.py`, a few seconds. It runs the functions of this lesson's
# tasks: in a student edition it works once they are written.

# %%
import numpy as np

from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.distillation.feature_map_transfer import feature_map_transfer_backward, feature_map_transfer_forward
from minimobilebert.distillation.normalized_feature_map_transfer import (
    normalized_feature_map_transfer_backward,
    normalized_feature_map_transfer_forward,
)
from minimobilebert.kernels.runtime.backend import use_backend

stop_where_one_is_missing()

use_backend("numpy")  # small arrays: nothing is worth compiling here

ONE_AT_A_TIME = {"pattern": (1.0, 0.0, 0.0), "level": (0.0, 1.0, 0.0), "size": (0.0, 0.0, 1.0)}
RECIPE = {"pattern": 100.0, "level": 5000.0, "size": 5.0}


def terms(student, teacher, mask):
    """The three terms of the released form with factor 1, and Equation 2"""
    found = {
        name: normalized_feature_map_transfer_forward(student, teacher, mask, *factors)[0]
        for name, factors in ONE_AT_A_TIME.items()
    }
    return {"Equation 2": feature_map_transfer_forward(student, teacher, mask)[0], **found}


rng = np.random.default_rng(11)
teacher = rng.normal(size=(4, 16, 64))  # four texts of 16 tokens, 64 features
teacher += 0.3 - teacher.mean(axis=-1, keepdims=True)  # every token at the level 0.3
mask = np.ones((4, 16), bool)
# %% [markdown]
# ## 1. What each term sees
# The student is the teacher, changed in one way at a time.

# %%
print("1. What each term sees")
noise = rng.normal(size=teacher.shape)
students = {
    "the teacher itself": teacher,
    "every feature + 0.1": teacher + 0.1,
    "every feature doubled": 2.0 * teacher,
    "features in another order": teacher[..., rng.permutation(64)],
    "a little noise": teacher + 0.1 * noise,
}
print("student                      Equation 2   pattern     level      size    with the recipe's factors")
for name, student in students.items():
    found = terms(student, teacher, mask)
    weighted = " + ".join(f"{RECIPE[key] * found[key]:.2f}" for key in RECIPE)
    each = " ".join(f"{found[key]:>9.4f}" for key in RECIPE)
    print(f"{name:<28} {found['Equation 2']:>10.4f} {each}   {weighted}")

# %% [markdown]
# ## 2. The gradients of the three terms are at right angles

# %%
print("\n2. The gradients of the three terms are at right angles")
student = 1.5 * teacher + 0.2 + 0.5 * noise
gradients = {}
for name, factors in ONE_AT_A_TIME.items():
    _, cache = normalized_feature_map_transfer_forward(student, teacher, mask, *factors)
    gradients[name] = normalized_feature_map_transfer_backward(1.0, cache)
print("cosine of the angle between the gradients of two terms, the largest over all tokens")
for first, second in (("pattern", "level"), ("pattern", "size"), ("level", "size")):
    a, b = gradients[first], gradients[second]
    cosine = (a * b).sum(axis=-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
    print(f"  {first:<8} {second:<6} {np.abs(cosine).max():.0e}")

# %% [markdown]
# ## 3. The kink of the size term
# The student is the teacher times c. Near c = 1 the gradient of the size does not become small: it changes sign.

# %%
print("\n3. The kink of the size term")
print("   c      size   d size/dc    Equation 2   d/dc")
for c in (0.9, 0.99, 0.999, 1.0, 1.001, 1.01, 1.1):
    value, cache = normalized_feature_map_transfer_forward(c * teacher, teacher, mask, 0.0, 0.0, 1.0)
    slope = float((normalized_feature_map_transfer_backward(1.0, cache) * teacher).sum())
    plain, plain_cache = feature_map_transfer_forward(c * teacher, teacher, mask)
    plain_slope = float((feature_map_transfer_backward(1.0, plain_cache) * teacher).sum())
    print(f"{c:>6}  {value:>8.4f}  {slope:>8.4f}    {plain:>10.6f}  {plain_slope:>8.4f}")

# %% [markdown]
# ## 4. Padding
# The same two texts, alone and with 12 columns of padding behind them.

# %%
print("\n4. Padding")
short_student, short_teacher, real = student[:2, :4], teacher[:2, :4], np.ones((2, 4), bool)
padded = [np.concatenate([x, rng.normal(size=(2, 12, 64))], axis=1) for x in (short_student, short_teacher)]
padded_mask = np.arange(16) < np.full((2, 1), 4)
everything = np.ones_like(padded_mask)
print("                                    loss   largest gradient of a real token   of padding")
for name, (s, t, m) in {
    "without padding": (short_student, short_teacher, real),
    "padded, over real tokens": (*padded, padded_mask),
    "padded, over all tokens": (*padded, everything),
}.items():
    loss, cache = feature_map_transfer_forward(s, t, m)
    gradient = feature_map_transfer_backward(1.0, cache)
    behind = np.abs(gradient[:, 4:]).max(initial=0.0)
    print(f"{name:<28} {loss:>11.6f} {np.abs(gradient[:, :4]).max():>24.6f} {behind:>21.6f}")

# %% [markdown]
# ## 5. A picture: the student is c times the teacher

# %%
print("\n5. A picture: the student is c times the teacher")
scales = np.linspace(0.02, 2.0, 100)
curves = [terms(c * teacher, teacher, mask) for c in scales]
plt = pyplot()
if plt:
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.0, 2.6))
    for name, colour in (("Equation 2", "#333333"), ("pattern", "#1b6ca8"), ("level", "#3a923a"), ("size", "#c4531b")):
        left.plot(scales, [each[name] for each in curves], color=colour, label=name)
    left.set(xlabel="c", title="each term with factor 1")
    left.legend()
    for name, colour in (("pattern", "#1b6ca8"), ("level", "#3a923a"), ("size", "#c4531b")):
        right.plot(scales, [RECIPE[name] * each[name] for each in curves], color=colour, label=name)
    right.set(xlabel="c", title="with the factors of the released recipe")
    save(plt, figure, __file__, "terms")
