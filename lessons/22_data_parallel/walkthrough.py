# %% [markdown]
# # Lesson 22: more than one machine
# `python lessons/22_data_parallel/walkthrough.py`, some 5 seconds. Ranks are threads here, so it needs no MPI. It runs
# the functions of this lesson's tasks: in a student edition it works once they are written.

# %%
import hashlib
import itertools
import math
import tracemalloc

import numpy as np

from minimobilebert.config import ModelConfig
from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.distributed.communicator import current, exchange
from minimobilebert.distributed.fixed_tree import nodes_inside, tree_sum
from minimobilebert.distributed.reduction import Numbers, Reduction, parts_of_rank
from minimobilebert.distributed.ring import ring_all_reduce
from minimobilebert.distributed.threads import run_ranks
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.model.parameters import init_parameters, parameter_shapes
from minimobilebert.model.parts import cut_batch
from minimobilebert.model.pretraining import pretraining_step
from minimobilebert.text.batches import PretrainingBatch
from minimobilebert.training.data_parallel import DataParallel, Sharing

stop_where_one_is_missing()

use_backend("numpy")
FLOAT = np.float32
rng = np.random.default_rng(22)
CONFIG = ModelConfig(
    vocab_size=200, hidden_size=32, embedding_size=16, intra_bottleneck_size=16, intermediate_size=64,
    num_hidden_layers=3, num_attention_heads=2, num_feedforward_networks=2, max_position_embeddings=64,
    hidden_act="relu", normalization_type="no_norm", use_bottleneck=True, key_query_shared_bottleneck=True,
    trigram_input=True, classifier_activation=False, initializer_range=0.2, hidden_dropout_prob=0.1,
    attention_probs_dropout_prob=0.1,
)  # fmt: skip


def text_batch(lengths, masked):
    """A pre-training batch of random words; lengths, masked: tokens and masked words of each text"""
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    ids = np.where(mask, rng.integers(5, CONFIG.vocab_size, mask.shape), 0).astype(np.int32)
    positions = np.concatenate([
        row * max(lengths) + np.sort(rng.choice(length, count, replace=False))
        for row, (length, count) in enumerate(zip(lengths, masked, strict=True))
    ])  # fmt: skip
    labels = rng.integers(5, CONFIG.vocab_size, len(positions)).astype(np.int32)
    return PretrainingBatch(
        ids, np.zeros_like(ids), mask, positions, labels, rng.integers(0, 2, len(lengths)).astype(np.int32)
    )


BATCH = text_batch((12, 9, 40, 34, 38), (1, 1, 6, 5, 5))

# %% [markdown]
# ## 1. The mean of means
# Five texts in two parts: two short texts, then three long ones. The gradient of the batch, compared with the mean of
# the parts' gradients, and with their sum weighted by shares.

# %%
shapes = parameter_shapes(CONFIG, "pretraining")
wide = init_parameters(shapes, CONFIG, rng, np.float64)


def flat(gradients):
    return np.concatenate([gradient.reshape(-1) for gradient in gradients.values()])


whole, gradients = pretraining_step(wide, CONFIG, BATCH)
right, parts = flat(gradients), cut_batch(BATCH, 2)
print(f"1. masked words in the parts: {[len(part.batch.masked_labels) for part in parts]}; loss of the batch", end="")
print(f" {whole['mlm_loss']:.4f}, of the parts alone", end="")
alone = [pretraining_step(wide, CONFIG, part.batch) for part in parts]
print(f" {alone[0][0]['mlm_loss']:.4f} and {alone[1][0]['mlm_loss']:.4f}")
shared = [pretraining_step(wide, CONFIG, part.batch, None, part.shares) for part in parts]
for words, losses, found in (
    ("mean of means", np.mean([loss["mlm_loss"] for loss, _ in alone]), np.mean([flat(g) for _, g in alone], axis=0)),
    ("with shares", sum(loss["mlm_loss"] for loss, _ in shared), np.sum([flat(g) for _, g in shared], axis=0)),
):
    error = np.linalg.norm(found - right) / np.linalg.norm(right)
    print(f"   {words:<14} loss {losses:.4f}, relative error of the gradient {error:.1e}")

