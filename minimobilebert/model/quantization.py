"""A trained model in 8 bits: which parameters become integers (ops/quantized_linear.py), and how they are stored.

    word table, map to the width H, dense layers of the blocks     QuantizedWeight
    biases, norms, positions, segments, pooler, heads              float32, as they are

This is post-training quantisation: the weights are rounded, nothing is trained again. The paper's Table 6 does the same
with TensorFlow Lite: 4 times smaller, almost nothing lost. Here what stays in float32 is 2 % of the numbers of
all-MiniLM-L6-v2, and 38 % of the classroom student's, whose head for masked words is large beside its blocks.

In a checkpoint a QuantizedWeight is two arrays: its name has the integers, and its name with ".scales" the scales.
"""

import numpy as np

from ..ops.quantized_linear import QuantizedWeight, quantize_weight

_SCALES = ".scales"


def is_quantized_name(name, prefix):
    """Whether the parameter of this name is stored in 8 bits; prefix: the config's"""
    dense = name.startswith((f"{prefix}.encoder.", f"{prefix}.embeddings.embedding_transformation."))
    dense = dense and name.endswith(".weight") and "LayerNorm" not in name
    return dense or name == f"{prefix}.embeddings.word_embeddings.weight"


def is_quantized(params):
    """Whether some of the parameters are integers."""
    return any(isinstance(weight, QuantizedWeight) for weight in params.values())


def is_whole(params, config):
    """Whether exactly those parameters are integers that `quantize` makes integers."""
    integers = {name for name, weight in params.items() if isinstance(weight, QuantizedWeight)}
    return integers == {name for name in params if is_quantized_name(name, config.prefix)}


def quantize(params, config):
    """{name: float32 array} -> the same with QuantizedWeight for some. ValueError for a weight that cannot be one."""
    found = dict(params)
    for name, array in params.items():
        if is_quantized_name(name, config.prefix):
            try:
                found[name] = quantize_weight(array)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
    return found


def as_arrays(params):
    """Parameters -> {name: array}, as they are stored"""
    arrays = {}
    for name, weight in params.items():
        if isinstance(weight, QuantizedWeight):
            arrays |= {name: weight.integers, name + _SCALES: weight.scales}
        else:
            arrays[name] = weight
    return arrays


def from_arrays(arrays):
    """Reverse of `as_arrays`. ValueError for integers without scales, scales without integers, or other ones."""
    params = {}
    for name, array in arrays.items():
        if name.endswith(_SCALES):
            if arrays.get(name.removesuffix(_SCALES), array).dtype != np.int8:
                raise ValueError(f"{name}: found scales, expected a weight in 8 bits beside them")
        elif array.dtype == np.int8:
            scales = arrays.get(name + _SCALES, np.empty(0))
            if scales.dtype != np.float32 or scales.shape != array.shape[:1] or (scales < 0).any():
                raise ValueError(
                    f"{name}{_SCALES}: found {scales.dtype} {scales.shape}, expected a scale for each of"
                    f" {array.shape[0]} rows, float32 and not negative"
                )
            if (array == -128).any():
                raise ValueError(f"{name}: found -128, expected integers from -127 to 127")
            params[name] = QuantizedWeight(array, scales)
        else:
            params[name] = array
    return params
