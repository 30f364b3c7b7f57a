"""The micro-kernel: one register tile of the output.

    out[i, j] = addend[i, j] + (start[j] + sum over k of a[i, k] * b[k, j])        i < MR, j < NR

                     b  [K, NR]    one row per step of k: V vectors, next to each other in memory
                  +--------+--------+
                k | vector | vector |
                  +--------+--------+
    a [MR, K]     +--------+--------+
        k         |  sum   |  sum   |     for each k:  load the V vectors of row k of b
      +---+       +--------+--------+                  for each row i: copy a[i, k] to all lanes,
    i | x |       |  sum   |  sum   |                    V times  sum += a * b
      +---+       +--------+--------+
      | . |       |   ..   |   ..   |     The sums stay in registers, from `start` until k is done.
                  +--------+--------+

Sizes and the number of registers: tiles.py. A value is never multiplied by padding here: NaN and infinity reach exactly
the outputs they belong to.
"""

from typing import NamedTuple

import numpy as np

from ..multiply_add import multiply_add
from ..runtime.jit import jit
from .tiles import MR, PATH, TILE_VECTORS, nr_of
from .views import view

if PATH == "plain":

    @jit
    def micro_kernel(a, b, start, addend, out):
        """The tile without vector instructions; the arguments are explained below."""
        rows, depth = a.shape
        nr = nr_of(out)
        fours = depth // 4 * 4
        sums = np.empty(nr, out.dtype)
        for i in range(rows):
            for j in range(nr):
                sums[j] = start[j]
            # Four steps of k at a time, so that a row of sums is read and written a quarter as often.
            for k in range(0, fours, 4):
                a0, a1, a2, a3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
                b0, b1 = view(b, (k, 0), (nr,)), view(b, (k + 1, 0), (nr,))
                b2, b3 = view(b, (k + 2, 0), (nr,)), view(b, (k + 3, 0), (nr,))
                for j in range(nr):
                    total = multiply_add(a1, b1[j], multiply_add(a0, b0[j], sums[j]))
                    sums[j] = multiply_add(a3, b3[j], multiply_add(a2, b2[j], total))
            for k in range(fours, depth):
                for j in range(nr):
                    sums[j] = multiply_add(a[i, k], b[k, j], sums[j])
            # The addend comes last, as in the tiles of vectors.
            for j in range(nr):
                out[i, j] = addend[i, j] + sums[j] if addend.shape[0] > 0 else sums[j]

else:
    from numba import types
    from numba.extending import intrinsic

    from .vector_code import INT, VectorCode

    class _Operand(NamedTuple):
        """A matrix in LLVM's values."""

        pointer: object
        row: object  # distance between two rows, in numbers
        column: object = None  # between two columns; None: neighbours

    def _write_tile(code, rows, depth, a, b, start, addend, no_addend, out):
        """The tile of one number of rows; a, b, addend, out: _Operand, start: pointer, depth = K"""
        builder, vectors = code.builder, range(TILE_VECTORS)
        row_offsets = [builder.mul(a.row, INT(row)) for row in range(rows)]
        first = [code.load(code.at(start, n * code.lanes)) for n in vectors]

        def step(variables):
            """One k: a and b -> the sums"""
            a_now, b_now, *sums = variables
            b_vectors = [code.load(code.at(b_now, n * code.lanes)) for n in vectors]
            new = []
            for row in range(rows):
                a_number = code.load_everywhere(code.at(a_now, row_offsets[row]))
                new += [code.multiply_add(a_number, b_vectors[n], sums[row * TILE_VECTORS + n]) for n in vectors]
            return [code.at(a_now, a.column), code.at(b_now, b.row), *new]

        _, _, *sums = code.loop(depth, [a.pointer, b.pointer, *first * rows], step)

        def addresses(matrix):
            """Of all vectors of the tile, row by row."""
            starts = [code.at(matrix.pointer, builder.mul(matrix.row, INT(row))) for row in range(rows)]
            return [code.at(row_start, n * code.lanes) for row_start in starts for n in vectors]

        with builder.if_else(no_addend) as (overwrite, add):
            with overwrite:
                for value, address in zip(sums, addresses(out), strict=True):
                    code.store(value, address)
            with add:
                for value, before, address in zip(sums, addresses(addend), addresses(out), strict=True):
                    code.store(builder.fadd(code.load(before), value), address)

    def _write_tiles(code, rows, *operands):
        """All tiles, of 1 to MR rows; `rows` decides which one runs. operands: as `micro_kernel` passes them"""
        depth, a, a_row, a_k, b, b_row, start, addend, addend_row, no_addend, out, out_row = operands
        matrices = _Operand(a, a_row, a_k), _Operand(b, b_row), start, _Operand(addend, addend_row), no_addend
        end = code.builder.append_basic_block("stored")
        switch = code.builder.switch(rows, end)
        for count in range(1, MR + 1):
            switch.add_case(INT(count), code.builder.append_basic_block(f"rows{count}"))
            code.builder.position_at_end(switch.cases[-1][1])
            _write_tile(code, count, depth, *matrices, _Operand(out, out_row))
            code.builder.branch(end)
        code.builder.position_at_end(end)

    @intrinsic
    def micro_kernel(typing, a, b, start, addend, out):
        """out = addend + (start + a @ b) for one tile; see the top of this file.

        a [1 ... MR, K] with any strides, K >= 1; b [K, NR], addend and out [rows, NR] with neighbouring columns; start
        [NR], the same for each row. An addend without rows is not added. addend may be out.
        """

        def write(context, builder, signature, arguments):
            code = VectorCode(context, builder, signature.args[0].dtype)
            (a, a_row, a_k), (b, b_k, _), (start, _), (addend, addend_row, _), (out, out_row, _) = (
                code.pointer_and_strides(*pair) for pair in zip(signature.args, arguments, strict=True)
            )
            rows, depth = (code.size(signature.args[0], arguments[0], axis) for axis in (0, 1))
            no_addend = builder.icmp_signed("==", code.size(signature.args[3], arguments[3], 0), INT(0))
            operands = rows, depth, a, a_row, a_k, b, b_k, start, addend, addend_row, no_addend, out, out_row
            code.call_once_written("micro_kernel", operands, _write_tiles)
            return context.get_dummy_value()

        return types.void(a, b, start, addend, out), write
