"""Dense matrix product: the one mechanism behind every linear layer, forward and backward.

    out[i, j] = bias[j] + sum over k of a[i, k] * b[k, j]          a [M, K], b [K, N], bias [N] -> out [M, N]

A linear layer needs it in three layouts, x @ w.T, dy @ w and dy.T @ x, so transposed views are the normal case.
Plain loops reach a fifth of what a core can do (ladder.py). Four ideas make up the rest:

    threads       each computes one part of out: some rows of some panels        here
    caches        blocks of b and a that stay in the caches until they are used  macro_kernel.py
    packing       b in panels of NR columns, read from first to last             packing.py
                  (all of b here, where its rows cannot be read in place, as those of W^T; else, where many rows of a
                  read it, block by block in the macro-kernel)
    registers     a tile of MR x NR sums while k runs                            micro_kernel.py

What follows a product (activation, residual, NoNorm) is done to each tile while it is in the cache (epilogue.py).

Threads share the output, never a sum: every out[i, j] is added up by one thread, in the order of k, whatever
the number of threads. So results do not depend on it, bit for bit.
"""

import functools

import numpy as np

from ..rows import contiguous
from ..runtime.by_address import by_address
from ..runtime.jit import get_num_threads, jit_inline, jit_parallel, prange, serial
from ..runtime.memory import empty, scratch
from ..runtime.precision import rounds
from .bfloat16 import words_of
from .epilogue import NOTHING, Epilogue, epilogue_of_part
from .macro_kernel import macro_kernel
from .packing import panels_in_place, panels_of
from .panels import pack, panels_in
from .tiles import nr_of
from .views import as_matrix, as_view, block_of, segment_of, view
from .workspace import full_workspace_size, workspace_in

SERIAL_BELOW = 64**3  # multiply-adds; fewer are done before a second thread has woken up
_NONE = {np.dtype(real): np.empty(0, real) for real in (np.float32, np.float64)}


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
    if out is not None and not out.flags.writeable:
        raise ValueError("matmul: found out read-only, expected an array that may be written")
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


@by_address("int int int2 matrix operand_panels numbers matrix matrix epilogue numbers")
def _part(macro_at, part, parts, a, panels, bias, addend, out, epilogue, memory):
    """One part of the output: some rows of some panels."""
    rows, columns = out.shape
    count, depth, nr = panels.shape
    row_parts, column_parts = parts
    r, c = part // column_parts, part % column_parts
    i0, i1 = rows * r // row_parts, rows * (r + 1) // row_parts
    p0, p1 = count * c // column_parts, count * (c + 1) // column_parts
    j0, size = p0 * nr, full_workspace_size(out)
    shape = (i1 - i0, min(columns, p1 * nr) - j0)
    macro_kernel(
        macro_at,
        view(a, (i0, 0), (i1 - i0, a.shape[1])),
        view(panels, (p0, 0, 0), (p1 - p0, depth, nr)),
        segment_of(bias, j0, shape[1]),
        block_of(addend, i0, j0, shape),
        view(out, (i0, j0), shape),
        epilogue_of_part(epilogue, i0, j0, shape),
        workspace_in(view(memory, (part * size,), (size,)), panels, macro_at),
    )


@jit_inline
def _panels_for(b, packed):
    """b in panels: room for them in `packed`, or in place where that is empty; words are always packed"""
    if isinstance(packed.dtype.type(0), np.uint32):
        return panels_in(packed, b.shape[0], b.shape[1])
    else:
        count = panels_of(b.shape[1], packed)
        return panels_in(packed, b.shape[0], b.shape[1]) if packed.size > 0 else panels_in_place(b, count)


@jit_parallel
def _matmul(addresses, parts, a, b, bias, addend, out, epilogue, packed, memory):
    """out = epilogue(addend + bias + a @ b), in parts; b is packed where `packed` has room for it"""
    a, b, addend, out = as_view(a), as_view(b), as_view(addend), as_view(out)
    macro_at, part_at = addresses
    kind, kept, scale, shift = epilogue
    kept = view(kept, (0, 0), kept.shape)
    depth, columns = b.shape
    panels = _panels_for(b, packed)
    if packed.size > 0:
        count, packed_depth, nr = panels.shape
        for p in prange(count):
            j = np.int64(p) * nr
            part_of_b = view(b, (0, j), (depth, min(nr, columns - j)))
            pack(part_of_b, view(panels, (np.int64(p), 0, 0), (packed_depth, nr)))
    for part in prange(parts[0] * parts[1]):
        each = Epilogue(kind, kept, scale, shift)
        _part(part_at, macro_at, part, parts, a, panels, bias, addend, out, each, memory)


_matmul_serial = serial(_matmul)


@functools.cache
def _nr(dtype):
    """NR; the compiled function is asked once."""
    return nr_of(_NONE[dtype])


_memory = scratch(lambda dtype, parts: np.empty(parts * full_workspace_size(_NONE[dtype]), dtype))
_NO_MATRIX = {dtype: (none, (0, 0), (0, 0)) for dtype, none in _NONE.items()}


def product(a, b, out, *, bias=None, addend=None, kind=NOTHING, kept=None, scale=None, shift=None):
    """out = epilogue(addend + bias + a @ b), in the precision that is chosen; see macro_kernel.py and epilogue.py

    a [M, K] and b [K, N] may have any strides; out and addend [M, N] have neighbouring columns, and addend may be out;
    kept [M, N] is contiguous. Nothing is checked. -> out
    """
    none = _NONE[out.dtype]
    (rows, depth), columns = a.shape, b.shape[1]
    b_matrix, out_matrix = as_matrix(b), as_matrix(out)
    if addend is None:
        addend_matrix = _NO_MATRIX[out.dtype]
    else:
        addend_matrix = out_matrix if addend is out else as_matrix(addend)
    nr, parts = _nr(out.dtype), (1, 1)
    count = -(-columns // nr)
    if rows * columns * depth >= SERIAL_BELOW and (threads := get_num_threads()) > 1:
        row_parts = min(max(rows // 8, 1), threads)
        parts = (row_parts, min(threads // row_parts, count))
    epilogue = (
        kind,
        none.reshape(0, 0) if kept is None else kept.reshape(rows, columns),
        none if scale is None else contiguous(scale),
        none if shift is None else contiguous(shift),
    )
    if rounds(out.dtype):
        packed = empty(count * nr * words_of(depth), np.uint32)
    else:
        packed = empty(count * nr * depth, out.dtype) if b_matrix[2][1] != 1 or columns % nr != 0 else none
    run = _matmul if parts != (1, 1) else _matmul_serial
    bias = none if bias is None else contiguous(bias)
    memory = _memory.of(out.dtype, parts[0] * parts[1])
    addresses = macro_kernel.address(out.dtype, packed.dtype), _part.address(out.dtype, packed.dtype)
    run(addresses, parts, as_matrix(a), b_matrix, bias, addend_matrix, out_matrix, epilogue, packed, memory)
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
    return product(a, b, out, bias=bias, addend=out if accumulate else None)
