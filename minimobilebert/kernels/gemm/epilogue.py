"""What may follow a matrix product, done to one tile of it while it is in the first-level cache.

    RELU, GELU, GELU_TANH      y = activation(x)
    SCALE_SHIFT                y = scale * x + shift

x is the product. `kept` is what the backward pass needs of it: for ReLU y itself, so nothing else is written, for the
others x. An empty `kept` keeps nothing (inference).
"""

from ..activation_scalars import gelu_tanh_scalar, relu_scalar
from ..multiply_add import multiply_add
from ..normal_distribution import normal_cdf_scalar
from ..runtime.jit import jit, jit_inline
from .micro_kernel import copy_vector, lanes_of, relu_tile, scale_shift_tile, width_of

NOTHING, RELU, GELU, GELU_TANH, SCALE_SHIFT = range(5)
ACTIVATIONS = {"relu": RELU, "gelu": GELU, "gelu_tanh": GELU_TANH}


@jit_inline
def _apply_to_row(kind, count, y, scale, shift, column):
    """y[:count] in place"""
    if kind == RELU:
        for j in range(count):
            y[j] = relu_scalar(y[j], y)
    elif kind == SCALE_SHIFT:
        for j in range(count):
            y[j] = multiply_add(y[j], scale[column + j], shift[column + j])
    elif kind == GELU:
        for j in range(count):
            y[j] = y[j] * normal_cdf_scalar(y[j])
    elif kind == GELU_TANH:
        for j in range(count):
            y[j] = gelu_tanh_scalar(y[j], y)


@jit
def apply_epilogue(kind, rows, used, out, out_at, out_row, kept, kept_at, kept_row, scale, shift, column):
    """out [rows, used] in place, after a copy of it to `kept` where `kind` has one; scale, shift: from `column` on"""
    width, lanes = width_of(out), lanes_of(out)
    keep = kept.size > 0 and (kind == GELU or kind == GELU_TANH or kind == SCALE_SHIFT)
    if used == width:
        if keep:
            for i in range(rows):
                for j in range(0, width, lanes):
                    copy_vector(out, out_at + i * out_row + j, kept, kept_at + i * kept_row + j)
        if kind == RELU:
            relu_tile(rows, out, out_at, out_row)
            return
        if kind == SCALE_SHIFT:
            scale_shift_tile(rows, scale, shift, column, out, out_at, out_row)
            return
    for i in range(rows):
        # Slices, because Numba knows of an index into a slice, and not of out_at + j, that it is not negative.
        y = out[out_at + i * out_row : out_at + i * out_row + used]
        # Twice the same on purpose. Of a whole row the compiler knows the length; a loop that may be of any length
        # handles so many numbers at once that a row is never long enough for it.
        if used == width:
            _apply_to_row(kind, width, y, scale, shift, column)
        else:
            if keep:
                k = kept[kept_at + i * kept_row : kept_at + i * kept_row + used]
                for j in range(used):
                    k[j] = y[j]
            _apply_to_row(kind, used, y, scale, shift, column)
