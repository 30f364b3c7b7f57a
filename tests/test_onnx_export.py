"""Graphs of the ONNX format compute what this project computes, for every kind of model: in our interpreter, and in ONNX
Runtime where it is installed."""

import weakref

import numpy as np
import pytest
from onnx_models import HEADS, NEEDS_ONNX, POOLINGS, TOLERANCE, batches, case, errors_of, in_each_runtime, parameters_of
from tiny_models import CONFIGS

from minimobilebert.interop.onnx.comparison import Interpreted, inputs_of, relative_error
from minimobilebert.interop.onnx.file_format import as_model
from minimobilebert.interop.onnx.folder import build
from minimobilebert.interop.onnx.graph import Graph
from minimobilebert.interop.onnx.interpreter import OPERATIONS, last_reader, run
from minimobilebert.interop.onnx.operations import layernorm
from minimobilebert.ops.layernorm import layernorm_forward


@in_each_runtime
@pytest.mark.parametrize("seed", range(40))
def test_a_random_model_is_the_same_as_a_graph(seed, session_of):
    arguments = case(seed)
    assert max(errors_of(session_of(build(*arguments)), arguments, seed).values()) < TOLERANCE


@pytest.mark.parametrize("seed", range(40))
def test_onnx_accepts_the_graph(seed):
    onnx = pytest.importorskip("onnx", reason=NEEDS_ONNX)
    onnx.checker.check_model(as_model(build(*case(seed)), "model"), full_check=True)


def test_the_random_models_have_everything():
    """Each switch is on and off among them; otherwise the test above proves less than it says."""
    cases = [case(seed) for seed in range(40)]
    for field in ("use_bottleneck", "bottleneck_attention", "key_query_shared_bottleneck", "trigram_input", "hidden_act",
                  "normalization_type", "classifier_activation", "tie_word_embeddings", "type_vocab_size",
                  "num_feedforward_networks", "has_embedding_transformation"):  # fmt: skip
        found = {getattr(config, field) for _, config, _, _ in cases}
        assert len(found) >= (3 if field in ("hidden_act", "num_feedforward_networks", "type_vocab_size") else 2), field
    assert {head for _, _, head, _ in cases} == set(HEADS)
    assert {sentence.pooling for *_, sentence in cases if sentence} == set(POOLINGS)
    wide = [config for _, config, _, _ in cases if config.use_bottleneck]
    assert any(not c.bottleneck_attention and not c.key_query_shared_bottleneck for c in wide)
    assert any(c.embedding_size != c.hidden_size and not c.trigram_input for _, c, _, _ in cases)
    assert {len(params["classifier.bias"]) for params, _, head, _ in cases if head == "classification"} == {1, 2, 3}


def changed(graph, operation, ending, change):
    """Change the first node of this operation whose name ends like this: change(Node) -> Node"""
    for index, node in enumerate(graph.nodes):
        if node.operation == operation and node.name.endswith(ending):
            graph.nodes[index] = change(node)
            return graph
    raise AssertionError("nothing to change")


def swap(a, b):
    """Exchange two inputs."""

    def change(node):
        inputs = list(node.inputs)
        inputs[a], inputs[b] = inputs[b], inputs[a]
        return node._replace(inputs=inputs)

    return change


def attribute(**attributes):
    return lambda node: node._replace(attributes=attributes)


def other(operation):
    """Another operation with the same inputs."""
    return lambda node: node._replace(operation=operation)


def read(which, instead):
    """Read another array."""
    return lambda node: node._replace(inputs=[instead if i == which else name for i, name in enumerate(node.inputs)])


