# %% [markdown]
# # Lesson 21: a model as a graph, and out of the door
# `python lessons/21_graphs/walkthrough.py`, some 5 seconds. It runs the functions of this lesson's
# tasks: in a student edition it works once they are written.

# %%
import weakref
from collections import Counter

import numpy as np

from minimobilebert.config import ModelConfig
from minimobilebert.course.shared.figure import pyplot, save
from minimobilebert.course.shared.own_functions import stop_where_one_is_missing
from minimobilebert.interop.onnx.comparison import expected_outputs, inputs_of, relative_error
from minimobilebert.interop.onnx.folder import build
from minimobilebert.interop.onnx.graph import Graph
from minimobilebert.interop.onnx.interpreter import OPERATIONS, run
from minimobilebert.kernels.runtime.backend import use_backend
from minimobilebert.model.parameters import init_parameters, parameter_shapes

stop_where_one_is_missing()

use_backend("numpy")
FLOAT = np.float32
rng = np.random.default_rng(21)

# %% [markdown]
# ## 1. A dense layer as a graph
# Two nodes and two stored arrays. Building computes nothing: y is a name.

# %%
weight, bias = rng.normal(size=(4, 3)).astype(FLOAT), rng.normal(size=4).astype(FLOAT)
graph = Graph()
x = graph.input("x", FLOAT, ["rows", 3])
product = graph.node("MatMul", [x, graph.array("w", weight.T)], "product")
y = graph.node("Add", [product, graph.array("b", bias)], "sum")
graph.output("y", y, FLOAT, ["rows", 4])
print("1.", *(f"\n   {node.operation:<9} {', '.join(node.inputs):<12} -> {node.outputs[0]}" for node in graph.nodes))
for rows in (1, 5):
    given = rng.normal(size=(rows, 3)).astype(FLOAT)
    found = run(graph, {"x": given})["y"]
    print(f"   {rows} rows: y {found.shape}, largest difference {np.abs(found - (given @ weight.T + bias)).max():.1e}")

# %% [markdown]
# ## 2. A whole model
# A small MobileBERT with LayerNorm and random weights: its graph compared with model/. The same graph runs for one
# token, and for two texts of which one is padded.

# %%
CONFIG = ModelConfig(
    vocab_size=300, hidden_size=64, embedding_size=32, intra_bottleneck_size=32, intermediate_size=128,
    num_hidden_layers=4, num_attention_heads=4, num_feedforward_networks=2, max_position_embeddings=64,
    hidden_act="relu", normalization_type="layer_norm", use_bottleneck=True, key_query_shared_bottleneck=True,
    trigram_input=True, initializer_range=0.2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip
params = init_parameters(parameter_shapes(CONFIG, "pretraining"), CONFIG, rng)
params = {name: array.astype(FLOAT) for name, array in params.items()}
graph = build(params, CONFIG, "pretraining")
counts = Counter(node.operation for node in graph.nodes)
print(f"\n2. {len(graph.nodes)} nodes, {len(graph.arrays)} stored arrays;", ", ".join(
    f"{operation} {count}" for operation, count in counts.most_common(8)))  # fmt: skip


def text_batch(lengths):
    """Random ids, token types and the mask of texts with these lengths"""
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    return np.where(mask, rng.integers(0, CONFIG.vocab_size, mask.shape), 0), np.zeros(mask.shape, np.int64), mask


for lengths in ((1,), (40, 17)):
    batch = text_batch(lengths)
    found, right = run(graph, inputs_of(batch)), expected_outputs(params, CONFIG, "pretraining", None, batch)
    errors = ", ".join(f"{name} {relative_error(array, right[name]):.0e}" for name, array in found.items())
    print(f"   lengths {lengths}: relative error of {errors}")

# %% [markdown]
# ## 3. What nodes are for
# How many nodes are products, how many only change the layout or the shape, and how many work on each number by itself,
# so that a runtime can fuse them with the node before.

# %%
LAYOUT = {"Reshape", "Transpose", "Slice", "Concat", "Pad", "Squeeze", "Unsqueeze", "Identity", "Split", "Cast"}
EACH_NUMBER = {"Add", "Sub", "Mul", "Div", "Relu", "Sqrt", "Where", "Tanh"}
layout = sum(count for operation, count in counts.items() if operation in LAYOUT)
each_number = sum(count for operation, count in counts.items() if operation in EACH_NUMBER)
readers = Counter(name for node in graph.nodes for name in node.inputs)
joined = sum(
    node.operation in EACH_NUMBER and any(name not in graph.arrays and readers[name] == 1 for name in node.inputs)
    for node in graph.nodes
)
print(f"\n3. products: {counts['MatMul']} nodes; layout and shapes: {layout}; each number by itself: {each_number}")
print(f"   of these, {joined} read an array that nobody else reads")

# %% [markdown]
# ## 4. Memory
# The memory of the arrays that nodes have written and that `run` still holds, after each node; and what it would be if
# all of them stayed. Two texts of 40 tokens.

# %%
written, held = [], []


def watched(operation):
    """The operation, which notes how many bytes are alive after it"""

    def call(*inputs, **attributes):
        found = operation(*inputs, **attributes)
        copies = [np.array(array) for array in found] if isinstance(found, list) else np.array(found)
        written.extend((weakref.ref(each), each.nbytes) for each in (copies if isinstance(found, list) else [copies]))
        held.append(sum(size for reference, size in written if reference() is not None))
        return copies

    return call


run(graph, inputs_of(text_batch((40, 40))), {name: watched(operation) for name, operation in OPERATIONS.items()})
largest, total = int(np.argmax(held)), sum(size for _, size in written)
print(f"\n4. all kept: {total / 1e6:.2f} MB; held: at most {held[largest] / 1e6:.2f} MB,", end="")
print(f" after the node {graph.nodes[largest].name}")

# %% [markdown]
# ## 5. Out of the door
# With the extra `interop` the same graph becomes a file, and with `compare` ONNX Runtime reads it.

# %%
try:
    from minimobilebert.interop.onnx.comparison import Session
    from minimobilebert.interop.onnx.file_format import as_model

    serialised = as_model(graph, "example").SerializeToString()
    print(f"\n5. as a file: {len(serialised) / 1e6:.2f} MB")
    batch = text_batch((40, 17))
    found, right = Session(serialised)(inputs_of(batch)), run(graph, inputs_of(batch))
    errors = ", ".join(f"{name} {relative_error(array, right[name]):.0e}" for name, array in found.items())
    print(f"   ONNX Runtime compared with our interpreter: relative error of {errors}")
except ValueError as missing:
    print(f"\n5. {missing}")

# %%
plt = pyplot()
if plt:
    figure, axes = plt.subplots(figsize=(7.2, 2.8))
    axes.plot(np.array(held) / 1e6)
    axes.set_xlabel("node")
    axes.set_ylabel("MB held by the loop")
    figure.tight_layout()
    save(plt, figure, __file__, "memory")
