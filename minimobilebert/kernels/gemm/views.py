"""Matrices in compiled code: views of memory that cost no more than the pointer they move.

    as_matrix   what Python hands to a kernel: (memory in one dimension, shape, strides in numbers). One type for every
                layout (rows, columns, transposed, part of a larger matrix), so that a kernel is compiled once.
    as_view     the same in the kernel, as a strided array of two dimensions: a[i, k], a.T, a.shape
    view        a part of an array, without a copy:

        x    +---+-----------+---+          view(x, (i, j), (rows, columns))     a block
             |   |           |   |          view(x, (i, j), (columns,))          numbers of row i, one after another
           i +---+-----------+---+          view(panels, (p, k, 0), (depth, NR)) a block of panel p
             |   | rows x    |   |
             |   |   columns |   |          shape belongs to the last axes; the others are dropped
             +---+-----------+---+
                 j

Slices do the same, but check their bounds, and count who uses the memory: too much for every register tile. A view
checks and counts nothing. So take views only of a function's arguments: their memory belongs to a caller, who keeps it.
An array made in the same function could be gone while its view is in use.
"""

import numpy as np

from ..runtime.jit import HAVE_NUMBA, jit_inline

if not HAVE_NUMBA:

    def view(x, starts, shape):
        """The part of x that begins at `starts`, of this shape; see the top of this file."""
        if 0 in shape:
            return np.empty(shape, x.dtype)
        corner = x[tuple(slice(start, start + 1) for start in starts)]
        return np.lib.stride_tricks.as_strided(corner, shape, x.strides[-len(shape) :])

    def strided(memory, start, shape, strides):
        """memory [size] from `start` on as an array of this shape, with strides in numbers."""
        strides = tuple(stride * memory.itemsize for stride in strides)
        return np.lib.stride_tricks.as_strided(memory[start:], shape, strides)

    def in_words(x):
        """The same memory as 32-bit words; x in float32 or in words already"""
        return x.view(np.uint32)

    def in_integers(x):
        """The same memory as integers of 32 bits (quads.py); x in float32"""
        return x.view(np.int32)

else:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.core.errors import TypingError
    from numba.extending import intrinsic
    from numba.np.arrayobj import populate_array

    _INT = ir.IntType(64)

    def _type_of(element, dimensions):
        """One dimension: neighbours in memory. More: any strides, so that all matrices are of one type."""
        return types.Array(element, dimensions, "C" if dimensions == 1 else "A")

    def _numbers(context, builder, tuple_type, values):
        """A tuple of integers of any kind -> 64-bit integers"""
        elements = cgutils.unpack_tuple(builder, values)
        return [context.cast(builder, x, given, types.int64) for x, given in zip(elements, tuple_type, strict=True)]

    def _array(context, builder, array_type, data, shape, strides):
        """An array that owns nothing; strides in bytes"""
        made = context.make_array(array_type)(context, builder)
        item = _INT(context.get_abi_sizeof(context.get_data_type(array_type.dtype)))
        populate_array(made, data=data, shape=shape, strides=strides, itemsize=item, meminfo=None, parent=None)
        return made._getvalue()

    @intrinsic
    def view(typing, x, starts, shape):
        """The part of x that begins at `starts`, of this shape; see the top of this file."""
        if len(starts) != x.ndim or not 1 <= len(shape) <= x.ndim:
            raise TypingError(f"view: found starts {starts} and shape {shape}, expected {x.ndim} and at most as many")
        result = _type_of(x.dtype, len(shape))

        def write(context, builder, signature, arguments):
            """The instructions of one call."""
            source = context.make_array(signature.args[0])(context, builder, arguments[0])
            strides = cgutils.unpack_tuple(builder, source.strides)
            offset = _INT(0)
            for start, stride in zip(
                _numbers(context, builder, signature.args[1], arguments[1]), strides, strict=True
            ):  # fmt: skip
                offset = builder.add(offset, builder.mul(start, stride))
            shape = _numbers(context, builder, signature.args[2], arguments[2])
            data = cgutils.pointer_add(builder, source.data, offset)
            return _array(context, builder, result, data, shape, strides[-len(shape) :])

        return result(x, starts, shape), write

    @intrinsic
    def strided(typing, memory, start, shape, strides):
        """memory [size] from `start` on as an array of this shape, with strides in numbers."""
        result = _type_of(memory.dtype, len(shape))

        def write(context, builder, signature, arguments):
            """The instructions of one call."""
            source = context.make_array(signature.args[0])(context, builder, arguments[0])
            item = _INT(context.get_abi_sizeof(context.get_data_type(result.dtype)))
            shape = _numbers(context, builder, signature.args[2], arguments[2])
            strides = [builder.mul(x, item) for x in _numbers(context, builder, signature.args[3], arguments[3])]
            data = builder.gep(source.data, [arguments[1]])
            return _array(context, builder, result, data, shape, strides)

        return result(memory, types.int64, shape, strides), write

    def _reinterpreted(x, dtype):
        """-> x's array type with another dtype of 32 bits, and what writes the instructions; None for 64 bits"""
        result = types.Array(dtype, x.ndim, x.layout)

        def write(context, builder, signature, arguments):
            """The instructions of one call."""
            source = context.make_array(signature.args[0])(context, builder, arguments[0])
            data = builder.bitcast(source.data, context.get_data_type(dtype).as_pointer())
            shape, strides = (cgutils.unpack_tuple(builder, field) for field in (source.shape, source.strides))
            return _array(context, builder, result, data, shape, strides)

        return (result(x), write) if x.dtype in (types.float32, types.uint32) else None

    @intrinsic
    def in_words(typing, x):
        """The same memory as 32-bit words; x in float32 or in words already"""
        return _reinterpreted(x, types.uint32)

    @intrinsic
    def in_integers(typing, x):
        """The same memory as integers of 32 bits (quads.py); x in float32"""
        return _reinterpreted(x, types.int32)


@jit_inline
def holds_words(x):
    """Whether x holds words (bfloat16.py) rather than numbers; known when a kernel is compiled."""
    if isinstance(x.dtype.type(0), np.uint32):
        return True
    else:
        return False


@jit_inline
def as_view(matrix):
    """What as_matrix made -> array [rows, columns]"""
    memory, shape, strides = matrix
    return strided(memory, 0, shape, strides)


@jit_inline
def block_of(x, i, j, shape):
    """x[i : i + shape[0], j : j + shape[1]]; a matrix without rows, an addend that nobody wants, stays without rows"""
    return view(x, (i, j), (min(shape[0], x.shape[0]), shape[1]))


@jit_inline
def segment_of(x, j, count):
    """x[j : j + count]; an array without numbers, a bias that a layer does not have, stays without numbers"""
    return view(x, (j,), (min(count, x.size),))


@jit_inline
def nothing(like):
    """A matrix without rows: an addend or a copy that nobody wants."""
    return strided(like, 0, (0, 0), (0, 0))


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


def as_matrix(x):
    """x [M, N] -> (memory, shape, strides): element i, k is memory[i * strides[0] + k * strides[1]]

    No copy if one of the strides is 1 and rows neither overlap nor run backwards.
    The memory counts as writable: Numba would compile anew for read-only arrays.
    """
    rows, columns = x.shape
    row, column = x.strides
    if x.flags.c_contiguous and x.flags.writeable:
        return x.reshape(-1), (rows, columns), (columns, 1)
    if x.flags.f_contiguous and x.flags.writeable:
        return x.T.reshape(-1), (rows, columns), (1, rows)
    item = x.itemsize
    if (column == item and row >= item * columns) or (row == item and column >= item * rows):
        if not (row % item or column % item):
            row, column = row // item, column // item
            memory = np.asarray(_Memory(x, (rows - 1) * row + (columns - 1) * column + 1))
            return memory, (rows, columns), (row, column)
    return x.flatten(), (rows, columns), (columns, 1)
