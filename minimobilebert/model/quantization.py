"""A trained model in 8 bits: which parameters become integers (ops/quantized_linear.py), and how they are stored.

    word table, map to the width H, dense layers of the blocks     QuantizedWeight
    biases, norms, positions, segments, pooler, heads              float32, as they are

This is post-training quantisation: the weights are rounded, nothing is trained again. The paper's Table 6 does the same
with TensorFlow Lite: 4 times smaller, almost nothing lost. Here what stays in float32 is 2 % of the numbers of
all-MiniLM-L6-v2, and 38 % of the classroom student's, whose head for masked words is large beside its blocks.

In a checkpoint a QuantizedWeight is two or three arrays: its name has the integers, its name with ".scales" the scales,
and, where activations have a fixed scale, its name with ".range" the range of the layer's inputs.
"""

import numpy as np

from ..ops.quantized_linear import PER_CHANNEL, PER_TENSOR, QuantizedWeight, quantize_weight

_SCALES, _RANGE = ".scales", ".range"


def is_quantized_name(name, prefix):
    """Whether the parameter of this name is stored in 8 bits; prefix: the config's"""
    return is_dense_name(name, prefix) or name == f"{prefix}.embeddings.word_embeddings.weight"


def is_dense_name(name, prefix):
    """Whether it is the weight of a dense layer of the encoder, which multiplies activations in 8 bits"""
    dense = name.startswith((f"{prefix}.encoder.", f"{prefix}.embeddings.embedding_transformation."))
    return dense and name.endswith(".weight") and "LayerNorm" not in name


def is_quantized(params):
    """Whether some of the parameters are integers."""
    return any(isinstance(weight, QuantizedWeight) for weight in params.values())


def is_whole(params, config):
    """Whether exactly those parameters are integers, and have ranges, of which `quantize` makes it so."""
    integers = {name: weight for name, weight in params.items() if isinstance(weight, QuantizedWeight)}
    if integers.keys() != {name for name in params if is_quantized_name(name, config.prefix)}:
        return False
    ranges = {name for name, weight in integers.items() if weight.input_range is not None}
    return not ranges or ranges == {name for name in params if is_dense_name(name, config.prefix)}


def quantize(params, config, scales=PER_CHANNEL, ranges=None):
    """{name: float32 array} -> the same with QuantizedWeight for some. ValueError for a weight that cannot be one.

    scales: "per-channel" or "per-tensor"; ranges: {name of a dense layer's weight: max |x| of its inputs}, or None,
    where each token has a scale of its own
    """
    found = dict(params)
    for name, array in params.items():
        if is_quantized_name(name, config.prefix):
            try:
                found[name] = quantize_weight(array, scales, (ranges or {}).get(name))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
    return found


def scheme_of(params):
    """Which numbers share a scale in a model in 8 bits -> "weights per-channel, activations per token" """
    weights = [weight for weight in params.values() if isinstance(weight, QuantizedWeight)]
    shared = all((weight.scales == weight.scales[:1]).all() for weight in weights)
    fixed = any(weight.input_range is not None for weight in weights)
    activations = "a fixed scale in each layer" if fixed else "per token"
    return f"weights {PER_TENSOR if shared else PER_CHANNEL}, activations {activations}"


def as_arrays(params):
    """Parameters -> {name: array}, as they are stored"""
    arrays = {}
    for name, weight in params.items():
        if isinstance(weight, QuantizedWeight):
            arrays |= {name: weight.integers, name + _SCALES: weight.scales}
            if weight.input_range is not None:
                arrays[name + _RANGE] = np.array([weight.input_range], np.float32)
        else:
            arrays[name] = weight
    return arrays


def _range_of(arrays, name):
    """-> float32 or None"""
    if name not in arrays:
        return None
    array = arrays[name]
    if array.dtype != np.float32 or array.shape != (1,) or not 0.0 <= array[0] < np.inf:
        raise ValueError(f"{name}: found {array.dtype} {array.shape}, expected one number, float32 and not negative")
    return array[0]


def from_arrays(arrays):
    """Reverse of `as_arrays`. ValueError for integers without scales, scales without integers, or other ones."""
    params = {}
    for name, array in arrays.items():
        if name.endswith((_SCALES, _RANGE)):
            if arrays.get(name.rpartition(".")[0], array).dtype != np.int8:
                raise ValueError(f"{name}: found {name.rpartition('.')[2]}, expected a weight in 8 bits beside them")
        elif array.dtype == np.int8:
            scales = arrays.get(name + _SCALES, np.empty(0))
            if scales.dtype != np.float32 or scales.shape != array.shape[:1] or (scales < 0).any():
                raise ValueError(
                    f"{name}{_SCALES}: found {scales.dtype} {scales.shape}, expected a scale for each of"
                    f" {array.shape[0]} rows, float32 and not negative"
                )
            if (array == -128).any():
                raise ValueError(f"{name}: found -128, expected integers from -127 to 127")
            params[name] = QuantizedWeight(array, scales, _range_of(arrays, name + _RANGE))
        else:
            params[name] = array
    return params
