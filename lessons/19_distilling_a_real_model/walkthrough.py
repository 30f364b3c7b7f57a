# %% [markdown]
# # Lesson 19: distilling a real model
# `python lessons/19_distilling_a_real_model/walkthrough.py`, some 30 to 60 seconds; nothing is compiled. It runs the
# functions of this lesson's tasks: in a student edition it works once they are written.

# %%
import functools
from typing import NamedTuple

import numpy as np

from minimobilebert.config import ModelConfig
from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.grid import on_grid
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.distillation.attention_transfer import attention_transfer_forward
from minimobilebert.distillation.encoder_transfer import (
    EncoderTransfer,
    encoder_transfer_losses,
    encoder_transfer_step,
)
from minimobilebert.distillation.principal_directions import principal_directions
from minimobilebert.distillation.relation_transfer import relation_transfer_forward
from minimobilebert.distillation.sentence_vector_transfer import (
    direction_transfer_backward,
    direction_transfer_forward,
)
from minimobilebert.distilling.first_values import start_from_teacher
from minimobilebert.distilling.layer_mapping import layer_pairs
from minimobilebert.distilling.students import named_student
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.model.encoder import encoder_forward
from minimobilebert.model.parameters import init_parameters, parameter_shapes
from minimobilebert.model.self_attention import Projections
from minimobilebert.ops.attention import attention_forward
from minimobilebert.ops.pooling import normalize_forward, pool_forward
from minimobilebert.tasks.metrics import pearson
from minimobilebert.training.adamw import AdamW
from minimobilebert.training.clipping import clip_by_global_norm
from minimobilebert.training.schedules import WarmupLinearDecay

stop_where_one_is_missing()

use_backend("numpy")  # small arrays: nothing is worth compiling here
rng = np.random.default_rng(19)
teacher = Projections(*rng.normal(size=(3, 2, 6, 8)))
mask = np.ones((2, 6), bool)
# %% [markdown]
# ## 1. Maps and relations
# Two texts of 6 tokens, 2 heads of 4 numbers. Students whose queries, keys and values are the teacher's, seen from
# another angle: every head's queries are rotated, and its keys by another rotation.


# %%
def rotation():
    """A random rotation of each head's 4 numbers, [8, 8]"""
    return np.kron(np.eye(2), np.linalg.qr(rng.normal(size=(4, 4)))[0])


def map_loss(student):
    """Attention transfer of softmax(q k^T / sqrt(K)), as in lesson 12"""
    scores = [attention_forward(*each, mask, 2)[1].scores for each in (student, teacher)]
    return attention_transfer_forward(*scores, mask)[0]


same, first, second = rotation(), rotation(), rotation()
stretch = np.kron(np.eye(2), np.diag([4.0, 2.0, 0.5, 0.25]))
students = {
    "the teacher's": teacher,
    "one rotation for all": Projections(*(x @ same for x in teacher)),
    "queries and keys by different ones": Projections(teacher.query @ first, teacher.key @ second, teacher.value),
    "queries stretched, keys shrunk": Projections(teacher.query @ stretch, teacher.key @ np.linalg.inv(stretch),
                                                  teacher.value),
    "values in another order of tokens": teacher._replace(value=teacher.value[:, ::-1]),
    "random": Projections(*rng.normal(size=(3, 2, 6, 8))),
}  # fmt: skip
print("1. student                                  maps (KL)   relations (KL)")
for name, student in students.items():
    found = map_loss(student), relation_transfer_forward(student, teacher, mask, 2)[0]
    print(f"   {name:<36}" + "".join(f"{abs(value):>14.3f}" for value in found))
narrow = Projections(*rng.normal(size=(3, 2, 6, 6)))
print(f"   a student of 3 heads: maps {attention_forward(*narrow, mask, 3)[1].scores.shape},", end="")
print(f" the teacher's {attention_forward(*teacher, mask, 2)[1].scores.shape};", end="")
print(f" relations with R = 2: loss {relation_transfer_forward(narrow, teacher, mask, 2)[0]:.3f}")

# %% [markdown]
# ## 2. The gradient of a direction
# Three sentence vectors of lengths 1, 10 and 100 and a teacher's vector; then one step of plain gradient descent.

