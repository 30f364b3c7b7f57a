"""Short loops that must be vector instructions: copies, block transpose, ReLU, scale and shift, maximum.

LLVM does not vectorise these by itself where they matter: it must assume that source and target overlap, that a row is
too short to be worth it, or that there is a NaN.

    Block transpose. Packing w.T reads columns. A block of lanes x lanes numbers is loaded by rows and transposed in the
    registers, in log2(lanes) rounds of shuffles; about ten times faster than one number at a time.

        round 1 swaps the odd columns of row 0 with the even columns of row 1, and so on; round 2 pairs of columns:

        00 01 02 03      00 10 02 12      00 10 20 30
        10 11 12 13  ->  01 11 03 13  ->  01 11 21 31        rows are registers, columns are lanes
        20 21 22 23      20 30 22 32      02 12 22 32
        30 31 32 33      21 31 23 33      03 13 23 33
"""

import numpy as np

from ..multiply_add import multiply_add
from ..runtime.jit import jit, jit_inline
from .rounding import round_bits
from .tiles import PATH, TILE_VECTORS, lanes_of, nr_of
from .views import in_words

if PATH == "plain":

    @jit_inline
    def copy_vector(source, target):
        """The copy without vector instructions."""
        for j in range(lanes_of(source)):
            target[j] = source[j]

    @jit
    def transpose_block(source, target):
        """The transpose without vector instructions."""
        for i in range(lanes_of(source)):
            for j in range(lanes_of(source)):
                target[j, i] = source[i, j]

    @jit
    def pair_neighbours(x, words):
        """The rounding without vector instructions."""
        bits = in_words(x)
        for k in range(lanes_of(words)):
            words[k] = round_bits(bits[2 * k]) | (round_bits(bits[2 * k + 1]) << np.uint32(16))

    @jit
    def pair_rows(x, y, words):
        """The rounding without vector instructions."""
        x_bits, y_bits = in_words(x), in_words(y)
        for j in range(lanes_of(words)):
            words[j] = round_bits(x_bits[j]) | (round_bits(y_bits[j]) << np.uint32(16))

    @jit
    def relu_tile(y):
        """ReLU without vector instructions."""
        zero = y.dtype.type(0.0)
        for i in range(y.shape[0]):
            for j in range(nr_of(y)):
                y[i, j] = zero if y[i, j] <= zero else y[i, j]

    @jit
    def scale_shift_tile(scale, shift, y):
        """NoNorm without vector instructions."""
        for i in range(y.shape[0]):
            for j in range(nr_of(y)):
                y[i, j] = multiply_add(y[i, j], scale[j], shift[j])

    @jit
    def maximum_of(x):
        """The maximum without vector instructions."""
        largest = x[0]
        for j in range(x.size):
            largest = x[j] if x[j] > largest else largest
        return largest