# %% [markdown]
# ## 2. The order of additions
# Eight numbers of float32, as one weight's gradient could be in eight parts: all 40320 orders of adding them one after
# the other.

# %%
eight = (rng.normal(size=8) * 1e-3).astype(FLOAT)
orders = np.array(list(itertools.permutations(eight)))
total = orders[:, 0].copy()
for column in range(1, 8):
    total += orders[:, column]
exact = math.fsum(eight.astype(float))
print(f"\n2. {len(orders)} orders: {len(np.unique(total))} different sums; largest relative error", end="")
print(f" {np.abs(total - exact).max() / abs(exact):.1e}; the summands are up to", end="")
print(f" {np.abs(eight).max() / abs(exact):.0f} times as large as the sum")


def digest(array):
    return hashlib.sha256(array.tobytes()).hexdigest()[:8]


def one_digest(arrays):
    """The hash of all ranks' arrays; they must have the same bits"""
    (found,) = {digest(array) for array in arrays}
    return found


PARTS = (rng.normal(size=(12, 3000)) * 10.0 ** rng.integers(-3, 1, (12, 3000))).astype(FLOAT)


def own_nodes():
    """This rank's nodes of a tree with twelve parts"""
    communicator = current()
    own = parts_of_rank(communicator.rank, communicator.size, len(PARTS))
    return {
        node: tree_sum(*node, lambda low, high: PARTS[low].copy() if high - low == 1 else None)
        for node in nodes_inside(*own, 0, len(PARTS))
    }


def added_up(how):
    return Reduction(current(), own_nodes(), Numbers(PARTS.shape[1], PARTS.dtype, len(PARTS), how)).wait()


print("   twelve parts; the hash of their sum:")
print("   ranks   tree       ring       how many nodes of the tree each rank adds up by itself")
for ranks in (1, 2, 3, 4, 5):
    tree, ring = (one_digest(run_ranks(ranks, lambda how=how: added_up(how))) for how in ("deterministic", "ring"))
    nodes = [len(each) for each in run_ranks(ranks, own_nodes)]
    print(f"   {ranks:<7} {tree}   {ring}   {nodes}")

# %% [markdown]
# ## 3. The ring
# Every rank has an array of ones, so a number says how many ranks are in it. What each of four ranks has before the
# first turn, and after each.

# %%
RANKS = 4


def watched_ring():
    """-> the array before the first turn, and after each"""
    communicator, array = current(), np.ones(RANKS)
    start, seen = communicator.start, []

    def noted(outgoing, incoming, tag):
        seen.append(array.copy())
        return start(outgoing, incoming, tag)

    communicator.start = noted
    ring_all_reduce(communicator, array)
    return [*seen, array]


turns = np.array(run_ranks(RANKS, watched_ring)).transpose(1, 0, 2)  # [turn, rank, segment]
print("\n3. before  " + "  ".join(f"turn {turn}" for turn in range(1, len(turns))))
for rank in range(RANKS):
    print(f"   {'  '.join(' '.join(f'{number:.0f}' for number in turn[rank]) for turn in turns)}   rank {rank}")
wide_parts = [rng.normal(size=1000) for _ in range(RANKS)]


def compared():
    rank = current().rank
    array = wide_parts[rank].copy()
    ring_all_reduce(current(), array)
    nodes = {(rank, rank + 1): wide_parts[rank]}
    other = Reduction(current(), nodes, Numbers(1000, array.dtype, RANKS)).wait()
    return np.abs(array - other).max() / np.abs(other).max()


print(f"   compared with the tree: largest difference {max(run_ranks(RANKS, compared)):.0e} of the largest sum")

