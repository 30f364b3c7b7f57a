"""A feed-forward network for a block of rows (tokens): what one thread does in kernels/feed_forward.py.

    forward     x --W1, activation--> m --W2, + x, NoNorm--> y
    backward    dy --NoNorm--> ds --W2--> dm --activation--> du --W1, + ds--> dx
                                   '--> dW2 += ds^T m      '--> dW1 += du^T x

    memory of a thread, for R rows
    +---------+---------+---------+------------------+------------------+-----------------------+
    | m       | u       | dm      | m in panels      | x in panels      | workspace of products |
    | [R, F]  | [R, F]  | [R, F]  |                  |                  |                       |
    +---------+---------+---------+------------------+------------------+-----------------------+

m, u and dm are the wide arrays of a block. They stay in the second-level cache from the product that makes them to the
one that uses them. u = x W1^T + b1 is needed for the derivative of GELU; ReLU's is a function of m.
"""

from typing import NamedTuple

import numpy as np

from .activation_scalars import gelu_slope, gelu_tanh_slope
from .gemm.epilogue import GELU, GELU_TANH, RELU, SCALE_SHIFT, Epilogue, no_epilogue
from .gemm.macro_kernel import macro_kernel
from .gemm.panels import pack_all, panels_in, panels_size
from .gemm.views import nothing, strided, view
from .gemm.workspace import as_operands, full_workspace_size, workspace_in
from .nonorm import nonorm_backward_of_rows
from .rows import ROWS_PER_BLOCK
from .runtime.by_address import by_address, passed_as
from .runtime.jit import jit, jit_inline


@passed_as("layers", "operand_panels operand_panels operand_panels numbers numbers numbers numbers int int")
class Layers(NamedTuple):
    """Both dense layers and NoNorm; a pass gets empty panels in place of those that it does not read."""

    first: np.ndarray  # W1^T in panels
    second: np.ndarray  # forward: W2^T in panels; backward: W2
    first_back: np.ndarray  # backward: W1 in panels
    first_bias: np.ndarray  # [F]
    second_bias: np.ndarray  # [C]
    scale: np.ndarray  # [C]
    shift: np.ndarray  # [C]
    activation: int  # see epilogue.py
    macro_at: int  # address of the macro-kernel


@passed_as("kept", "matrix matrix matrix matrix")
class Kept(NamedTuple):
    """What the forward pass leaves to the backward pass, for some rows."""

    x: np.ndarray  # [R, C]
    m: np.ndarray  # [R, F], or no rows: the backward pass makes it again
    u: np.ndarray  # [R, F], or no rows
    s: np.ndarray  # [R, C] m W2^T + b2 + x, what NoNorm gets


@passed_as("sums", "matrix matrix matrix matrix matrix")
class Sums(NamedTuple):
    """Sums over rows: the first two over all rows of a group; the others over ROWS_PER_BLOCK rows each, from 0 on."""

    dfirst: np.ndarray  # [F, C]
    dsecond: np.ndarray  # [C, F]
    dfirst_bias: np.ndarray  # [blocks, F]
    dscale: np.ndarray  # [blocks, C]
    dshift: np.ndarray  # [blocks, C]


@jit
def memory_size(rows, widths, operands, like):
    """Numbers of memory for one thread; widths: C, F."""
    C, F = widths
    panels = panels_size(rows, F, operands) + panels_size(rows, C, operands)
    return 3 * rows * F + panels + full_workspace_size(like)


@jit_inline
def _wide(memory, position, rows, F):
    """m, u or dm: the first, second or third [R, F] of a thread's memory"""
    return strided(memory, position * rows * F, (rows, F), (F, 1))


@jit_inline
def _workspace(memory, start, layers):
    """The memory from `start` on as the workspace of products"""
    return workspace_in(view(memory, (start,), (memory.size - start,)), layers.first, layers.macro_at)


@jit_inline
def _first_layer(x, layers, m, u, work):
    """m = activation(u), u = x W1^T + b1; u may have no rows where the activation does not need it"""
    no_numbers = view(layers.scale, (0,), (0,))
    epilogue = Epilogue(layers.activation, u, no_numbers, no_numbers)
    macro_kernel(layers.macro_at, x, layers.first, layers.first_bias, nothing(layers.scale), m, epilogue, work)


