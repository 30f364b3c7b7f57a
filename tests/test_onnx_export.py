"""Export to ONNX: ONNX Runtime computes from our graphs what this project computes, for every kind of model."""

import numpy as np
import pytest
from onnx_models import HEADS, NEEDS_ONNX, NEEDS_RUNTIME, batches, parameters_of, random_config
from tiny_models import CONFIGS

from minimobilebert.interop.onnx.comparison import Session, expected_outputs, relative_error
from minimobilebert.interop.onnx.folder import build
from minimobilebert.interop.onnx.graph import Graph
from minimobilebert.interop.onnx.operations import layernorm
from minimobilebert.model.sentence_settings import SentenceSettings
from minimobilebert.ops.layernorm import layernorm_forward

onnx = pytest.importorskip("onnx", reason=NEEDS_ONNX)
runtime = pytest.importorskip("onnxruntime", reason=NEEDS_RUNTIME)

TOLERANCE = 1e-4  # of a tensor's scale: float32 in another order of summation
POOLINGS = ("mean", "cls", "max")


def case(seed):
    """A random model -> parameters, ModelConfig, head, SentenceSettings or None"""
    rng = np.random.default_rng(seed)
    config, head = random_config(rng), HEADS[seed % len(HEADS)]
    sentence = SentenceSettings(POOLINGS[seed % 3], bool(seed % 2)) if rng.random() < 0.5 else None
    return parameters_of(config, head, seed), config, head, sentence


def errors_of(model, arguments, seed=0):
    """{output: largest relative error} over batches of one token, of the longest text, and of padded texts"""
    session, errors = Session(model.SerializeToString()), {}
    for batch in batches(arguments[1], np.random.default_rng(seed)):
        expected, found = expected_outputs(*arguments, batch), session(batch)
        assert list(expected) == session.names
        for name, array in expected.items():
            errors[name] = max(errors.get(name, 0.0), relative_error(found[name], array))
    return errors


@pytest.mark.parametrize("seed", range(40))
def test_a_random_model_is_the_same_in_onnx_runtime(seed):
    arguments = case(seed)
    model = build(*arguments)
    onnx.checker.check_model(model, full_check=True)
    assert max(errors_of(model, arguments, seed).values()) < TOLERANCE


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


def mutant(model, change):
    """A copy of the model with the first node changed for which `change` returns True."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    assert any(change(node) for node in copy.graph.node), "nothing to change"
    return copy


def attribute(node, name):
    return next(a for a in node.attribute if a.name == name)


def swap(kind, name=""):
    """Exchange the first two inputs of a node."""

    def change(node):
        if node.op_type != kind or name not in node.name:
            return False
        node.input[0], node.input[1] = node.input[1], node.input[0]
        return True

    return change


def replace(kind, other, name=""):
    """Another operation with the same inputs."""

    def change(node):
        if node.op_type != kind or name not in node.name:
            return False
        node.op_type = other
        return True

    return change


def permute(node):
    """Heads and tokens of the context stay exchanged."""
    if node.op_type != "Transpose" or not node.name.endswith("side_by_side"):
        return False
    attribute(node, "perm").ints[:] = [0, 1, 2, 3]
    return True


def untransposed_keys(node):
    """Keys as [B, A, T, K]"""
    if node.op_type != "Transpose" or not node.name.endswith("key.transposed"):
        return False
    attribute(node, "perm").ints[:] = [0, 2, 1, 3]
    return True


def other_softmax(node):
    if node.op_type != "Softmax":
        return False
    attribute(node, "axis").i = -2
    return True


def other_order_of_trigrams(node):
    if node.op_type != "Concat":
        return False
    node.input[0], node.input[2] = node.input[2], node.input[0]
    return True


def read(kind, ending, which, instead):
    """Read another array."""

    def change(node):
        if node.op_type != kind or not node.name.endswith(ending):
            return False
        node.input[which] = instead
        return True

    return change


MUTANTS = {
    "context not transposed": permute,
    "keys not transposed": untransposed_keys,
    "softmax over queries": other_softmax,
    "trigrams in the other order": other_order_of_trigrams,
    "centred the other way round": swap("Sub", "centred"),
    "query and key exchanged": swap("MatMul", "products"),
    "padding attended to": swap("Where", "masked"),
    "variance without root": replace("Sqrt", "Identity"),
    "residual subtracted": replace("Add", "Sub", "residual"),
    "no activation": replace("Erf", "Identity"),
    "types at positions": read("Gather", "token_type_embeddings.rows", 1, "input_ids"),
    "mask of types": read("Cast", "mask", 0, "token_type_ids"),
    "bias left out": replace("Add", "Sub", "attention.self.value.sum"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_changed_graph_is_noticed(name):
    """If a wrong graph passed, the comparison above would prove nothing."""
    config = CONFIGS["ib-bert"].replace(hidden_act="gelu")
    arguments = parameters_of(config, "question-answering", 3), config, "question-answering", None
    model = build(*arguments)
    assert max(errors_of(model, arguments).values()) < TOLERANCE
    try:
        errors = errors_of(mutant(model, MUTANTS[name]), arguments)
    except Exception as error:  # noqa: BLE001 (ONNX Runtime's errors have no common class)
        assert type(error).__module__.startswith("onnxruntime")
    else:
        assert max(errors.values()) > 10 * TOLERANCE


def layernorm_in_runtime(x):
    """LayerNorm with weight 1 and bias 0 as we write it; x [rows, N] -> y [rows, N]"""
    size, graph = x.shape[1], Graph()
    params = {"n.weight": np.ones(size, np.float32), "n.bias": np.zeros(size, np.float32)}
    graph.output("y", layernorm(graph, params, CONFIGS["bert"], "n", "x"), np.float32, ["rows", size])
    model = graph.model({"x": (np.float32, ["rows", size])}, "layernorm")
    return runtime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]


def test_layernorm_is_right_where_the_mean_is_large():
    """ONNX Runtime 1.20's own operation is not: it gives NaN here."""
    x = np.random.default_rng(0).normal(size=(8, 96)).astype(np.float32) + np.float32(3000.0)
    expected, _ = layernorm_forward(x, np.ones(96, np.float32), np.zeros(96, np.float32))
    assert relative_error(layernorm_in_runtime(x), expected) < 1e-5
    same = np.full((4, 96), [[0.0], [0.1], [123.4], [-1e6]], np.float32)
    assert np.abs(layernorm_in_runtime(same)).max() == 0.0
