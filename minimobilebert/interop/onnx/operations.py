"""The operations of the models as nodes of a graph: each function has the equation of its twin in ops/.

Arguments that are arrays are names of arrays in the graph; `name` starts the names of the new ones. Parameters are
those of this project, {name: array}.
"""

import math

import numpy as np

from ...ops.attention import MASKED_SCORE
from ...ops.gelu import CUBIC, SQRT_8_OVER_PI
from ...ops.quantized_linear import QuantizedWeight
from .quantized import quantized_product, quantized_rows_of_table


def dense(graph, params, name, x, residual=None):
    """y = x W^T + b (+ residual); x [..., in], residual [..., out] -> y [..., out]

    ONNX multiplies x by a matrix [in, out], so we store W^T.
    """
    weight = params[f"{name}.weight"]
    if isinstance(weight, QuantizedWeight):
        y = quantized_product(graph, f"{name}.weight", weight, x, name)
    else:
        y = graph.node("MatMul", [x, graph.array(f"{name}.weight.T", weight.T)], f"{name}.product")
    y = graph.node("Add", [y, graph.array(f"{name}.bias", params[f"{name}.bias"])], f"{name}.sum")
    return y if residual is None else graph.node("Add", [y, residual], f"{name}.residual")


def rows_of_table(graph, params, name, ids):
    """y = table[ids]; ids [...] integers -> y [..., E]"""
    table = params[f"{name}.weight"]
    if isinstance(table, QuantizedWeight):
        return quantized_rows_of_table(graph, f"{name}.weight", table, ids)
    return graph.node("Gather", [graph.array(f"{name}.weight", table), ids], f"{name}.rows")


def norm(graph, params, config, name, x):
    """NoNorm or LayerNorm, as the configuration says; x [..., N] -> y [..., N]"""
    if config.normalization_type == "no_norm":
        return _scale_and_shift(graph, params, name, x)
    return layernorm(graph, params, config, name, x)


def _scale_and_shift(graph, params, name, x):
    """y = weight * x + bias"""
    scaled = graph.node("Mul", [x, graph.array(f"{name}.weight", params[f"{name}.weight"])], f"{name}.scaled")
    return graph.node("Add", [scaled, graph.array(f"{name}.bias", params[f"{name}.bias"])], f"{name}.shifted")


def _mean(graph, x, name):
    return graph.node("ReduceMean", [x], name, axes=[-1], keepdims=1)


def layernorm(graph, params, config, name, x):
    """c = x - mean(x), var = mean(c^2), y = weight * c / sqrt(var + eps) + bias; x [..., N] -> y [..., N]

    ONNX has an operation LayerNormalization. In older versions of ONNX Runtime (1.20 is one) its var is mean(x^2) -
    mean(x)^2, in float32: where both are large, the difference is wrong, or negative, and its root is NaN. We write the
    steps of ops/layernorm.py instead, which are as fast. Like it we also subtract mean(c), the error of mean(x).
    """
    c = graph.node("Sub", [x, _mean(graph, x, f"{name}.mean")], f"{name}.centred")
    c = graph.node("Sub", [c, _mean(graph, c, f"{name}.error")], f"{name}.centred_again")
    var = _mean(graph, graph.node("Mul", [c, c], f"{name}.squares"), f"{name}.variance")
    var = graph.node("Add", [var, graph.number(config.layer_norm_eps)], f"{name}.variance_and_eps")
    n = graph.node("Div", [c, graph.node("Sqrt", [var], f"{name}.deviation")], f"{name}.normalised")
    return _scale_and_shift(graph, params, name, n)


def relu(graph, name, x):
    """y = max(x, 0)"""
    return graph.node("Relu", [x], f"{name}.relu")


def gelu(graph, name, x):
    """y = x (1 + erf(x / sqrt 2)) / 2"""
    erf = graph.node("Erf", [graph.node("Mul", [x, graph.number(math.sqrt(0.5))], f"{name}.divided")], f"{name}.erf")
    half = graph.node("Mul", [erf, graph.number(0.5)], f"{name}.half")
    return graph.node("Mul", [x, graph.node("Add", [half, graph.number(0.5)], f"{name}.phi")], f"{name}.gelu")


def gelu_tanh(graph, name, x):
    """y = x sigmoid(2u), 2u = sqrt(8 / pi) x (1 + 0.044715 x^2)"""
    square = graph.node("Mul", [graph.node("Mul", [x, x], f"{name}.square"), graph.number(CUBIC)], f"{name}.cubic")
    factor = graph.node("Add", [square, graph.number(1.0)], f"{name}.factor")
    slope = graph.node("Mul", [x, graph.number(SQRT_8_OVER_PI)], f"{name}.slope")
    sigmoid = graph.node("Sigmoid", [graph.node("Mul", [slope, factor], f"{name}.twice_u")], f"{name}.sigmoid")
    return graph.node("Mul", [x, sigmoid], f"{name}.gelu")


ACTIVATIONS = {"relu": relu, "gelu": gelu, "gelu_tanh": gelu_tanh}


def _heads_of(graph, x, heads, size, order, name):
    """[B, T, A*K] -> [B, A, T, K] for order 0 2 1 3, [B, A, K, T] for 0 2 3 1"""
    x = graph.node("Reshape", [x, graph.number([0, 0, heads, size], np.int64)], f"{name}.heads")  # 0: as it is
    return graph.node("Transpose", [x], f"{name}.transposed", perm=order)


def attention(graph, name, query, key, value, mask, heads, size):
    """c = softmax(q k^T / sqrt K) v for each head, with MASKED_SCORE for padding keys (ops/attention.py)

    query, key, value [B, T, A*K]; mask [B, 1, 1, T] bool; heads A, size K -> [B, T, A*K]
    """
    q = _heads_of(graph, query, heads, size, [0, 2, 1, 3], f"{name}.query")
    k = _heads_of(graph, key, heads, size, [0, 2, 3, 1], f"{name}.key")
    v = _heads_of(graph, value, heads, size, [0, 2, 1, 3], f"{name}.value")
    products = graph.node("MatMul", [q, k], f"{name}.products")
    scores = graph.node("Mul", [products, graph.number(1.0 / math.sqrt(size))], f"{name}.scores")
    scores = graph.node("Where", [mask, scores, graph.number(MASKED_SCORE)], f"{name}.masked")
    probabilities = graph.node("Softmax", [scores], f"{name}.probabilities", axis=-1)
    context = graph.node("MatMul", [probabilities, v], f"{name}.contexts")
    context = graph.node("Transpose", [context], f"{name}.side_by_side", perm=[0, 2, 1, 3])
    return graph.node("Reshape", [context, graph.number([0, 0, heads * size], np.int64)], f"{name}.context")


def trigram(graph, name, x, size):
    """y[t] = [x[t+1], x[t], x[t-1]] with zeros beyond both ends; x [B, T, E] -> y [B, T, 3E]"""
    padded = graph.node("Pad", [x, graph.number([0, 1, 0, 0, 1, 0], np.int64)], f"{name}.padded")  # [B, T + 2, E]

    def rows(start, stop, which):
        bounds = [graph.number([bound], np.int64) for bound in (start, stop, 1)]  # 1: the axis
        return graph.node("Slice", [padded, *bounds], f"{name}.{which}")

    return graph.node("Concat", [rows(2, 2**31, "next"), x, rows(0, -2, "previous")], f"{name}.trigrams", axis=2)
