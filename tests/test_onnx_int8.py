"""Models in 8 bits in ONNX: the same integers as ops/quantized_linear.py, to the last one, in every layer."""

import numpy as np
import pytest
from onnx_models import NEEDS_ONNX, TOLERANCE, batches, case, errors_of, in_each_runtime, quantized_case

from minimobilebert.interop.onnx.comparison import expected_outputs, inputs_of, relative_error
from minimobilebert.interop.onnx.file_format import as_model
from minimobilebert.interop.onnx.folder import build
from minimobilebert.interop.onnx.graph import Array, Graph
from minimobilebert.interop.onnx.interpreter import run
from minimobilebert.interop.onnx.quantized import quantized_product, quantized_rows, quantized_rows_of_table
from minimobilebert.model.heads import words_name
from minimobilebert.ops.quantized_linear import MOST_INPUTS, SCALES, QuantizedWeight, quantize_rows, quantize_weight

LAYER = "layer.weight"


def layer_of(x, weight, session_of):
    """The bytes, scales, integer sums and products of one dense layer, as a runtime computes them"""
    graph = Graph()
    graph.input("x", np.float32, ["rows", x.shape[1]])
    product = quantized_product(graph, LAYER, weight, "x", "layer")
    graph.output("y", product, np.float32, ["rows", len(weight.scales)])
    rows, scales = quantized_rows(graph, "x", weight.input_range)
    graph.output("bytes", rows, np.uint8, ["rows", x.shape[1]])
    graph.output("scales", scales, np.float32, ["rows", 1])
    graph.output("sums", "layer.integers", np.int32, ["rows", len(weight.scales)])
    return session_of(graph)({"x": x})


def assert_same_layer(x, weight, session_of):
    """Integers, scales and sums must be equal; the product is rounded twice."""
    found = layer_of(x, weight, session_of)
    integers, scales = quantize_rows(x, weight.input_range)
    finite = np.isfinite(scales)
    np.testing.assert_array_equal(found["scales"][:, 0], scales)
    np.testing.assert_array_equal(found["bytes"][finite].astype(int) - 128, integers[finite])
    sums = integers.astype(np.int64) @ weight.integers.astype(np.int64).T
    np.testing.assert_array_equal(found["sums"][finite], sums[finite])
    y = sums.astype(np.float32) * weight.scales * scales[:, None]
    np.testing.assert_allclose(found["y"], y, rtol=3e-7)
    assert np.isnan(found["y"][~finite]).all()


@in_each_runtime
@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(1, 1, 1), (7, 33, 5), (16, 384, 48), (3, 1536, 17)])
def test_a_dense_layer_has_our_integers(rows, inputs, outputs, session_of):
    rng = np.random.default_rng(rows)
    x = (rng.normal(size=(rows, inputs)) * np.exp(3 * rng.normal(size=(rows, 1)))).astype(np.float32)
    assert_same_layer(x, quantize_weight(rng.normal(size=(outputs, inputs)).astype(np.float32)), session_of)


@in_each_runtime
def test_sums_do_not_saturate(session_of):
    """The largest bytes of both signs, side by side: two products of 127 * 255 do not fit into 16 bits."""
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], np.float32).repeat(300, axis=1)
    assert_same_layer(signs, quantize_weight(signs), session_of)
    long = np.ones((2, MOST_INPUTS), np.float32)  # the longest sum that quantize allows
    assert_same_layer(long, quantize_weight(np.concatenate([long[:1], -long[:1]])), session_of)


@in_each_runtime
def test_halves_are_rounded_to_the_even_neighbour(session_of):
    """A row whose largest number is 127 has the scale 1, so halves are exact."""
    row = np.concatenate([[127.0], np.arange(-126.5, 127.0, 0.5)]).astype(np.float32)
    weight = QuantizedWeight(np.eye(len(row), dtype=np.int8), np.ones(len(row), np.float32))
    assert_same_layer(row[None], weight, session_of)
    assert layer_of(row[None], weight, session_of)["bytes"][0, row.tolist().index(0.5)] == 128  # and not 129


@in_each_runtime
def test_rows_of_zeros_of_tiny_and_of_broken_numbers(session_of):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(9, 40)).astype(np.float32)
    x[0] = 0.0
    x[1] *= np.float32(1e-32)
    x[2] *= np.float32(1e-42)
    x[3, 7], x[4, 7], x[5, 7] = np.nan, np.inf, -np.inf
    x[6, 3], x[6, 4], x[7, 0] = np.inf, -np.inf, np.nan
    assert_same_layer(x, quantize_weight(rng.normal(size=(6, 40)).astype(np.float32)), session_of)