# %%
u = rng.normal(size=(1, 8)) * np.array([[1.0], [10.0], [100.0]])
u /= np.linalg.norm(u[:1])
t = np.repeat(rng.normal(size=(1, 8)), 3, axis=0)
loss, cache = direction_transfer_forward(u, t)
du = direction_transfer_backward(3.0, cache)  # three times the mean: each text's own loss
print("\n2. length   1 - cos   gradient: along the vector   its length   after a step: length   1 - cos")
for vector, gradient, target in zip(u, du, t, strict=True):
    moved = vector - gradient
    losses = [direction_transfer_forward(each[None], target[None])[0] for each in (vector, moved)]
    along, before = abs(gradient @ vector) / np.linalg.norm(vector), np.linalg.norm(vector)
    print(f"   {before:>6.2f} {losses[0]:>9.3f} {along:>28.4f} {np.linalg.norm(gradient):>12.4f}", end="")
    print(f" {np.linalg.norm(moved):>23.3f} {losses[1]:>9.3f}")

# %% [markdown]
# ## 3. A language, and a sentence encoder
# 8 topics have 16 phrases of two words each; the k-th is used in proportion to 1/k. A text is four phrases, each after
# a small word. One small word is "no": the phrase after it does not count. Two texts are similar if the phrases that
# count are from the same topics: the labels are the cosines of these counts. The teacher learns nothing else.

# %%
TOPICS, PHRASES, SMALL = 8, 16, 8
CLS, SEP, FIRST = 2, 3, 4  # ids; FIRST is "no", and seven other small words follow
WORDS = FIRST + SMALL  # the id of the first word of a phrase
CHANCES = 1.0 / np.arange(1, PHRASES + 1)
CHANCES /= CHANCES.sum()
TEXTS, TOKENS = 32, 14  # of a batch


class Batch(NamedTuple):
    input_ids: np.ndarray  # [B, T]
    token_type_ids: np.ndarray  # [B, T]
    attention_mask: np.ndarray  # [B, T]
    teacher_vectors: np.ndarray  # [B, 8] how many phrases of each topic count


def draw(stream, step=0, texts=TEXTS):
    """Texts of two topics -> Batch"""
    rng = np.random.default_rng([stream, step])
    two, share = rng.integers(0, TOPICS, (texts, 2, 1)), rng.integers(0, 5, (texts, 1))
    topics = np.where(np.arange(4) < share, two[:, 0], two[:, 1])
    phrases = topics * PHRASES + rng.choice(PHRASES, (texts, 4), p=CHANCES)
    counts = (rng.random((texts, 4)) >= 0.5) | (np.arange(4) == 3)  # the last one always
    small = np.where(counts, FIRST + rng.integers(1, SMALL, (texts, 4)), FIRST)
    inside = np.stack([small, WORDS + 2 * phrases, WORDS + 2 * phrases + 1], axis=-1).reshape(texts, 12)
    ids = np.pad(inside, ((0, 0), (1, 1)), constant_values=CLS).astype(np.int32)
    ids[:, -1] = SEP
    vectors = (counts[:, :, None] & (topics[:, :, None] == np.arange(TOPICS))).sum(axis=1).astype(np.float64)
    return Batch(ids, np.zeros_like(ids), np.ones(ids.shape, bool), vectors)


