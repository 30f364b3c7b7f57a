# %% [markdown]
# # Lesson 20: models in 8 bits
# `python lessons/20_eight_bits/walkthrough.py`, some 10 seconds. It runs the functions of this
# lesson's tasks: in a student edition it works once they are written.

# %%
import numpy as np

from minimobilebert.config import ModelConfig, preset
from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.grid import on_grid
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.kernels.gemm.quads import quads_from
from minimobilebert.kernels.gemm.tiles import nr_of
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.model import heads, layers
from minimobilebert.model.parameters import init_parameters, parameter_shapes
from minimobilebert.model.pretraining import mean_cross_entropy, pretraining_forward, pretraining_step
from minimobilebert.model.quantization import as_arrays, is_quantized_name, quantize
from minimobilebert.ops.quantized_linear import (
    LARGEST,
    MOST_INPUTS,
    PER_TENSOR,
    quantize_rows,
    quantize_weight,
    quantized_linear_forward,
)
from minimobilebert.text.counting_texts import counting_texts
from minimobilebert.training.adamw import AdamW
from minimobilebert.training.schedules import WarmupLinearDecay

stop_where_one_is_missing()

use_backend("numpy")  # a student edition has no compiled layer in 8 bits: this lesson asks for it
FLOAT = np.float32

rng = np.random.default_rng(20)


def relative(found, right):
    """The length of the error, relative to that of the right numbers"""
    return np.linalg.norm(found - right) / np.linalg.norm(right)


# %% [markdown]
# ## 1. A scale
# A row of numbers, its integers, and the numbers that they stand for.

# %%
row = np.array([[0.7, -1.27, 0.004, 0.005, 0.0061, 0.318, -0.625, 0.0]], FLOAT)
integers, scales = quantize_rows(row)
print(f"1. A scale: {scales[0]:.6f}")
for name, values in (("x", row[0]), ("integer", integers[0]), ("stands for", integers[0] * scales[0])):
    print(f"   {name:<11}" + "".join(f"{value:>9.5g}" for value in values))
error = np.abs(integers * scales[:, None] - row)
print(f"   largest error {error.max():.4f}, half of the scale {scales[0] / 2:.4f}")

# %% [markdown]
# ## 2. One large number makes a row coarse
# Rows of 384 normal numbers (root of the mean square, rms: 1), in which one number is replaced by a larger one. The
# error of all the others, beside the formula of the lesson.

# %%
RATIOS = (4, 8, 16, 32, 64, 127, 254, 512, 1024)
measured = []
print("\n2. One large number makes a row coarse")
print("   largest / rms    error of the others    formula    become 0")
for ratio in RATIOS:
    x = rng.normal(size=(400, 384)).astype(FLOAT)
    x[:, 0] = ratio
    integers, scales = quantize_rows(x)
    others = (integers * scales[:, None])[:, 1:]
    measured.append(relative(others, x[:, 1:]))
    print(f"   {ratio:>14} {measured[-1]:>21.3f} {ratio / (LARGEST * np.sqrt(12)):>11.3f}", end="")
    print(f" {(integers[:, 1:] == 0).mean():>10.1%}")
largest = np.abs(rng.normal(size=(400, 384))).max(axis=1).mean()
print(f"   without a larger one: largest / rms {largest:.1f}, error {largest / (LARGEST * np.sqrt(12)):.4f}")

# %% [markdown]
# ## 3. Weights: a scale for each output, or one for all
# A weight [64, 96] in which one output's row is 50 times as large as the others.

# %%
weight = rng.normal(size=(64, 96)).astype(FLOAT)
weight[7] *= 50.0
x = rng.normal(size=(200, 96)).astype(FLOAT)
right = x.astype(np.float64) @ weight.T.astype(np.float64)
small = np.arange(64) != 7
print("\n3. Weights: a scale for each output, or one for all")
print("   relative error of y     63 outputs     the large one")
kinds = {"a scale for each output": quantize_weight(weight), "one scale": quantize_weight(weight, PER_TENSOR)}
for name, quantized in kinds.items():
    y = quantized_linear_forward(x, quantized, None)
    print(f"   {name:<25} {relative(y[:, small], right[:, small]):>8.4f} {relative(y[:, 7], right[:, 7]):>17.4f}")

# %% [markdown]
# ## 4. Sums of integers
# The same 4096 products, added from the left and from the right: in float32, and as integers. Then the longest sum that
# fits into 32 bits, and one that is longer by one product.

