# %% [markdown]
# Lesson 01: how small a step, which upstream gradient, and what the usual check lets through.
# Everything here is written with its own toy functions, so it runs before the tasks are done.

# %%

import importlib.util

import numpy as np

from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing

stop_where_one_is_missing()

# %% [markdown]
# ## 1. The step
# The slope of e^x at x = 1 is e. Its central difference for many steps h, in both types of number.
# Question 1 of the lesson: which h is best in float64, and what happens below it?

# %%
steps = [10.0**-k for k in range(1, 13)]


def relative_error(h, number, central=True):
    x, h = number(1.0), number(h)
    below = np.exp(x - h) if central else np.exp(x)
    slope = (np.exp(x + h) - below) / (h + h if central else h)
    return abs(float(slope) - np.e) / np.e


curves = {
    "float64, one-sided": [relative_error(h, np.float64, central=False) for h in steps],
    "float64, central": [relative_error(h, np.float64) for h in steps],
    "float32, central": [relative_error(h, np.float32) for h in steps],
}
print("1. relative error of the slope of e^x at 1")
print(f"   {'h':<8}" + "".join(f"{name:>20}" for name in curves))
for i, h in enumerate(steps):
    print(f"   {h:<8.0e}" + "".join(f"{errors[i]:>20.0e}" for errors in curves.values()))
for name, errors in curves.items():
    best = int(np.argmin(errors))
    print(f"   best for {name}: h = {steps[best]:.0e}, error {errors[best]:.0e}")

# %% [markdown]
# ## 2. The upstream gradient
# Four operations, each with one wrong backward. The check compares EVERY entry with a central difference of
# L = sum(dy * y); only dy differs. Question 2: which of the four does dy = 1 catch?

# %%
rng = np.random.default_rng(1)
x = rng.normal(size=(3, 4))


def largest_gap(forward, backward, dy):
    error, scale = 0.0, 1e-3
    analytic = backward(dy)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += 1e-5
        down[index] -= 1e-5
        slope = float((dy * (forward(up) - forward(down))).sum()) / 2e-5
        error, scale = max(error, abs(analytic[index] - slope)), max(scale, abs(slope))
    return error / scale


toys = [
    ("x^2, backward forgets dy", lambda x: x * x, lambda dy: 2.0 * x + 0.0 * dy),
    ("x - mean, backward returns zeros", lambda x: x - x.mean(axis=-1, keepdims=True), lambda dy: 0.0 * dy),
    ("rows turned, backward turns the same way", lambda x: np.roll(x, 1, axis=0), lambda dy: np.roll(dy, 1, axis=0)),
    ("x^2, backward forgets the 2", lambda x: x * x, lambda dy: dy * x),
]
print("\n2. relative error that the check reports: above 1e-6 the mistake is caught")
print(f"   {'':<44}{'dy = 1':>10}{'dy random':>12}")
for name, forward, backward in toys:
    gaps = [largest_gap(forward, backward, dy) for dy in (np.ones_like(x), rng.standard_normal(x.shape))]
    print(f"   {name:<44}" + f"{gaps[0]:>10.0e}{gaps[1]:>12.0e}")

# %% [markdown]
# ## 3. A view
# `np.flip` returns a view: its output lies in the same memory as its input. Moving the input in place moves the output
# that was kept, too.

# %%
kept, slopes = x.copy(), []
for copying in (False, True):
    moved = x.copy()
    moved[0, 0] += 1e-5
    up = np.flip(moved)
    up = up.copy() if copying else up
    moved[0, 0] -= 2e-5
    slopes.append(float((np.flip(moved) - up).sum()) / -2e-5)
print(f"\n3. the slope of a flip, whose right value is 1: without a copy {slopes[0]:.3f}, with one {slopes[1]:.3f}")

# %% [markdown]
# ## 4. The bank of wrong solutions
# `lessons/*/mutants.toml` holds wrong solutions of every task. Each wrong backward meets both checks here. The bank is
# the teacher's: a student edition does not have it, and this cell says so.

# %%
table = []
if importlib.util.find_spec("minimobilebert.course.teacher") is None:
    print("\n4. the bank is not part of a student edition; its result is in this lesson's README and figure")
else:
    from minimobilebert.course.shared.manifest import load
    from minimobilebert.course.teacher import weak_checks

    lessons = ("01", "02", "03")  # the ones a reader knows by now; None for all
    ones, random = (weak_checks.run(load(), kind, lessons) for kind in ("ones", "random"))
    table = [(mutant, a, b) for (mutant, a), (_, b) in zip(ones, random, strict=True)]
    blind = [mutant for mutant, a, b in table if a and not b]
    print(f"\n4. {len(table)} wrong backward passes of lessons {', '.join(lessons)}, every entry compared:")
    print(f"   dy random catches {sum(not b for _, _, b in table)}, dy = 1 catches {sum(not a for _, a, _ in table)}.")
    print(f"   These {len(blind)} are right for dy = 1 and wrong for nearly every other:")
    for mutant in blind:
        print(f"   {mutant.task}  {mutant.name:<42} {mutant.explains}")
    both = sum(b for _, _, b in table)
    print(f"   {both} pass both: their mistake is no value. They change an input, are slow, or fail at a border")

# %% [markdown]
# ## 5. The figures of sections 1 and 4

# %%
plt = pyplot()
if plt:
    figure, axes = plt.subplots(figsize=(5.2, 3.0))
    for (name, errors), colour in zip(curves.items(), ("#7a7a7a", "#1b6ca8", "#c4531b"), strict=True):
        axes.loglog(steps, np.maximum(errors, 1e-13), "o-", color=colour, label=name, markersize=3)
    axes.set(xlabel="step h", ylabel="relative error", title="slope of e^x at 1")
    axes.legend()
    save(plt, figure, __file__, "steps")
    if table:
        shown = [row for row in table if not row[2]]
        figure, axes = plt.subplots(figsize=(4.6, 0.17 * len(shown) + 0.5))
        for i, (_, let_through, _) in enumerate(shown):
            for j, caught in enumerate((not let_through, True)):
                axes.plot(j, i, "s", color="#1b6ca8" if caught else "#c4531b", markersize=7)
        axes.set(xlim=(-0.5, 1.5), ylim=(len(shown) - 0.4, -0.6))
        axes.set_xticks([0, 1], ["dy = 1", "dy random"])
        axes.set_yticks(range(len(shown)), [f"{mutant.task} {mutant.name}" for mutant, _, _ in shown], fontsize=7)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        for side in axes.spines.values():
            side.set_visible(False)
        save(plt, figure, __file__, "ones")