TEACHER = ModelConfig(
    vocab_size=WORDS + 2 * TOPICS * PHRASES, hidden_size=32, embedding_size=32, intra_bottleneck_size=32,
    intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=16,
    hidden_act="gelu_tanh", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip
GRID = 2.0**-20  # gradients and weights are multiples of it: training would make much of the last bit of a sum


def train(params, step_function, stream, steps, rate, watch=lambda params, step: None):
    """AdamW on batches of `stream`, in place; watch is called before each step and after the last one"""
    optimiser, schedule = AdamW(params), WarmupLinearDecay(rate, steps // 10, steps)
    for step in range(steps):
        watch(params, step)
        _, gradients = step_function(params, draw(stream, step), step)
        gradients = on_grid(gradients, GRID)
        _, factor = clip_by_global_norm(gradients, 1.0)
        optimiser.step(params, gradients, schedule(step), factor=round(factor, 4))
        params.update(on_grid(params, GRID))
    watch(params, steps)


def run(params, config, batch):
    """-> the encoder's output, the sentence vectors of length 1"""
    output, _ = encoder_forward(params, config, *batch[:3])
    return output, normalize_forward(pool_forward(output.hidden_states[-1], batch.attention_mask, "mean")[0])[0]


PAIRS = draw(31, texts=800)  # the first half with the second half


def agreement(params, config):
    """Pearson's correlation of the cosines of pairs with their labels"""
    vectors, counts = run(params, config, PAIRS)[1], normalize_forward(PAIRS.teacher_vectors)[0]
    found, labels = ((x[:400] * x[400:]).sum(axis=1) for x in (vectors, counts))
    return pearson(found, labels)


def cosines_of_no(params, config):
    """Mean cosine of the texts b a b a and a a a a, of all pairs of topics; the b count, or are behind "no" """
    a, b = np.nonzero(~np.eye(TOPICS, dtype=bool))
    first_words, vectors = WORDS + 2 * PHRASES * np.arange(TOPICS), []
    for topic, small in ((a, FIRST + 1), (b, FIRST + 1), (b, FIRST)):
        phrases = [[np.full(len(a), each), first_words[t], first_words[t] + 1]
                   for each, t in ((small, topic), (FIRST + 2, a)) * 2]  # fmt: skip
        ids = np.stack([np.full(len(a), CLS), *sum(phrases, []), np.full(len(a), SEP)], axis=1)
        batch = Batch(ids, np.zeros_like(ids), np.ones(ids.shape, bool), None)
        vectors.append(run(params, config, batch)[1])
    return [float((vectors[0] * other).sum(axis=1).mean()) for other in vectors[1:]]


def random_model(config, seed):
    params = init_parameters(parameter_shapes(config, None), config, np.random.default_rng(seed))
    return on_grid(params, GRID)


teacher = random_model(TEACHER, 1)
untrained = agreement(teacher, TEACHER)
labels_only = EncoderTransfer((), similarity_factor=1.0)
train(
    teacher, lambda params, batch, step: encoder_transfer_step(params, TEACHER, None, None, batch, labels_only),
    32, 400, 1e-2,
)  # fmt: skip
agreement_of_teacher = agreement(teacher, TEACHER)
print(f"\n3. a sentence encoder of {sum(w.size for w in teacher.values())} parameters, 400 updates: ", end="")
print(f"correlation {untrained:.2f} before and {agreement_of_teacher:.2f} after")
plain, with_no = cosines_of_no(teacher, TEACHER)
print(f"   cosine of a text of topics b, a, b, a with one of topic a alone: {plain:.2f};", end="")
print(f" with no before both b: {with_no:.2f}")
print(f"   the labels say {0.5**0.5:.2f} and 1.00")

# %% [markdown]
# ## 4. The word table
# The teacher's table has 32 columns, the student's 8. How much of the sum of squares do 8 directions keep?

# %%
table = teacher["bert.embeddings.word_embeddings.weight"]
print("\n4. share of the word table's squares that is kept by")
for count in (4, 8, 16):
    _, kept = principal_directions(table, count)
    any_ones = np.linalg.qr(np.random.default_rng(count).normal(size=(32, count)))[0]
    shares = [np.square(x).sum() / np.square(table).sum() for x in (table[:, :count], table @ any_ones)]
    print(f"   {count:>2} principal directions {kept:.3f}, columns {shares[0]:.3f}, random directions {shares[1]:.3f}")

# %% [markdown]
# ## 5. Three students
# MobileBERT's blocks, a quarter as wide inside, word vectors of 8 numbers. As in joint transfer (lesson 13), layers are
# compared first, for a quarter of 500 updates; then the sentence vectors alone. One student starts with the principal
# directions, one with a random table; the third has 2 heads instead of 4.

# %%
UPDATES, LAYERS_UNTIL, HELD = 500, 125, draw(34, texts=128)
MOMENTS = (0, 10, 30, 60, 90, 125, 200, 300, 400, 500)
PARTS = {"attention_transfer": "maps", "relation_transfer": "relations", "feature_map_transfer": "feature maps",
         "embedding_transfer": "embeddings", "sentence_directions": "1 - cos"}  # fmt: skip
ranks = (HELD.input_ids - WORDS) // 2 % PHRASES
GROUPS = {"frequent": (HELD.input_ids >= WORDS) & (ranks < 2), "rare": (HELD.input_ids >= WORDS) & (ranks >= 8)}
MASK = HELD.attention_mask
of_teacher = run(teacher, TEACHER, HELD)[0]


@functools.cache
def vectors_of_teacher(step):
    """The teacher's sentence vectors of one batch: three students ask for them"""
    return run(teacher, TEACHER, draw(33, step))[1]


class Student:
    """One student, and what is measured while it trains"""

    def __init__(self, heads, from_teacher):
        self.config = named_student("mobile", TEACHER).replace(embedding_size=8, num_attention_heads=heads)
        pairs = layer_pairs("uniform", 2, 2)
        equal = heads == TEACHER.num_attention_heads
        self.layers = EncoderTransfer(
            pairs, feature_factor=1.0, attention_factor=float(equal), relation_factor=float(not equal),
            relation_heads=2, embedding_factor=1.0,
        )  # fmt: skip
        self.vectors = EncoderTransfer(pairs, direction_factor=5.0)
        self.params, self.starts = random_model(self.config, 2), []
        if from_teacher:
            self.starts = start_from_teacher((self.params, self.config, teacher, TEACHER), pairs, draw(33))
            self.params = on_grid(self.params, GRID)
        self.history = {}  # {step: {name: value}}

    def watch(self, params, step):
        if step not in MOMENTS:
            return
        output, _ = run(params, self.config, HELD)
        everything = self.layers._replace(relation_factor=1.0, direction_factor=1.0)
        values, _ = encoder_transfer_losses(output, of_teacher, MASK, everything)
        error = np.square(output.hidden_states[0] - of_teacher.hidden_states[0]).mean(axis=-1)
        found = {name: values.get(term, np.nan) for term, name in PARTS.items()}
        found |= {name: error[group].mean() for name, group in GROUPS.items()}
        self.history[step] = found | {"correlation": agreement(params, self.config)}

    def step(self, params, batch, step):
        transfer, vectors = (self.layers, None) if step < LAYERS_UNTIL else (self.vectors, vectors_of_teacher(step))
        batch = batch._replace(teacher_vectors=vectors)  # the teacher's instead of the labels
        return encoder_transfer_step(params, self.config, teacher, TEACHER, batch, transfer)


STUDENTS = {
    "principal directions": Student(4, True),
    "random": Student(4, False),
    "principal directions, 2 heads": Student(2, True),
}
print(f"\n5. students of {sum(w.size for w in STUDENTS['random'].params.values())} parameters")
for start in STUDENTS["principal directions"].starts:
    print(f"   start: {start.part}: {start.origin}")
for name, student in STUDENTS.items():
    train(student.params, student.step, 33, UPDATES, 1.5e-2, student.watch)
    print(f"   {name:<30} " + " ".join(f"{part:>12}" for part in (*PARTS.values(), "correlation")))
    for step, values in student.history.items():
        numbers = " ".join(f"{values[part]:>12.3f}" for part in (*PARTS.values(), "correlation"))
        print(f"   {step:>22} updates {numbers}".replace("nan", "  -"))
    plain, with_no = cosines_of_no(student.params, student.config)
    print(f"   b a b a with a: {plain:.2f}; with no before both b: {with_no:.2f}")

# %% [markdown]
# ## 6. Frequent and rare words
# The output of the embedding layer beside the teacher's: the mean squared difference, after 0, 30, 60 and 125 updates.

# %%
words = np.concatenate([draw(33, step).input_ids.reshape(-1) for step in range(LAYERS_UNTIL)])
seen = np.bincount(words, minlength=TEACHER.vocab_size)[WORDS:].reshape(TOPICS, PHRASES, 2)
print(f"\n6. in {LAYERS_UNTIL} updates a word of a topic's first two phrases was seen", end="")
print(f" {seen[:, :2].mean():.0f} times, one of its last eight {seen[:, 8:].mean():.0f} times")
columns = [(step, group) for step in (0, 30, 60, LAYERS_UNTIL) for group in GROUPS]
print("   word table at first   " + "".join(f"{f'{group} {step}':>14}" for step, group in columns))
for name in ("principal directions", "random"):
    history = STUDENTS[name].history
    print(f"   {name:<22}" + "".join(f"{history[step][group]:>14.3f}" for step, group in columns))

# %%
plt = pyplot()
if plt:
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.0, 2.6))
    colours = {"maps": "#1b6ca8", "relations": "#3b8f4a", "feature maps": "#b08a1e", "embeddings": "#c4531b"}
    for part, colour in colours.items():
        name = "principal directions, 2 heads" if part == "relations" else "principal directions"
        steps = [step for step in MOMENTS if step <= LAYERS_UNTIL]
        values = np.array([STUDENTS[name].history[step][part] for step in steps])
        left.plot(steps, values / values[0], color=colour, marker="o", markersize=3, linewidth=1, label=part)
    left.set(xlabel="update", ylabel="share of the loss that is left", ylim=(0.0, None))
    left.legend(fontsize=7)
    for name, colour in (("principal directions", "#1b6ca8"), ("random", "#c4531b")):
        values = [each["correlation"] for each in STUDENTS[name].history.values()]
        right.plot(MOMENTS, values, color=colour, marker="o", markersize=3, linewidth=1, label=name)
    right.axvline(LAYERS_UNTIL, color="#333333", linewidth=0.8, linestyle=":")
    right.axhline(agreement_of_teacher, color="#333333", linewidth=0.8, linestyle="--", label="the teacher")
    right.set(xlabel="update", ylabel="correlation", ylim=(0.0, 1.0))
    right.legend(fontsize=7)
    figure.tight_layout()
    save(plt, figure, __file__, "students")