# %%
x, weight = (rng.normal(size=(1, 4096)).astype(FLOAT) for _ in range(2))
products = (x * weight)[0]
left, right = (np.cumsum(each, dtype=FLOAT)[-1] for each in (products, products[::-1]))
print(f"\n4. Sums of integers\n   in float32 the two sums differ by {abs(left - right):.1e};", end="")
products = (quantize_rows(x)[0].astype(np.int32) * quantize_rows(weight)[0])[0]
left, right = (np.cumsum(each, dtype=np.int32)[-1] for each in (products, products[::-1]))
print(f" as integers by {left - right}")
for count in (MOST_INPUTS, MOST_INPUTS + 1):
    total = count * LARGEST**2
    print(f"   {count} products of {LARGEST} and {LARGEST}: {total}, in 32 bits {np.array(total).astype(np.int32)}")
print(f"   with -128 in both operands {(2**31 - 1) // 128**2} products would fit")

# %% [markdown]
# ## 5. The instruction
# It multiplies unsigned bytes with signed ones. Six weights of one output, in two words; x + 128 in bytes.

# %%
integers, q = np.array([[3, -5, 127, 0, 1, -127]], np.int8), np.array([100, -7, -127, 64, 0, 127])
words, starts, _ = quads_from(integers, np.ones(1, FLOAT))
words = words[:: nr_of(np.ones(1, FLOAT))]  # of the first output
print("\n5. The instruction")
print(f"   weights {integers[0].tolist()}: words " + ", ".join(f"0x{word & 0xFFFFFFFF:08X}" for word in words.tolist()))
print(f"   x {q.tolist()}, as bytes {(q + 128).tolist()}")
raw = int((q + 128) @ integers[0].astype(int))
print(f"   sum of the bytes' products {raw}, start {starts[0]}, together {raw + starts[0]};", end="")
print(f" the sum of q(x) q(w): {int(q @ integers[0].astype(int))}")

# %% [markdown]
# ## 6. A model with one huge number
# A small MobileBERT (NoNorm, ReLU, two feed-forwards) is trained on lesson 10's language of 24 words. Then a number P
# is added to feature 0 of the first token, in its position embedding, and the weights that read feature 0 become 0. So
# no weight reads the number: NoNorm and the residuals pass it from block to block, and in float32 it changes nothing.
#
# Masked words are read at other tokens; the kind of a pair (next sentence or not) at the first one.