@by_address("kept operands layers matrix numbers")
def forward_rows(kept, operands, layers, y, memory):
    """x of `kept` -> y [R, C] and the rest of `kept`; operands: an array of the type that products read"""
    x, m, u, s = kept
    rows, F = x.shape[0], layers.first_bias.size
    work = _workspace(memory, 3 * rows * F, layers)
    if m.shape[0] == 0:
        m = _wide(memory, 0, rows, F)
    _first_layer(x, layers, m, u, work)
    norm = Epilogue(np.int64(SCALE_SHIFT), s, layers.scale, layers.shift)
    macro_kernel(layers.macro_at, m, layers.second, layers.second_bias, x, y, norm, work)


@jit
def _activation_backward(activation, dm, kept, dbias):
    """dm becomes du, and its sum over these rows is added to dbias; kept: m for ReLU, else u; dm, kept [rows, F]"""
    F, zero = dbias.size, dm.dtype.type(0.0)
    for i in range(dm.shape[0]):
        row, kept_row = view(dm, (i, 0), (F,)), view(kept, (i, 0), (F,))
        if activation == RELU:
            for j in range(F):
                row[j] = row[j] if kept_row[j] > zero else zero
        elif activation == GELU:
            for j in range(F):
                row[j] = row[j] * gelu_slope(kept_row[j], kept_row)
        elif activation == GELU_TANH:
            for j in range(F):
                row[j] = row[j] * gelu_tanh_slope(kept_row[j], kept_row)
        for j in range(F):
            dbias[j] += row[j]


@jit_inline
def _rows_of(x, block):
    """Those of the rows x [R, N] whose sums are row `block` of `Sums`"""
    i = block * ROWS_PER_BLOCK
    return view(x, (i, 0), (min(ROWS_PER_BLOCK, x.shape[0] - i), x.shape[1]))


@by_address("matrix kept operands layers matrix sums int numbers")
def backward_rows(dy, kept, operands, layers, dx, sums, is_first, memory):
    """dy [R, C] -> dx [R, C], and all sums; is_first: sums of the weights start with these rows, else they go on

    operands: an array of the type that products read
    """
    x, m, u, s = kept
    rows, C = x.shape
    F, macro_at, plain, none = layers.first_bias.size, layers.macro_at, no_epilogue(memory), nothing(memory)
    m_at = 3 * rows * F
    x_at = m_at + panels_size(rows, F, operands)
    work_at = x_at + panels_size(rows, C, operands)
    m_panels = panels_in(as_operands(view(memory, (m_at,), (x_at - m_at,)), operands), rows, F)
    x_panels = panels_in(as_operands(view(memory, (x_at,), (work_at - x_at,)), operands), rows, C)
    work, no_bias = _workspace(memory, work_at, layers), view(memory, (0,), (0,))
    dm, ds = _wide(memory, 2, rows, F), dx
    if m.shape[0] == 0:
        m, u = _wide(memory, 0, rows, F), _wide(memory, 1, rows, F)
        _first_layer(x, layers, m, none if layers.activation == RELU else u, work)

    blocks = sums.dscale.shape[0]
    for block in range(blocks):
        dscale, dshift = view(sums.dscale, (block, 0), (C,)), view(sums.dshift, (block, 0), (C,))
        dy_rows, s_rows, ds_rows = _rows_of(dy, block), _rows_of(s, block), _rows_of(ds, block)
        nonorm_backward_of_rows(dy_rows, s_rows, layers.scale, ds_rows, dscale, dshift)
    pack_all(m, m_panels)
    macro_kernel(macro_at, ds.T, m_panels, no_bias, none if is_first else sums.dsecond, sums.dsecond, plain, work)
    macro_kernel(macro_at, ds, layers.second, no_bias, none, dm, plain, work)
    input_or_output = m if layers.activation == RELU else u
    for block in range(blocks):
        dbias = view(sums.dfirst_bias, (block, 0), (F,))
        _activation_backward(layers.activation, _rows_of(dm, block), _rows_of(input_or_output, block), dbias)
    pack_all(x, x_panels)
    macro_kernel(macro_at, dm.T, x_panels, no_bias, none if is_first else sums.dfirst, sums.dfirst, plain, work)
    macro_kernel(macro_at, dm, layers.first_back, no_bias, ds, dx, plain, work)
