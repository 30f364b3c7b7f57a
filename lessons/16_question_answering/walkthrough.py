# %% [markdown]
# # Lesson 16: question answering
# `python lessons/16_question_answering/walkthrough.py`, a few seconds. It runs the lesson's three
# functions: in a student edition it works once they are written.

# %%
import numpy as np

from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.ops.cross_entropy import cross_entropy_backward, cross_entropy_forward
from minimobilebert.tasks.squad_scores import f1, words
from minimobilebert.tasks.squad_spans import best_spans, span_scores
from minimobilebert.tasks.squad_windows import max_context, windows_of

stop_where_one_is_missing()

use_backend("numpy")  # small arrays: nothing is worth compiling here
rng = np.random.default_rng(16)

# %% [markdown]
# ## 1. The loss and its gradient
# Two softmaxes over one row of six places: where does the answer begin, and where does it end?

# %%
start_logits = np.array([[0.0, 0.5, 2.0, 1.0, -1.0, 0.0]])
end_logits = np.array([[0.0, -0.5, 0.5, 0.5, 2.0, 0.0]])
half = np.array([0.5])
print("an answer at places 2 to 3")
for name, logits, label in (("start", start_logits, [2]), ("end", end_logits, [3])):
    losses, cache = cross_entropy_forward(logits, np.array(label, np.int32))
    gradient = cross_entropy_backward(half, cache)
    print(f"  {name:<5}  loss {losses[0]:.3f}   gradient " + " ".join(f"{g:6.3f}" for g in gradient[0]))
    print(f"         sum of the gradient {abs(gradient.sum()):.3f}")

# %% [markdown]
# ## 2. All spans of one window
# A row for each first piece, a column for each length: the band that `span_scores` computes. Piece 0 has more context
# in the window before this one, so no answer may begin there.

# %%
PIECES = ["call", "me", "ishmael", ".", "some", "years", "ago"]
starts = np.array([4.0, 1.0, 3.5, -2.0, 1.5, 0.5, -1.0])
ends = np.array([0.5, 3.8, 3.0, -1.0, 0.0, 1.0, 2.5])
allowed = np.arange(7) > 0
scores = span_scores(starts, ends, allowed, 3)
print(f"\n{'first piece':<12} 1 piece  2 pieces  3 pieces")
for piece, row in zip(PIECES, scores, strict=True):
    print(f"{piece:<12}" + " ".join(f"{score:8.1f}" for score in row))
for rank, flat in enumerate(best_spans(scores, 3), 1):
    i, k = divmod(int(flat), 3)
    print(f"  {rank}. {scores[i, k]:.1f}  {' '.join(PIECES[i : i + k + 1])}")
print(f"best start alone: {PIECES[np.argmax(starts)]}; best end alone: {PIECES[np.argmax(ends)]}")

plt = pyplot()
if plt:
    figure, axes = plt.subplots(figsize=(4.2, 3.2))
    shown = axes.imshow(np.where(np.isfinite(scores), scores, np.nan), cmap="viridis")
    axes.set(xticks=range(3), xticklabels=(1, 2, 3), yticks=range(7), yticklabels=PIECES, xlabel="pieces in the answer")
    axes.set_ylabel("first piece")
    axes.grid(False)
    for (i, k), score in np.ndenumerate(scores):
        if np.isfinite(score):
            axes.text(k, i, f"{score:.1f}", ha="center", va="center", color="black" if score > 3 else "white")
    figure.colorbar(shown, label="start + end")
    save(plt, figure, __file__, "band")

# %% [markdown]
# ## 3. Best start and best end, each on its own
# Random logits for 200 pieces, 2000 windows: how often is the pair of the two best no answer at all? And how often does
# it help to look at all pairs, and not only at the 20 best starts with the 20 best ends?

# %%
WINDOWS, LENGTH, LONGEST = 2000, 200, 30
unusable = missed = none_left = 0
for _ in range(WINDOWS):
    starts, ends = rng.normal(size=(2, LENGTH))
    length = int(np.argmax(ends) - np.argmax(starts)) + 1
    unusable += not 1 <= length <= LONGEST
    band = span_scores(starts, ends, np.ones(LENGTH, bool), LONGEST)
    best = band.max()
    firsts, lasts = np.argsort(-starts)[:20], np.argsort(-ends)[:20]
    lengths = lasts[None, :] - firsts[:, None] + 1
    usable = (1 <= lengths) & (lengths <= LONGEST)
    if usable.any():
        among_twenty = (starts[firsts][:, None] + ends[lasts][None, :])[usable].max()
        missed += among_twenty < best
    else:
        none_left += 1
print(f"\nbest start with best end is no answer: {100 * unusable / WINDOWS:.1f} % of {WINDOWS} windows")
print(f"20 best with 20 best miss the best span: {missed} windows; find none at all: {none_left}")
print(f"pairs looked at: 20 x 20 = 400, the band {LENGTH} x {LONGEST} = {LENGTH * LONGEST}, all {LENGTH * LENGTH}")

# %% [markdown]
# ## 4. Windows over a long context
# 20 pieces, a window of 10, a new one every 4. A piece counts where it has most context.

# %%
windows = windows_of(20, 10, 4)
print("\npieces 0 to 19; X: may begin an answer here, -: in the window, but counts in another one")
for (first, _), flags in zip(windows, max_context(20, windows), strict=True):
    print(f"  window {first:>2}  " + " " * first + "".join("X" if flag else "-" for flag in flags))

# %% [markdown]
# ## 5. Exact match and F1
# The right answer is "the white whale".

# %%
GOLD = "the white whale"
PASSAGE = (
    "It was the white whale that dismasted me; it was Moby Dick that brought me to this dead stump I stand on now. "
    "Aye, and I'll chase him round Good Hope, and round the Horn, and round the Norway Maelstrom."
)
print(f"\n{'answer':<34} {'words that count':<26} exact    F1")
for answer in (GOLD, "The White Whale!", "white whale", "a whale", "the white whale that", "Moby Dick", PASSAGE):
    kept = words(answer)
    listed = " ".join(kept) if len(kept) < 5 else f"({len(kept)} words)"
    shown = answer if len(answer) < 34 else "(the whole passage)"
    print(f"{shown:<34} {listed:<26} {int(kept == words(GOLD)):>5} {f1(answer, GOLD, False):>5.2f}")
print(f"U.S.A. -> {words('U.S.A.')}, at 4 a.m. -> {words('at 4 a.m.')}, sea-chart -> {words('sea-chart')}")
print(f"no answer against no answer: v1.1 {f1('', '', False):.0f}, v2.0 {f1('', '', True):.0f}")