# %%
CONFIG = ModelConfig(
    vocab_size=29, hidden_size=32, embedding_size=16, intra_bottleneck_size=16, intermediate_size=32,
    num_hidden_layers=2, num_attention_heads=4, num_feedforward_networks=2, max_position_embeddings=16,
    hidden_act="relu", normalization_type="no_norm", use_bottleneck=True, key_query_shared_bottleneck=True,
    classifier_activation=False, initializer_range=0.2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip
STEPS = 1000
GRID = 2.0**-20  # gradients and weights are multiples of it: 1000 updates would make much of the last bit of a sum


def trained():
    params = init_parameters(parameter_shapes(CONFIG, "pretraining"), CONFIG, np.random.default_rng(1))
    params = on_grid(params, GRID)
    optimiser, schedule, stream = AdamW(params), WarmupLinearDecay(1e-2, STEPS // 10, STEPS), np.random.default_rng(2)
    for step in range(STEPS):
        _, gradients = pretraining_step(params, CONFIG, counting_texts(stream))
        optimiser.step(params, on_grid(gradients, GRID), schedule(step))
        params.update(on_grid(params, GRID))
    return {name: array.astype(FLOAT) for name, array in params.items()}


def with_number(params, number):
    """The same model with P = number in feature 0 of the first token, which nobody reads"""
    params = {name: array.copy() for name, array in params.items()}
    for name, array in params.items():
        of_block = name.endswith(("bottleneck.input.dense.weight", "bottleneck.attention.dense.weight", "value.weight"))
        if of_block or name in ("cls.predictions.transform.dense.weight", "cls.seq_relationship.weight"):
            array[:, 0] = 0.0
    params[f"{CONFIG.prefix}.embeddings.position_embeddings.weight"][0, 0] = number
    return params


def one_scale_forward(x, weight, bias, residual=None):
    """A dense layer whose x has one scale for all tokens; numbers instead of integers, which is the same"""
    integers, scale = quantize_rows(x.reshape(-1))
    y = (integers.reshape(x.shape) * scale) @ weight[np.arange(len(weight.scales))].T + bias
    return y if residual is None else y + residual


HELD = [counting_texts(np.random.default_rng([3, n])) for n in range(20)]


def scores(params, forward=quantized_linear_forward):
    """-> mean loss of masked words, share of right answers on pairs"""
    layers.quantized_linear_forward = heads.quantized_linear_forward = forward
    losses, right = [], []
    for batch in HELD:
        output, _ = pretraining_forward(params, CONFIG, batch)
        losses.append(mean_cross_entropy(output.word_logits, batch.masked_labels)[0])
        right.append((output.next_sentence_logits.argmax(axis=1) == batch.next_sentence_labels).mean())
    layers.quantized_linear_forward = heads.quantized_linear_forward = quantized_linear_forward
    return float(np.mean(losses)), float(np.mean(right))


model = trained()
NUMBERS = (0.0, 10.0, 100.0, 1000.0, 1e4, 2.47e7)
found = {"float32": [], "8 bits, a scale for each token": [], "8 bits, one scale for all": []}
for number in NUMBERS:
    params = with_number(model, number)
    whole = quantize(params, CONFIG)
    for kind, each in zip(found, (scores(params), scores(whole), scores(whole, one_scale_forward)), strict=True):
        found[kind].append(each)
print("\n6. A model with one huge number, P, that no weight reads")
print(f"   P = {'':<32}" + "".join(f"{number:>10g}" for number in NUMBERS))
print("   loss of masked words (24 words: log 24 = 3.18)")
for kind, values in found.items():
    print(f"   {kind:<36}" + "".join(f"{loss:>10.2f}" for loss, _ in values))
print("   right answers on pairs")
for kind, values in found.items():
    print(f"   {kind:<36}" + "".join(f"{right:>10.2f}" for _, right in values))

# %% [markdown]
# ## 7. Sizes
# Of this model as it is stored, and of the paper's, from the shapes of their parameters.

# %%
whole = quantize(model, CONFIG)
before, after = (sum(array.nbytes for array in as_arrays(each).values()) for each in (model, whole))
print(f"\n7. Sizes\n   the model above: {before} bytes in float32, {after} in 8 bits")
print("   model             parameters    MB in float32    MB in 8 bits    stays in float32")
for name in ("mobilebert", "mobilebert-tiny", "bert-base", "classroom-student"):
    config = preset(name)
    shapes = parameter_shapes(config, "pretraining" if name.startswith("classroom") else None)
    numbers = {True: 0, False: 0}
    rows = 0
    for parameter, shape in shapes.items():
        chosen = is_quantized_name(parameter, config.prefix)
        numbers[chosen] += int(np.prod(shape))
        rows += shape[0] if chosen else 0
    every = sum(numbers.values())
    megabytes = (numbers[True] + 4 * (rows + numbers[False])) / 1e6
    print(f"   {name:<17} {every:>10} {4 * every / 1e6:>16.1f} {megabytes:>15.1f} {numbers[False] / every:>19.1%}")

# %%
plt = pyplot()
if plt:
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.0, 2.6))
    left.plot(RATIOS, [ratio / (LARGEST * np.sqrt(12)) for ratio in RATIOS], "--", color="#333333", linewidth=0.8,
              label="formula")  # fmt: skip
    left.plot(RATIOS, measured, color="#1b6ca8", marker="o", markersize=3, linewidth=1, label="measured")
    left.set(xscale="log", xlabel="largest number / rms of the others", ylabel="relative error", ylim=(0.0, 1.2))
    left.legend(fontsize=7)
    colours = dict(zip(found, ("#333333", "#1b6ca8", "#c4531b"), strict=True))
    for kind, values in found.items():
        right.plot(range(len(NUMBERS)), [loss for loss, _ in values], color=colours[kind], marker="o", markersize=3,
                   linewidth=1, label=kind)  # fmt: skip
    right.set(xlabel="P, a number that nobody reads", ylabel="loss of masked words", ylim=(0.0, None),
              xticks=range(len(NUMBERS)))  # fmt: skip
    right.set_xticklabels([f"{number:g}" for number in NUMBERS], fontsize=6)
    right.legend(fontsize=6)
    figure.tight_layout()
    save(plt, figure, __file__, "scales")
