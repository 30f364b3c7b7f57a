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
from .views import nothing, view

NOTHING, RELU, GELU, GELU_TANH, SCALE_SHIFT = range(5)
ACTIVATIONS = {"relu": RELU, "gelu": GELU, "gelu_tanh": GELU_TANH}


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
def _apply_to_row(kind, y, count, scale, shift):
    """y[:count] in place"""
    if kind == RELU:
        for j in range(count):
            y[j] = relu_scalar(y[j], y)
    elif kind == SCALE_SHIFT:
        for j in range(count):
            y[j] = multiply_add(y[j], scale[j], shift[j])
    elif kind == GELU:
        for j in range(count):
            y[j] = y[j] * normal_cdf_scalar(y[j])
    elif kind == GELU_TANH:
        for j in range(count):
            y[j] = gelu_tanh_scalar(y[j], y)


@jit
def apply_epilogue(epilogue, out, i, j):
    """out [rows, columns] in place: the tile of the product that begins at row i, column j of epilogue.kept"""
    rows, columns = out.shape
    nr, lanes, kind = nr_of(out), lanes_of(out), epilogue.kind
    keeps = epilogue.kept.shape[0] > 0 and kind != RELU
    scale, shift = epilogue.scale, epilogue.shift
    if kind == SCALE_SHIFT:
        scale, shift = view(scale, (j,), (columns,)), view(shift, (j,), (columns,))
    if columns == nr:
        if keeps:
            for row in range(rows):
                for n in range(0, nr, lanes):
                    copy_vector(view(out, (row, n), (lanes,)), view(epilogue.kept, (i + row, j + n), (lanes,)))
        if kind == RELU:
            relu_tile(out)
            return
        if kind == SCALE_SHIFT:
            scale_shift_tile(scale, shift, out)
            return
        for row in range(rows):
            # The compiler knows the length of a whole row. A loop of any length would handle so many numbers at once
            # that a row is never long enough for it.
            _apply_to_row(kind, view(out, (row, 0), (nr,)), nr, scale, shift)
        return
    for row in range(rows):
        if keeps:
            for n in range(columns):
                epilogue.kept[i + row, j + n] = out[row, n]
        _apply_to_row(kind, view(out, (row, 0), (columns,)), columns, scale, shift)