# %% [markdown]
# ## 4. What travels
# Numbers that the busiest rank sends, for n = 12000, counted. Three algorithms: everything to rank 0, which adds and
# sends the sum back; everybody sends everything to everybody; the ring.

# %%


def through_rank_0(communicator, array):
    if communicator.rank:
        exchange(communicator, [(0, array)], [])
        exchange(communicator, [], [(0, array)])
        return
    for other in range(1, communicator.size):
        arrived = np.empty_like(array)
        exchange(communicator, [], [(other, arrived)])
        array += arrived
    exchange(communicator, [(other, array) for other in range(1, communicator.size)], [])


def everything_to_everybody(communicator, array):
    others = [other for other in range(communicator.size) if other != communicator.rank]
    arrived = [np.empty_like(array) for _ in others]
    exchange(communicator, [(other, array) for other in others], list(zip(others, arrived, strict=True)))
    for each in arrived:
        array += each


def busiest(function, ranks, length=12000):
    """Numbers sent and received by the busiest rank -> the larger of the two"""

    def run():
        communicator, counts = current(), [0, 0]
        start = communicator.start

        def counted(outgoing, incoming, tag):
            for direction, messages in enumerate((outgoing, incoming)):
                counts[direction] += sum(array.size for _, array in messages)
            return start(outgoing, incoming, tag)

        communicator.start = counted
        array = np.ones(length, FLOAT)
        function(communicator, array)
        assert (array == ranks).all()
        return max(counts)

    return max(run_ranks(ranks, run))


print("\n4. ranks   through rank 0   everybody to everybody   ring    2 n (N - 1) / N")
for ranks in (2, 3, 4, 6, 8):
    counts = [busiest(each, ranks) for each in (through_rank_0, everything_to_everybody, ring_all_reduce)]
    print(f"   {ranks:<7} {counts[0]:<16} {counts[1]:<24} {counts[2]:<7} {2 * 12000 * (ranks - 1) // ranks}")

# %% [markdown]
# ## 5. In 16 bits
# The same sum with numbers that travel in bfloat16, and are added in float32.

# %%
exact = PARTS.astype(float).sum(axis=0)
print("\n5. relative error of the sum (root of the mean square):")
for how in ("deterministic", "bfloat16"):
    for ranks in (2, 4):
        found = run_ranks(ranks, lambda how=how: added_up(how))[0]
        error = np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2))
        print(f"   {how:<14} {ranks} ranks   {error:.1e}")

# %% [markdown]
# ## 6. Parts on one machine
# Gradients of a batch of 24 texts in one process, in several parts one after the other: how much memory a step needs at
# most, and whether three ranks have the same bits.

# %%
params = {name: array.astype(FLOAT) for name, array in wide.items()}
LONG = text_batch([64] * 24, [9] * 24)


def of_batch(parts):
    def step(params, batch, step, rng, shares):
        return pretraining_step(params, CONFIG, batch, rng, shares)

    return DataParallel(step, 1, Sharing(parts)).gradients(params, LONG, 1)


print("\n6. parts   MB at most   hash of one process   three ranks")
for parts in (1, 3, 6, 12):
    tracemalloc.start()
    _, gradients = of_batch(parts)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    of_ranks = run_ranks(3, lambda parts=parts: flat(of_batch(parts)[1])) if parts >= 3 else None
    hashes = digest(flat(gradients)), one_digest(of_ranks) if of_ranks else ""
    print(f"   {parts:<7} {peak / 1e6:<12.1f} {hashes[0]:<21} {hashes[1]}".rstrip())

# %% [markdown]
# ## 7. While the backward pass still runs
# A simulation: the paper's MobileBERT on eight machines with a network of 1 Gbit/s. The backward pass takes one second,
# from the last of 24 blocks down to the embeddings, each as long as the others. A bucket travels when its blocks are
# done, and one bucket after the other.