else:
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    from .vector_code import INDEX, INT, VectorCode

    def _parts(context, builder, signature, arguments):
        """-> the writer, and (pointer, strides) of each argument"""
        code = VectorCode(context, builder, signature.args[0].dtype)
        return code, *(code.pointer_and_strides(*pair) for pair in zip(signature.args, arguments, strict=True))

    @intrinsic
    def copy_vector(typing, source, target):
        """target[j] = source[j] for j < lanes"""

        def write(context, builder, signature, arguments):
            """The instructions of one call."""
            code, (source, _), (target, _) = _parts(context, builder, signature, arguments)
            code.store(code.load(source), target)
            return context.get_dummy_value()

        return types.void(source, target), write

    def _write_transpose(code, source, source_row, target, target_row):
        """Round by round; see the top of this file."""
        rows = [code.load(code.at(source, code.builder.mul(source_row, INT(i)))) for i in range(code.lanes)]
        step = 1
        while step < code.lanes:
            # Swap bit `step` of the row number with the same bit of the lane number.
            low = [j if not j & step else code.lanes + j - step for j in range(code.lanes)]
            high = [j + step if not j & step else code.lanes + j for j in range(code.lanes)]
            for i in range(code.lanes):
                if not i & step:
                    x, y = rows[i], rows[i + step]
                    rows[i], rows[i + step] = code.shuffle(x, y, low), code.shuffle(x, y, high)
            step *= 2
        for j in range(code.lanes):
            code.store(rows[j], code.at(target, code.builder.mul(target_row, INT(j))))

    @intrinsic
    def transpose_block(typing, source, target):
        """target[j, i] = source[i, j]    for i, j < lanes; rows of both are neighbours in memory"""

        def write(context, builder, signature, arguments):
            """The instructions of one call."""
            code, (source, source_row, _), (target, target_row, _) = _parts(context, builder, signature, arguments)
            code.call_once_written("transpose_block", (source, source_row, target, target_row), _write_transpose)
            return context.get_dummy_value()

        return types.void(source, target), write

    @intrinsic
    def pair_neighbours(typing, x, words):
        """words[k] = the pair of x[2 k] and x[2 k + 1]; x [2 lanes] float32, words [lanes]: see bfloat16.py"""

        def write(context, builder, signature, arguments):
            """The instructions of one call."""
            code, (x, _), (words, _) = _parts(context, builder, signature, arguments)
            first, second = code.load(x), code.load(code.at(x, code.lanes))
            even, odd = (code.shuffle(first, second, range(start, 2 * code.lanes, 2)) for start in (0, 1))
            code.store(code.pairs(even, odd), words)
            return context.get_dummy_value()

        return types.void(x, words), write

    @intrinsic
    def pair_rows(typing, x, y, words):
        """words[j] = the pair of x[j] and y[j]; x, y [lanes] float32, words [lanes]"""

        def write(context, builder, signature, arguments):
            """The instructions of one call."""
            code, (x, _), (y, _), (words, _) = _parts(context, builder, signature, arguments)
            code.store(code.pairs(code.load(x), code.load(y)), words)
            return context.get_dummy_value()

        return types.void(x, y, words), write

    def _for_each_row(code, y_type, y_argument, change):
        """Write a loop over the rows of a tile; change(vector, its number in the row) -> the new vector"""
        pointer, row_stride, _ = code.pointer_and_strides(y_type, y_argument)

        def row(variables):
            """All vectors of one row."""
            for n in range(TILE_VECTORS):
                address = code.at(variables[0], n * code.lanes)
                code.store(change(code.load(address), n), address)
            return [code.at(variables[0], row_stride)]

        code.loop(code.size(y_type, y_argument, 0), [pointer], row)

    @intrinsic
    def relu_tile(typing, y):
        """y = max(y, 0) for a tile y [rows >= 1, NR]; NaN stays"""

        def write(context, builder, signature, arguments):
            """The instructions of one call."""
            code = VectorCode(context, builder, signature.args[0].dtype)
            zero = ir.Constant(code.type, [0.0] * code.lanes)

            def change(x, _):
                """max(x, 0)"""
                return builder.select(builder.fcmp_ordered("<=", x, zero), zero, x)

            _for_each_row(code, signature.args[0], arguments[0], change)
            return context.get_dummy_value()

        return types.void(y), write

    @intrinsic
    def scale_shift_tile(typing, scale, shift, y):
        """y = scale * y + shift for a tile y [rows >= 1, NR]; scale, shift [NR]"""

        def write(context, builder, signature, arguments):
            """The instructions of one call."""
            code, (scale, _), (shift, _), _ = _parts(context, builder, signature, arguments)
            scales, shifts = (
                [code.load(code.at(pointer, n * code.lanes)) for n in range(TILE_VECTORS)] for pointer in (scale, shift)
            )

            def change(x, n):
                """scale * x + shift"""
                return code.multiply_add(x, scales[n], shifts[n])

            _for_each_row(code, signature.args[2], arguments[2], change)
            return context.get_dummy_value()

        return types.void(scale, shift, y), write

    @intrinsic
    def maximum_of(typing, x):
        """The largest of x [N], N >= 1 a multiple of the lanes. NaN may be passed over."""

        def write(context, builder, signature, arguments):
            """The instructions of one call."""
            code, (start, _) = _parts(context, builder, signature, arguments)
            vectors = builder.sdiv(code.size(signature.args[0], arguments[0], 0), INT(code.lanes))

            def larger(x, y):
                """max(x, y) in every lane"""
                return builder.select(builder.fcmp_ordered(">", x, y), x, y)

            def step(variables):
                """One vector against the best so far."""
                address, best = variables
                return [code.at(address, code.lanes), larger(code.load(address), best)]

            _, best = code.loop(vectors, [start, code.load(start)], step)
            half = code.lanes // 2
            while half:  # the upper half against the lower half, until one number is left
                best = larger(code.shuffle(best, best, [(j + half) % code.lanes for j in range(code.lanes)]), best)
                half //= 2
            return builder.extract_element(best, INDEX(0))

        return x.dtype(x), write