MUTANTS = {
    "context not transposed": ("Transpose", "side_by_side", attribute(perm=[0, 1, 2, 3])),
    "keys not transposed": ("Transpose", "key.transposed", attribute(perm=[0, 2, 1, 3])),
    "softmax over queries": ("Softmax", "", attribute(axis=-2)),
    "trigrams in the other order": ("Concat", "", swap(0, 2)),
    "centred the other way round": ("Sub", "centred", swap(0, 1)),
    "query and key exchanged": ("MatMul", "products", swap(0, 1)),
    "padding attended to": ("Where", "masked", swap(1, 2)),
    "variance without root": ("Sqrt", "", other("Identity")),
    "residual subtracted": ("Add", "residual", other("Sub")),
    "no activation": ("Erf", "", other("Identity")),
    "types at positions": ("Gather", "token_type_embeddings.rows", read(1, "input_ids")),
    "mask of types": ("Cast", "mask", read(0, "token_type_ids")),
    "bias left out": ("Add", "attention.self.value.sum", other("Sub")),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_changed_graph_is_noticed(name):
    """If a wrong graph passed, the comparison above would prove nothing."""
    config = CONFIGS["ib-bert"].replace(hidden_act="gelu")
    arguments = parameters_of(config, "question-answering", 3), config, "question-answering", None
    graph = build(*arguments)
    assert max(errors_of(Interpreted(graph), arguments).values()) < TOLERANCE
    try:
        errors = errors_of(Interpreted(changed(graph, *MUTANTS[name])), arguments)
    except (ValueError, IndexError):  # shapes do not fit, or a row beyond the last one
        return
    assert max(errors.values()) > 10 * TOLERANCE


def layernorm_of(x, session_of):
    """LayerNorm with weight 1 and bias 0 as we write it; x [rows, N] -> y [rows, N]"""
    size, graph = x.shape[1], Graph()
    params = {"n.weight": np.ones(size, np.float32), "n.bias": np.zeros(size, np.float32)}
    given = graph.input("x", np.float32, ["rows", size])
    graph.output("y", layernorm(graph, params, CONFIGS["bert"], "n", given), np.float32, ["rows", size])
    return session_of(graph)({"x": x})["y"]


@in_each_runtime
def test_layernorm_is_right_where_the_mean_is_large(session_of):
    """ONNX Runtime 1.20's own operation is not: it gives NaN here."""
    x = np.random.default_rng(0).normal(size=(8, 96)).astype(np.float32) + np.float32(3000.0)
    expected, _ = layernorm_forward(x, np.ones(96, np.float32), np.zeros(96, np.float32))
    assert relative_error(layernorm_of(x, session_of), expected) < 1e-5
    same = np.full((4, 96), [[0.0], [0.1], [123.4], [-1e6]], np.float32)
    assert np.abs(layernorm_of(same, session_of)).max() == 0.0


def test_names_are_given_once_and_exist_before_they_are_read():
    graph = Graph()
    x = graph.input("x", np.float32, [3])
    graph.array("w", np.ones(3, np.float32))
    assert graph.array("w", np.zeros(3, np.float32)) == "w"  # stored already
    with pytest.raises(ValueError, match="found other values for w"):
        graph.array("w", np.zeros(4, np.float32))
    with pytest.raises(ValueError, match="found the name w a second time"):
        graph.node("Add", [x, x], "w")
    with pytest.raises(ValueError, match="y: found the input 'z', expected a name that exists"):
        graph.node("Add", [x, "z"], "y")


@pytest.mark.parametrize("seed", range(5))
def test_the_interpreter_drops_what_nobody_reads_any_more(seed):
    arguments = case(seed)
    graph, results, live = build(*arguments), [], []

    def watched(operation):
        def call(*inputs, **attributes):
            live.append(sum(reference() is not None for reference in results))
            found = operation(*inputs, **attributes)
            copies = [np.array(each) for each in found] if isinstance(found, list) else np.array(found)
            results.extend(weakref.ref(each) for each in (copies if isinstance(found, list) else [copies]))
            return copies

        return call

    (*_, batch), last = batches(arguments[1], np.random.default_rng(seed)), last_reader(graph)
    run(graph, inputs_of(batch), {name: watched(operation) for name, operation in OPERATIONS.items()})
    written = [(index, name) for index, node in enumerate(graph.nodes) for name in node.outputs]
    needed = [sum(index < now and (last.get(name, -1) >= now or name in graph.outputs) for index, name in written)
              for now in range(len(graph.nodes))]  # fmt: skip
    assert live == needed and max(live) < len(graph.nodes) / 3
