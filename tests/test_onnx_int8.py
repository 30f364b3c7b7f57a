"""Models in 8 bits in ONNX: the same integers as ops/quantized_linear.py, to the last one, in every layer."""

import numpy as np
import pytest
from onnx_models import NEEDS_ONNX, NEEDS_RUNTIME, batches
from test_onnx_export import TOLERANCE, case, errors_of

from minimobilebert.interop.onnx.comparison import Session, expected_outputs, relative_error
from minimobilebert.interop.onnx.folder import build
from minimobilebert.interop.onnx.graph import Graph
from minimobilebert.interop.onnx.quantized import quantized_product, quantized_rows, quantized_rows_of_table
from minimobilebert.model.heads import words_name
from minimobilebert.model.quantization import is_dense_name, quantize
from minimobilebert.ops.quantized_linear import MOST_INPUTS, SCALES, QuantizedWeight, quantize_rows, quantize_weight

onnx = pytest.importorskip("onnx", reason=NEEDS_ONNX)
runtime = pytest.importorskip("onnxruntime", reason=NEEDS_RUNTIME)

LAYER = "layer.weight"


def run(model, feeds):
    """{name: array} of all outputs"""
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def layer_in_runtime(x, weight):
    """The bytes, scales, integer sums and products of one dense layer, as ONNX Runtime computes them"""
    graph = Graph()
    product = quantized_product(graph, LAYER, weight, "x", "layer")
    graph.output("y", product, np.float32, ["rows", len(weight.scales)])
    rows, scales = quantized_rows(graph, "x", weight.input_range)
    graph.output("bytes", rows, np.uint8, ["rows", x.shape[1]])
    graph.output("scales", scales, np.float32, ["rows", 1])
    graph.output("sums", "layer.integers", np.int32, ["rows", len(weight.scales)])
    return run(graph.model({"x": (np.float32, ["rows", x.shape[1]])}, "layer"), {"x": x})


def assert_same_layer(x, weight):
    """Integers, scales and sums must be equal; the product is rounded twice."""
    found = layer_in_runtime(x, weight)
    integers, scales = quantize_rows(x, weight.input_range)
    finite = np.isfinite(scales)
    np.testing.assert_array_equal(found["scales"][:, 0], scales)
    np.testing.assert_array_equal(found["bytes"][finite].astype(int) - 128, integers[finite])
    sums = integers.astype(np.int64) @ weight.integers.astype(np.int64).T
    np.testing.assert_array_equal(found["sums"][finite], sums[finite])
    y = sums.astype(np.float32) * weight.scales * scales[:, None]
    np.testing.assert_allclose(found["y"], y, rtol=3e-7)
    assert np.isnan(found["y"][~finite]).all()


@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(1, 1, 1), (7, 33, 5), (16, 384, 48), (3, 1536, 17)])
def test_a_dense_layer_has_our_integers(rows, inputs, outputs):
    rng = np.random.default_rng(rows)
    x = (rng.normal(size=(rows, inputs)) * np.exp(3 * rng.normal(size=(rows, 1)))).astype(np.float32)
    assert_same_layer(x, quantize_weight(rng.normal(size=(outputs, inputs)).astype(np.float32)))


def test_sums_do_not_saturate():
    """The largest bytes of both signs, side by side: two products of 127 * 255 do not fit into 16 bits."""
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], np.float32).repeat(300, axis=1)
    assert_same_layer(signs, quantize_weight(signs))
    long = np.ones((2, MOST_INPUTS), np.float32)  # the longest sum that quantize allows
    assert_same_layer(long, quantize_weight(np.concatenate([long[:1], -long[:1]])))


def test_halves_are_rounded_to_the_even_neighbour():
    """A row whose largest number is 127 has the scale 1, so halves are exact."""
    row = np.concatenate([[127.0], np.arange(-126.5, 127.0, 0.5)]).astype(np.float32)
    weight = QuantizedWeight(np.eye(len(row), dtype=np.int8), np.ones(len(row), np.float32))
    assert_same_layer(row[None], weight)
    assert layer_in_runtime(row[None], weight)["bytes"][0, row.tolist().index(0.5)] == 128  # and not 129


def test_rows_of_zeros_of_tiny_and_of_broken_numbers():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(9, 40)).astype(np.float32)
    x[0] = 0.0
    x[1] *= np.float32(1e-32)
    x[2] *= np.float32(1e-42)
    x[3, 7], x[4, 7], x[5, 7] = np.nan, np.inf, -np.inf
    x[6, 3], x[6, 4], x[7, 0] = np.inf, -np.inf, np.nan
    assert_same_layer(x, quantize_weight(rng.normal(size=(6, 40)).astype(np.float32)))