# %%
PAPER = ModelConfig(
    vocab_size=30522, hidden_size=512, embedding_size=128, intra_bottleneck_size=128, intermediate_size=512,
    num_hidden_layers=24, num_attention_heads=4, num_feedforward_networks=4, max_position_embeddings=512,
    hidden_act="relu", normalization_type="no_norm", use_bottleneck=True, key_query_shared_bottleneck=True,
    trigram_input=True, classifier_activation=False,
)  # fmt: skip
MACHINES, BANDWIDTH, LATENCY, BACKWARD = 8, 125e6, 50e-6, 1.0  # bytes a second; seconds; seconds


def layer_sizes():
    """Numbers in each block, from the last to the first, and in the embeddings -> list"""
    sizes = {name: math.prod(shape) for name, shape in parameter_shapes(PAPER, None).items()}
    blocks = [sum(size for name, size in sizes.items() if f"layer.{layer}." in name) for layer in reversed(range(24))]
    return [*blocks, sum(sizes.values()) - sum(blocks)]


def timeline(blocks, bytes_each):
    """blocks: how many travel together -> list of (start, end) of messages, end of the last"""
    sizes, messages, free = layer_sizes(), [], 0.0
    for first in range(0, len(sizes), blocks):
        bucket = sizes[first : first + blocks]
        done = BACKWARD * (first + len(bucket)) / len(sizes)
        start = max(free, done)
        free = (
            start + 2 * sum(bucket) * bytes_each * (MACHINES - 1) / MACHINES / BANDWIDTH + 2 * (MACHINES - 1) * LATENCY
        )
        messages.append((start, free))
    return messages, free


TIMELINES = {
    "one message": timeline(25, 4), "buckets of 5 blocks": timeline(5, 4),
    "bfloat16, one message": timeline(25, 2), "bfloat16, buckets of 5": timeline(5, 2),
    "bfloat16, buckets of 1": timeline(1, 2),
}  # fmt: skip
print(f"\n7. {sum(layer_sizes()) / 1e6:.1f} million numbers, {layer_sizes()[-1] / 1e6:.1f} of them in the embeddings")
for words, (messages, end) in TIMELINES.items():
    print(f"   {words:<24} {len(messages):>2} messages, {end:.2f} s: {end - BACKWARD:.2f} after the backward pass")

# %%
plt = pyplot()
if plt:
    figure, axes = plt.subplots(1, len(turns), figsize=(7.2, 1.6))
    for turn, (axis, counts) in enumerate(zip(axes, turns, strict=True)):
        axis.imshow(counts, cmap="Blues", vmin=0, vmax=RANKS + 4)
        for rank, segment in itertools.product(range(RANKS), repeat=2):
            axis.text(segment, rank, f"{counts[rank, segment]:.0f}", ha="center", va="center", fontsize=8)
        axis.set_title(f"turn {turn}" if turn else "before", fontsize=9)
        axis.set_xticks([])
        axis.set_yticks(range(RANKS) if turn == 0 else [])
    axes[0].set_ylabel("rank")
    figure.tight_layout()
    save(plt, figure, __file__, "ring")

    figure, axes = plt.subplots(figsize=(7.2, 3.2))
    for row, (messages, end) in enumerate(TIMELINES.values()):
        axes.barh(row - 0.2, BACKWARD, 0.36, color="#9aa5b1", label="backward" if row == 0 else None)
        for number, (start, stop) in enumerate(messages):
            label = "gradients travel" if row == number == 0 else None
            axes.barh(row + 0.2, stop - start, 0.36, start, color="#2b6cb0", edgecolor="white", lw=0.6, label=label)
        axes.text(end + 0.02, row + 0.2, f"{end:.2f} s", va="center", fontsize=8)
    axes.set_yticks(range(len(TIMELINES)), list(TIMELINES))
    axes.invert_yaxis()
    axes.set_xlim(0.0, 2.7)
    axes.set_xlabel("seconds since the backward pass began")
    axes.legend(loc="lower right", fontsize=8)
    figure.tight_layout()
    save(plt, figure, __file__, "overlap")
