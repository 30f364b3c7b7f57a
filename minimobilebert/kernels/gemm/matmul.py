"""Dense matrix product: the one mechanism behind every linear layer, forward and backward.

    out[i, j] = bias[j] + sum over k of a[i, k] * b[k, j]          a [M, K], b [K, N], bias [N] -> out [M, N]

A linear layer needs it in three layouts, x @ w.T, dy @ w and dy.T @ x, so transposed views are the normal case.
Plain loops reach a fifth of what a core can do (ladder.py). This kernel has four ideas:

1. Registers. The output is computed in tiles of up to 14 x 32 numbers that stay in vector registers while k runs
   (see micro_kernel.py). A tile reads rows + columns numbers for every rows * columns multiply-adds.
2. Caches. The loops around the tile go through blocks of b that stay in the second-level cache until every row of
   a has met them. The a-rows of one tile stay in the first-level cache (see macro_kernel.py).
3. Packing, where it pays. The tile needs `width` neighbouring numbers of a row of b in one load. In `x @ w.T` they are
   a column of w: each panel of `width` columns is first copied, transposed, to lie as the tile reads it. `dy @ w` and
   `dy.T @ x` have them side by side; there a block is copied only where many rows of a will read it, because rows
   that lie a power of two apart push each other out of the cache.
4. What follows a product (activation, residual, NoNorm) is done to each tile while it is in the cache (epilogue.py).

Threads share the output, never a sum: every out[i, j] is added up by one thread, in the order of k, whatever
the number of threads. So results do not depend on it, bit for bit.
"""

import functools

import numpy as np

from ..rows import compact
from ..runtime.by_address import by_address
from ..runtime.jit import get_num_threads, jit, jit_parallel, prange
from ..runtime.memory import empty, scratch
from .macro_kernel import macro_kernel, workspace_size
from .micro_kernel import width_of
from .packing import pack_panel, pack_panels, panels_of

SERIAL_BELOW = 64**3  # multiply-adds; fewer are done before a second thread has woken up
_NONE = {np.dtype(kind): np.empty(0, kind) for kind in (np.float32, np.float64)}


def check(a, b, bias, out, accumulate):
    """ValueError where these are no operands of one product."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0] or a.dtype != b.dtype or a.dtype not in _NONE:
        raise ValueError(
            f"matmul: found {a.dtype} {a.shape} and {b.dtype} {b.shape},"
            " expected [M, K] and [K, N], both float32 or float64"
        )
    if bias is not None and (bias.shape != b.shape[1:] or bias.dtype != a.dtype):
        raise ValueError(f"matmul: found bias {bias.dtype} {bias.shape}, expected {a.dtype} {b.shape[1:]}")
    if out is not None and (out.shape != (a.shape[0], b.shape[1]) or out.dtype != a.dtype):
        raise ValueError(f"matmul: found out {out.dtype} {out.shape}, expected {a.dtype} {(a.shape[0], b.shape[1])}")
    if accumulate and out is None:
        raise ValueError("matmul: found accumulate without out, expected the array to add to")


def deliver(product, bias, out, accumulate):
    """A plain product, with bias and accumulation, where it is wanted -> out"""
    if bias is not None:
        product += bias
    if out is None:
        return product
    if accumulate:
        out += product
    else:
        out[...] = product
    return out


@jit
def _start(bias, columns):
    """What every row starts with: one panel of zeros, for later blocks of k; then the bias, filled up with zeros."""
    width = width_of(bias)
    start = np.zeros(width * (1 + panels_of(columns, bias)), bias.dtype)
    for j in range(bias.size):
        start[width + j] = bias[j]
    return start


@by_address(
    "int int2 numbers int int int int numbers int int int numbers numbers int numbers int numbers int numbers numbers"
    " numbers"
)
def _part(
    part, parts, a, a_row, a_k, rows, depth, b, b_panel, b_k, columns, start, add, add_row, out, out_row, workspace,
    kind, kept, scale, shift,
):  # fmt: skip
    """One part of the output: some rows of some panels."""
    width, panels = width_of(out), panels_of(columns, out)
    row_parts, column_parts = parts
    i, p = part // column_parts, part % column_parts
    i0, i1 = rows * i // row_parts, rows * (i + 1) // row_parts
    p0, p1 = panels * p // column_parts, panels * (p + 1) // column_parts
    j0 = p0 * width
    macro_kernel(
        i1 - i0, a, i0 * a_row, a_row, a_k, depth, b, p0 * b_panel, b_panel, b_k, min(columns, p1 * width) - j0,
        start, np.int64(0), add, i0 * add_row + j0 if add.size else -1, add_row, out, i0 * out_row + j0, out_row,
        workspace, part * workspace_size(out), kind, kept, i0 * columns + j0, columns, scale, shift, j0,
    )  # fmt: skip


@jit
def _matmul_serial(
    part_at, parts, a, a_row, a_k, rows, depth, b, b_k, b_column, columns, pack, packed, bias, add, add_row,
    out, out_row, workspace, kind, kept, scale, shift,
):  # fmt: skip
    panels, b_panel, width = b, width_of(out), width_of(out)
    if pack:
        panels, b_panel = packed, width * depth
        pack_panels(b, 0, b_k, b_column, depth, columns, packed, 0)
        b_k = width
    _part(
        part_at, 0, parts, a, a_row, a_k, rows, depth, panels, b_panel, b_k, columns, _start(bias, columns),
        add, add_row, out, out_row, workspace, kind, kept, scale, shift,
    )  # fmt: skip


@jit_parallel
def _matmul_parallel(
    part_at, parts, a, a_row, a_k, rows, depth, b, b_k, b_column, columns, pack, packed, bias, add, add_row,
    out, out_row, workspace, kind, kept, scale, shift,
):  # fmt: skip
    start, panels, b_panel, width = _start(bias, columns), b, width_of(out), width_of(out)
    if pack:
        panels, b_panel = packed, width * depth
        for panel in prange(panels_of(columns, out)):
            j = np.int64(panel) * width
            pack_panel(b, j * b_column, b_k, b_column, depth, min(width, columns - j), packed, j * depth)
        b_k = width
    for part in prange(parts[0] * parts[1]):
        _part(
            part_at, part, parts, a, a_row, a_k, rows, depth, panels, b_panel, b_k, columns, start, add, add_row,
            out, out_row, workspace, kind, kept, scale, shift,
        )  # fmt: skip


class _Memory:
    """Lets NumPy see x's memory, from its first number to its last, as one row of numbers that may be written."""

    def __init__(self, x, numbers):
        self.owner = x
        self.__array_interface__ = {
            "shape": (numbers,),
            "typestr": x.dtype.str,
            "data": (x.__array_interface__["data"][0], False),
            "version": 3,
        }


