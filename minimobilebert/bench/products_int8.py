"""Dense layers in 8 bits of MobileBERT's shapes, beside the same layers in float32: y = x W^T + b.

Weights are in 8 bits beforehand, activations become so in the call, as in a model: rounding them is part of the work.
"""

import functools

import numpy as np

from ..ops.linear import linear_forward
from ..ops.quantized_linear import quantize_weight, quantized_linear_forward
from ..support.extras import require
from .measure import Case
from .products import LAYERS, ROWS
from .rivals_int8 import quantize_torch
from .sides import OURS, OURS_INT8, TORCH, TORCH_INT8, library_of


def linear_int8(name="linear_int8", rows=ROWS, layers=LAYERS):
    """The cases of linear_int8."""
    for R in rows:
        for inputs, outputs in layers:
            rng = np.random.default_rng(1)
            x, w = (rng.standard_normal(shape, dtype=np.float32) for shape in ((R, inputs), (outputs, inputs)))
            b = rng.standard_normal(outputs, dtype=np.float32)
            yield Case(
                name, f"{R} x {inputs} x {outputs}", "GFLOP/s", 2.0 * R * inputs * outputs, (),
                functools.partial(_layer, x, w, b), moved=4.0 * (x.size + R * outputs) + w.size,
                also=((OURS_INT8, (OURS,)), (OURS_INT8, (TORCH, TORCH_INT8))),
            )  # fmt: skip


def _layer(x, w, b, side, threads):
    if library_of(side) == TORCH:
        return _layer_in_torch(x, w, b, side)
    if side == OURS:
        return lambda: linear_forward(x, w, b)[0]
    weight = quantize_weight(w)
    return lambda: quantized_linear_forward(x, weight, b)


def _layer_in_torch(x, w, b, side):
    torch = require("torch", "compare")
    layer, tensor = torch.nn.Linear(w.shape[1], w.shape[0]), torch.from_numpy(x)
    layer.load_state_dict({"weight": torch.from_numpy(w), "bias": torch.from_numpy(b)})
    layer = torch.nn.Sequential(layer).eval()  # what is replaced must be part of something
    if side == TORCH_INT8:
        layer = quantize_torch(layer)
    return torch.inference_mode()(lambda: layer(tensor))