@in_each_runtime
@pytest.mark.parametrize("given", [3.0, 0.1, 1e-30, 0.0, 1e-35, 1e20, 3e38])
@pytest.mark.parametrize("scales", SCALES)
def test_a_given_range_saturates_as_ours_does(given, scales, session_of):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(9, 40)).astype(np.float32)
    x[0], x[1, 7], x[2, 7], x[3, 7], x[4] = 0.0, np.nan, np.inf, -np.inf, 1e30
    weight = quantize_weight(rng.normal(size=(6, 40)).astype(np.float32), scales, np.float32(given))
    assert_same_layer(x, weight, session_of)


@in_each_runtime
def test_a_table_is_looked_up_exactly(session_of):
    table = quantize_weight(np.random.default_rng(3).normal(size=(50, 12)).astype(np.float32))
    ids = np.array([[0, 49, 7], [7, 7, 1]])
    graph = Graph()
    graph.input("ids", np.int64, ["b", "t"])
    rows = quantized_rows_of_table(graph, "table", table, "ids")
    graph.output("rows", rows, np.float32, ["b", "t", 12])
    np.testing.assert_array_equal(session_of(graph)({"ids": ids})["rows"], table[ids])


def assert_same_integers_in_every_layer(arguments, batch, session_of):
    """Each layer's sums are those of ops/quantized_linear.py for the input that the layer had -> number of layers"""
    params, config = arguments[:2]
    graph = build(*arguments)
    layers = {node.name.removesuffix(".integers"): node.inputs[0].partition(".quantized")[0]
              for node in graph.nodes if node.operation == "MatMulInteger"}  # fmt: skip
    asked = {*(f"{layer}.integers" for layer in layers), *layers.values()}
    graph.outputs |= dict.fromkeys(asked)
    for name, array in run(graph, inputs_of(batch)).items():
        graph.outputs[name] = Array(array.dtype, [None] * array.ndim)
    found = session_of(graph)(inputs_of(batch))
    for layer, x in layers.items():
        weight = params[f"{layer}.weight"] if f"{layer}.weight" in params else params[words_name(config)]
        sums = quantize_rows(found[x], weight.input_range)[0].astype(np.int64) @ weight.integers.astype(np.int64).T
        np.testing.assert_array_equal(found[f"{layer}.integers"], sums, layer)
    return len(layers)


@in_each_runtime
@pytest.mark.parametrize("seed", range(12))
def test_every_layer_of_a_model_has_our_integers(seed, session_of):
    arguments = quantized_case(seed)
    *_, padded = batches(arguments[1], np.random.default_rng(seed))
    integers = sum(isinstance(weight, QuantizedWeight) for weight in arguments[0].values())
    words = 1 if arguments[2] in ("pretraining", "masked-words") and arguments[1].tie_word_embeddings else 0
    layers = assert_same_integers_in_every_layer(arguments, padded, session_of)
    assert layers == integers - 1 + words  # the table is looked up


@in_each_runtime
@pytest.mark.parametrize("seed", range(20))
def test_a_whole_model_in_8_bits_is_ours(seed, session_of):
    """Layers agree as float32 does, unless a number lies so near to a half that the last bit decides how it is rounded.
    Then the difference is a step of 8 bits, as in quantisation itself: at most as large as what that costs the model.
    """
    params, config, head, sentence = case(seed)
    arguments = quantized_case(seed)
    cost = 0.0
    for batch in batches(config, np.random.default_rng(seed)):
        exact, coarse = expected_outputs(params, config, head, sentence, batch), expected_outputs(*arguments, batch)
        cost = max(cost, *(relative_error(coarse[name], exact[name]) for name in exact))
    assert max(errors_of(session_of(build(*arguments)), arguments, seed).values()) < max(TOLERANCE, cost)


@in_each_runtime
def test_nearly_all_models_in_8_bits_agree_as_float32_does(session_of):
    errors = [max(errors_of(session_of(build(*quantized_case(seed))), quantized_case(seed), seed).values())
              for seed in range(20)]  # fmt: skip
    assert sum(error < TOLERANCE for error in errors) >= 18


@pytest.mark.parametrize("seed", range(12))
def test_onnx_accepts_the_graph(seed):
    onnx = pytest.importorskip("onnx", reason=NEEDS_ONNX)
    onnx.checker.check_model(as_model(build(*quantized_case(seed)), "model"), full_check=True)


def test_weights_take_a_byte_each():
    arguments = quantized_case(1)
    wide = {name for name, array in build(*arguments).arrays.items() if array.dtype == np.float32 and array.ndim == 2}
    names = {name for name, weight in arguments[0].items() if not isinstance(weight, QuantizedWeight)}
    assert all(name.removesuffix(".T") in names for name in wide)