def place(x):
    """A matrix as its memory -> array of one dimension, distance between two rows, between two columns.

    No copy if one of its strides is 1. Numba compiles anew for each memory layout and for read-only arrays; this leaves
    it one kind of array.
    """
    row, column = x.strides
    if x.flags.c_contiguous and x.flags.writeable:
        return x.reshape(-1), x.shape[1], 1
    if x.flags.f_contiguous and x.flags.writeable:
        return x.T.reshape(-1), 1, x.shape[0]
    item, (rows, columns) = x.itemsize, x.shape
    if (column == item and row >= item * columns) or (row == item and column >= item * rows):
        if not (row % item or column % item):
            row, column = row // item, column // item
            return np.asarray(_Memory(x, (rows - 1) * row + (columns - 1) * column + 1)), row, column
    return x.flatten(), columns, 1


@functools.cache
def _width(dtype):
    """Columns of a tile; asked of the compiled function once."""
    return width_of(_NONE[dtype])


_workspace = scratch(lambda dtype, parts: np.empty(parts * workspace_size(_NONE[dtype]), dtype))


def product(a, b, out, *, bias=None, add=None, kind=0, kept=None, scale=None, shift=None):
    """out = finish(add + bias + a @ b); see macro_kernel.py and epilogue.py

    a [M, K] and b [K, N] may have any strides; out and add [M, N] have neighbouring columns, and add may be out;
    kept [M, N] is contiguous. Nothing is checked. -> out
    """
    none = _NONE[out.dtype]
    (rows, depth), columns = a.shape, b.shape[1]
    flat_a, a_row, a_k = place(a)
    flat_b, b_k, b_column = place(b)
    flat_out, out_row, _ = place(out)
    flat_add, add_row = none, 0
    if add is out:
        flat_add, add_row = flat_out, out_row
    elif add is not None:
        flat_add, add_row, _ = place(add)
    width, parts = _width(out.dtype), (1, 1)
    if rows * columns * depth >= SERIAL_BELOW and (threads := get_num_threads()) > 1:
        row_parts = min(max(rows // 8, 1), threads)
        parts = (row_parts, min(threads // row_parts, -(-columns // width)))
    pack = b_column != 1 or columns % width != 0
    arguments = (
        _part.address(out.dtype), parts, flat_a, a_row, a_k, rows, depth, flat_b, b_k, b_column, columns, pack,
        empty(-(-columns // width) * width * depth, out.dtype) if pack else none,
        none if bias is None else compact(bias), flat_add, add_row, flat_out, out_row,
        _workspace.of(out.dtype, parts[0] * parts[1]), kind,
        none if kept is None else kept.reshape(-1), none if scale is None else compact(scale),
        none if shift is None else compact(shift),
    )  # fmt: skip
    if parts == (1, 1):
        _matmul_serial(*arguments)
    else:
        _matmul_parallel(*arguments)
    return out


def matmul(a, b, *, bias=None, out=None, accumulate=False):
    """The compiled twin of ops/matmul.py."""
    check(a, b, bias, out, accumulate)
    shape = a.shape[0], b.shape[1]
    if not (a.size and b.size):
        return deliver(np.zeros(shape, a.dtype), bias, out, accumulate)
    if out is None:
        return product(a, b, empty(shape, a.dtype), bias=bias)
    if out.strides[1] != out.itemsize or out.strides[0] % out.itemsize or out.strides[0] < out.itemsize * shape[1]:
        return deliver(product(a, b, empty(shape, a.dtype), bias=bias), None, out, accumulate)
    return product(a, b, out, bias=bias, add=out if accumulate else None)
