"""The epilogue: what follows a matrix product, done to one tile of it while it is in the first-level cache.

              registers                  first-level cache                         memory
      micro-kernel: MR x NR sums  ->  out[tile]  ->  epilogue, in place  ->  out, written back once
                                                  '->  kept[tile], a copy of the product, where the backward needs it

    RELU, GELU, GELU_TANH      y = activation(x)
    SCALE_SHIFT                y = scale * x + shift

x is the product. `kept` is what the backward pass needs of it: for ReLU y itself, so nothing else is written, for the
others x. A `kept` without rows keeps nothing (inference).
"""

from typing import NamedTuple

import numpy as np

from ..activation_scalars import gelu_tanh_scalar, relu_scalar
from ..multiply_add import multiply_add
from ..normal_distribution import normal_cdf_scalar
from ..runtime.by_address import passed_as
from ..runtime.jit import jit, jit_inline
from .tiles import lanes_of, nr_of
from .vector_loops import copy_vector, relu_tile, scale_shift_tile
from .views import block_of, nothing, segment_of, view

NOTHING, RELU, GELU, GELU_TANH, SCALE_SHIFT = range(5)
ACTIVATIONS = {"relu": RELU, "gelu": GELU, "gelu_tanh": GELU_TANH}
FROM_OUTPUT = ("relu",)  # activations whose derivative is a function of y: the product need not be kept


@passed_as("epilogue", "int matrix numbers numbers")
class Epilogue(NamedTuple):
    kind: int  # NOTHING, RELU, ...
    kept: np.ndarray  # [M, N], or no rows
    scale: np.ndarray  # [N], for SCALE_SHIFT
    shift: np.ndarray  # [N]


@jit_inline
def no_epilogue(like):
    """For a product that nothing follows; like [one dimension]"""
    empty = view(like, (0,), (0,))
    return Epilogue(np.int64(NOTHING), nothing(like), empty, empty)


@jit_inline
def epilogue_of_part(epilogue, i, j, shape):
    """The epilogue of the part of the product that begins at row i, column j"""
    kind, kept, scale, shift = epilogue
    columns = shape[1]
    return Epilogue(kind, block_of(kept, i, j, shape), segment_of(scale, j, columns), segment_of(shift, j, columns))


@jit
def _gelu_tile(y):
    """y [rows, NR] in place"""
    for i in range(y.shape[0]):
        row = view(y, (i, 0), (nr_of(y),))
        for j in range(nr_of(y)):
            row[j] = row[j] * normal_cdf_scalar(row[j])


@jit
def _gelu_tanh_tile(y):
    """y [rows, NR] in place"""
    for i in range(y.shape[0]):
        row = view(y, (i, 0), (nr_of(y),))
        for j in range(nr_of(y)):
            row[j] = gelu_tanh_scalar(row[j], row)


@jit
def _apply_to_partial_row(kind, y, scale, shift):
    """y in place; scale, shift: as many numbers as y, for SCALE_SHIFT"""
    for j in range(y.size):
        if kind == RELU:
            y[j] = relu_scalar(y[j], y)
        elif kind == SCALE_SHIFT:
            y[j] = multiply_add(y[j], scale[j], shift[j])
        elif kind == GELU:
            y[j] = y[j] * normal_cdf_scalar(y[j])
        elif kind == GELU_TANH:
            y[j] = gelu_tanh_scalar(y[j], y)


@jit
def apply_epilogue(epilogue, out, i, j):
    """out [rows, columns] in place: the tile of the product that begins at row i, column j of epilogue.kept

    Each kind has a function of its own for a whole tile: in one long chain of conditions the compiler makes slow loops.
    """
    rows, columns = out.shape
    nr, lanes, kind = nr_of(out), lanes_of(out), epilogue.kind
    scale, shift = segment_of(epilogue.scale, j, columns), segment_of(epilogue.shift, j, columns)
    keeps = epilogue.kept.shape[0] > 0 and kind != RELU
    if columns < nr:
        for row in range(rows):
            for n in range(columns if keeps else 0):
                epilogue.kept[i + row, j + n] = out[row, n]
            _apply_to_partial_row(kind, view(out, (row, 0), (columns,)), scale, shift)
        return
    for row in range(rows if keeps else 0):
        for n in range(0, nr, lanes):
            copy_vector(view(out, (row, n), (lanes,)), view(epilogue.kept, (i + row, j + n), (lanes,)))
    if kind == RELU:
        relu_tile(out)
    elif kind == SCALE_SHIFT:
        scale_shift_tile(scale, shift, out)
    elif kind == GELU:
        _gelu_tile(out)
    elif kind == GELU_TANH:
        _gelu_tanh_tile(out)
