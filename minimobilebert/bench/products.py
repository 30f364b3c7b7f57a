"""Matrix products of MobileBERT's shapes, and the two fused dense layers.

For a dense layer of R rows, `in` inputs and `out` outputs, x [R, in], W [out, in], dy [R, out]:

    matmul_forward           y  = x W^T
    matmul_dx                dx = dy W
    matmul_dw                dW = dy^T x
    matmul_bfloat16          all three with operands in bfloat16, beside the same in float32
    linear_relu              y  = max(x W^T + b, 0)
    linear_residual_nonorm   y  = scale * (x W^T + b + residual) + shift

The NumPy and PyTorch sides are written for speed: they write results to preallocated memory and work in place after the
product. In matmul_bfloat16 all operands are float32 at first, as in training: rounding them is part of the work. Our
result is float32; PyTorch's remains bfloat16, as under autocast, which is less to write.
"""

import functools

import numpy as np

from ..kernels.runtime.precision import use_precision
from ..ops.fused.dense_activation import dense_activation_forward
from ..ops.fused.dense_nonorm import dense_nonorm_forward
from ..ops.matmul import matmul
from ..support.extras import require
from .measure import Case
from .sides import BFLOAT16, OURS, OURS_BFLOAT16, TORCH, TORCH_BFLOAT16, library_of, precision_of

ROWS = (128, 1024, 4096)
LAYERS = ((512, 128), (128, 128), (128, 512), (384, 512), (512, 512))  # in, out
RELU_LAYER, NONORM_LAYER = (128, 512), (512, 128)  # the two halves of a feed-forward


def _numbers(*shapes):
    rng = np.random.default_rng(1)
    return [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]


def _bytes(*sizes):
    return 4.0 * sum(sizes)


_LAYOUTS = {
    "matmul_forward": ("x W^T", lambda x, w, dy: (x, w.T)),
    "matmul_dx": ("dy W", lambda x, w, dy: (dy, w)),
    "matmul_dw": ("dy^T x", lambda x, w, dy: (dy.T, x)),
}


def _products(name, shape, operands, rows, layers, against, also=()):
    """The cases of one layout; shape: text before R x in x out; operands: x, w, dy -> a, b"""
    for R in rows:
        for inputs, outputs in layers:
            x, w, dy = _numbers((R, inputs), (outputs, inputs), (R, outputs))
            yield Case(
                name, f"{shape}{R} x {inputs} x {outputs}", "GFLOP/s", 2.0 * R * inputs * outputs, against,
                functools.partial(_product, *operands(x, w, dy)), moved=_bytes(x.size, w.size, dy.size), also=also,
            )  # fmt: skip


def products(name, rows=ROWS, layers=LAYERS):
    """The cases of matmul_forward, matmul_dx or matmul_dw."""
    yield from _products(name, "", _LAYOUTS[name][1], rows, layers, ("numpy",))


def products_bfloat16(name="matmul_bfloat16", rows=ROWS, layers=LAYERS):
    """The cases of matmul_bfloat16: all layouts."""
    also = ((OURS_BFLOAT16, (OURS,)), (OURS_BFLOAT16, (TORCH, TORCH_BFLOAT16)))
    for text, operands in _LAYOUTS.values():
        yield from _products(name, f"{text}, ", operands, rows, layers, (), also)


def _product(a, b, side, threads):
    if library_of(side) == TORCH:
        return _product_in_torch(a, b, precision_of(side))
    out = np.empty((a.shape[0], b.shape[1]), np.float32)
    if side == "numpy":
        return lambda: np.matmul(a, b, out=out)
    if side == OURS:
        return lambda: matmul(a, b, out=out)

    def run():
        with use_precision(precision_of(side)):
            return matmul(a, b, out=out)

    return run


def _product_in_torch(a, b, precision):
    torch = require("torch", "compare")
    a, b = torch.from_numpy(a), torch.from_numpy(b)
    out = torch.empty(a.shape[0], b.shape[1], dtype=getattr(torch, precision))
    if precision == BFLOAT16:
        return torch.inference_mode()(lambda: torch.matmul(a.bfloat16(), b.bfloat16(), out=out))
    return torch.inference_mode()(lambda: torch.matmul(a, b, out=out))


def relu_layers(name="linear_relu", rows=ROWS, layer=RELU_LAYER):
    """The cases of linear_relu."""
    inputs, outputs = layer
    for R in rows:
        x, w, b = _numbers((R, inputs), (outputs, inputs), outputs)
        yield Case(
            name, f"{R} x {inputs} x {outputs}", "GFLOP/s", 2.0 * R * inputs * outputs, ("numpy", "torch"),
            functools.partial(_relu, x, w, b), moved=_bytes(x.size, w.size, b.size, R * outputs),
        )  # fmt: skip


def _relu(x, w, b, side, threads):
    if side == "torch":
        torch = require("torch", "compare")
        x, w, b = (torch.from_numpy(array) for array in (x, w, b))
        return torch.inference_mode()(lambda: torch.nn.functional.linear(x, w, b).relu_())
    if side == "numpy":
        y = np.empty((len(x), len(w)), np.float32)

        def run():
            np.matmul(x, w.T, out=y)
            np.add(y, b, out=y)
            return np.maximum(y, 0.0, out=y)

        return run
    return lambda: dense_activation_forward(x, w, b, "relu")[0]


def nonorm_layers(name="linear_residual_nonorm", rows=ROWS, layer=NONORM_LAYER):
    """The cases of linear_residual_nonorm. All sides also store the sum before NoNorm, which the backward needs."""
    inputs, outputs = layer
    for R in rows:
        arrays = _numbers((R, inputs), (outputs, inputs), outputs, (R, outputs), outputs, outputs)
        yield Case(
            name, f"{R} x {inputs} x {outputs}", "GFLOP/s", 2.0 * R * inputs * outputs, ("numpy", "torch"),
            functools.partial(_nonorm, *arrays),
            moved=_bytes(R * inputs, inputs * outputs, 3 * outputs, 3 * R * outputs),
        )  # fmt: skip


def _nonorm(x, w, b, residual, scale, shift, side, threads):
    if side == "torch":
        torch = require("torch", "compare")
        x, w, b, residual, scale, shift = (torch.from_numpy(array) for array in (x, w, b, residual, scale, shift))

        def run():
            s = torch.nn.functional.linear(x, w, b).add_(residual)
            return torch.addcmul(shift, s, scale), s

        return torch.inference_mode()(run)
    if side == "numpy":
        s, y = np.empty((2, len(x), len(w)), np.float32)

        def run():
            np.matmul(x, w.T, out=s)
            np.add(s, b, out=s)
            np.add(s, residual, out=s)
            np.multiply(s, scale, out=y)
            return np.add(y, shift, out=y), s

        return run

    def run():
        y, cache = dense_nonorm_forward(x, w, b, residual, scale, shift)
        return y, cache.s

    return run