@pytest.mark.parametrize("given", [3.0, 0.1, 1e-30, 0.0, 1e-35, 1e20, 3e38])
@pytest.mark.parametrize("scales", SCALES)
def test_a_given_range_saturates_as_ours_does(given, scales):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(9, 40)).astype(np.float32)
    x[0], x[1, 7], x[2, 7], x[3, 7], x[4] = 0.0, np.nan, np.inf, -np.inf, 1e30
    weight = quantize_weight(rng.normal(size=(6, 40)).astype(np.float32), scales, np.float32(given))
    assert_same_layer(x, weight)


def test_a_table_is_looked_up_exactly():
    table = quantize_weight(np.random.default_rng(3).normal(size=(50, 12)).astype(np.float32))
    ids = np.array([[0, 49, 7], [7, 7, 1]])
    graph = Graph()
    rows = quantized_rows_of_table(graph, "table", table, "ids")
    graph.output("rows", rows, np.float32, ["b", "t", 12])
    found = run(graph.model({"ids": (np.int64, ["b", "t"])}, "table"), {"ids": ids})["rows"]
    np.testing.assert_array_equal(found, table[ids])


def quantized_case(seed):
    """Every second model has one scale for a whole weight, every third one given ranges of activations"""
    params, config, head, sentence = case(seed)
    ranges = {name: np.float32(2.5) for name in params if is_dense_name(name, config.prefix)} if seed % 3 == 2 else None
    return quantize(params, config, SCALES[seed % 2], ranges), config, head, sentence


def assert_same_integers_in_every_layer(arguments, batch):
    """Each layer's sums are those of ops/quantized_linear.py for the input that the layer had -> number of layers"""
    params, config = arguments[:2]
    model = build(*arguments)
    layers = {node.name.removesuffix(".integers"): node.input[0].partition(".quantized")[0]
              for node in model.graph.node if node.op_type == "MatMulInteger"}  # fmt: skip
    for name in {*(f"{layer}.integers" for layer in layers), *layers.values()}:
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    found = Session(model.SerializeToString())(batch)
    for layer, x in layers.items():
        weight = params[f"{layer}.weight"] if f"{layer}.weight" in params else params[words_name(config)]
        sums = quantize_rows(found[x], weight.input_range)[0].astype(np.int64) @ weight.integers.astype(np.int64).T
        np.testing.assert_array_equal(found[f"{layer}.integers"], sums, layer)
    return len(layers)


@pytest.mark.parametrize("seed", range(12))
def test_every_layer_of_a_model_has_our_integers(seed):
    arguments = quantized_case(seed)
    *_, padded = batches(arguments[1], np.random.default_rng(seed))
    integers = sum(isinstance(weight, QuantizedWeight) for weight in arguments[0].values())
    words = 1 if arguments[2] in ("pretraining", "masked-words") and arguments[1].tie_word_embeddings else 0
    assert assert_same_integers_in_every_layer(arguments, padded) == integers - 1 + words  # the table is looked up


@pytest.mark.parametrize("seed", range(20))
def test_a_whole_model_in_8_bits_is_ours(seed):
    """Layers agree as float32 does, unless a number lies so near to a half that the last bit decides how it is rounded.
    Then the difference is a step of 8 bits, as in quantisation itself: at most as large as what that costs the model.
    """
    params, config, head, sentence = case(seed)
    arguments = quantized_case(seed)
    cost = 0.0
    for batch in batches(config, np.random.default_rng(seed)):
        exact, coarse = expected_outputs(params, config, head, sentence, batch), expected_outputs(*arguments, batch)
        cost = max(cost, *(relative_error(coarse[name], exact[name]) for name in exact))
    model = build(*arguments)
    onnx.checker.check_model(model, full_check=True)
    assert max(errors_of(model, arguments, seed).values()) < max(TOLERANCE, cost)


def test_nearly_all_models_in_8_bits_agree_as_float32_does():
    errors = [max(errors_of(build(*quantized_case(seed)), quantized_case(seed), seed).values()) for seed in range(20)]
    assert sum(error < TOLERANCE for error in errors) >= 18


def test_weights_take_a_byte_each():
    arguments = quantized_case(1)
    wide = {tensor.name for tensor in build(*arguments).graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT
            and len(tensor.dims) == 2}  # fmt: skip
    names = {name for name, weight in arguments[0].items() if not isinstance(weight, QuantizedWeight)}
    assert all(name.removesuffix(".T") in names for name in wide)
