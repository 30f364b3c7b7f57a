"""The compiled twin of ops/quantized_linear.py.

    thread 0 | its rows of x  ->  words and scales  ->  times all panels of the weights  ->  its rows of y
    thread 1 | its rows of x  ->  ...

gemm/quads.py has the words, the panels and the product.
"""

import numpy as np

from .gemm.epilogue import no_epilogue
from .gemm.quads import padded_quads, quad_product, quads_from, quads_in, quantize_rows, sums_in, sums_size
from .gemm.views import as_matrix, as_view, block_of, strided, view
from .rows import as_rows, contiguous, expect
from .runtime.jit import get_num_threads, jit, jit_parallel, prange
from .runtime.memory import empty

SERIAL_BELOW = 4 * 64**3  # multiply-adds; fewer are done before a second thread has woken up
_NONE = np.empty(0, np.float32)


@jit
def _rows(product_at, x, quads, bias, residual, out, memory):
    """Some rows of the output; quads: panels, starts, scales, range of x; memory: words, scales, sums"""
    words, a_scales, sums = memory
    rows, depth = x.shape
    size = padded_quads(depth, a_scales)
    panels, starts, scales, given = quads
    words = strided(words, 0, (rows, size), (size, 1))
    quantize_rows(x, words, a_scales, given)
    b, epilogue = quads_in(panels, starts, scales, depth), no_epilogue(a_scales)
    quad_product(product_at, words, a_scales, b, bias, residual, out, epilogue, sums_in(sums, a_scales))


@jit_parallel
def _quantized_linear(product_at, parts, x, quads, bias, residual, out):
    x, residual, out = as_view(x), as_view(residual), as_view(out)
    rows, columns = out.shape
    for part in prange(parts):
        first, end = rows * part // parts, rows * (part + 1) // parts
        count = end - first
        words = np.empty(count * padded_quads(x.shape[1], bias), np.int32)
        memory = words, np.empty(count, np.float32), np.empty(sums_size(bias), np.int32)
        _rows(
            product_at, view(x, (first, 0), (count, x.shape[1])), quads, bias,
            block_of(residual, first, 0, (count, columns)), view(out, (first, 0), (count, columns)), memory,
        )  # fmt: skip


def range_of(weight):
    """The range of a layer's inputs; negative where each row has its own"""
    return np.float32(-1.0 if weight.input_range is None else weight.input_range)


def quantized_linear_forward(x, weight, bias, residual=None):
    """The compiled twin of ops/quantized_linear.py."""
    outputs, inputs = weight.shape
    shape = (*x.shape[:-1], outputs)
    expect("quantised layer", "x", x, (*x.shape[:-1], inputs), np.float32)
    for name, array in (("bias", bias), ("residual", residual)):
        if array is not None:
            expect("quantised layer", name, array, shape if name == "residual" else (outputs,), np.float32)
    if 0 in shape:
        return np.zeros(shape, np.float32)
    packed = weight.packed
    if inputs == 0:  # a sum of nothing is the sum of one 0
        x, packed = np.zeros((*x.shape[:-1], 1), np.float32), quads_from(np.zeros((outputs, 1), np.int8), weight.scales)
    rows = as_rows(x)
    y = empty((len(rows), outputs), np.float32)
    parts = get_num_threads() if len(rows) * outputs * inputs >= SERIAL_BELOW else 1
    no_residual = _NONE, (0, 0), (0, 0)
    _quantized_linear(
        quad_product.address(np.dtype(np.float32)), min(parts, len(rows)), as_matrix(rows),
        (*packed, range_of(weight)), _NONE if bias is None else contiguous(bias),
        no_residual if residual is None else as_matrix(as_rows(residual)), as_matrix(y),
    )  # fmt: skip
    return y.reshape(shape)
