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

In bfloat16 (bfloat16.py) a and b hold words of two numbers each, K is half as large, and `sum += a * b` becomes

    sum = round(round(sum + upper(a) * upper(b)) + lower(a) * lower(b)),    each result below 2^-126 becoming 0

which is one instruction (vdpbf16ps) where the processor has it.

In 8 bits (quads.py) they hold words of four bytes each, the sums are integers of 32 bits, and it becomes

    sum = sum + a_0 * b_0 + a_1 * b_1 + a_2 * b_2 + a_3 * b_3                     one instruction too (vpdpbusd)

Sizes and the number of registers: tiles.py. A value is never multiplied by padding here: NaN and infinity reach exactly
the outputs they belong to.
"""

import functools
from typing import NamedTuple

import numpy as np

from ..multiply_add import multiply_add
from ..runtime.jit import jit, jit_inline
from .tiles import HAS_PAIRS, MR, PATH, TILE_VECTORS, nr_of
from .views import view

if PATH == "plain":

    @jit_inline
    def _flushed(x):
        """0 with the sign of x where x is below 2^-126"""
        return x * np.float32(0.0) if abs(x) < np.float32(2.0**-126) else x

    @jit_inline
    def _add_product(a, b, total):
        """total + a * b, where a and b may be words"""
        if isinstance(a, np.uint32):
            upper, half = np.uint32(0xFFFF0000), np.uint32(16)
            total = _flushed(
                multiply_add(np.uint32(a & upper).view(np.float32), np.uint32(b & upper).view(np.float32), total)
            )
            return _flushed(
                multiply_add(np.uint32(a << half).view(np.float32), np.uint32(b << half).view(np.float32), total)
            )
        elif isinstance(a, np.int32):
            for shift in (0, 8, 16, 24):
                total += np.int32((a >> shift) & 255) * np.int32(np.int8(b >> shift))
            return np.int32(total)
        else:
            return multiply_add(a, b, total)

    @jit_inline
    def _begun(a, start):
        """The sum in front of the first product; the instruction counts a denormal one as 0"""
        if isinstance(a, np.uint32):
            return _flushed(start)
        else:
            return start

    @jit
    def micro_kernel(a, b, start, addend, out):
        """The tile without vector instructions; the arguments are explained below."""
        rows, depth = a.shape
        nr = nr_of(out)
        fours = depth // 4 * 4
        sums = np.empty(nr, out.dtype)
        for i in range(rows):
            for j in range(nr):
                sums[j] = _begun(a[i, 0], start[j])
            # Four steps of k at a time, so that a row of sums is read and written a quarter as often.
            for k in range(0, fours, 4):
                a0, a1, a2, a3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
                b0, b1 = view(b, (k, 0), (nr,)), view(b, (k + 1, 0), (nr,))
                b2, b3 = view(b, (k + 2, 0), (nr,)), view(b, (k + 3, 0), (nr,))
                for j in range(nr):
                    total = _add_product(a1, b1[j], _add_product(a0, b0[j], sums[j]))
                    sums[j] = _add_product(a3, b3[j], _add_product(a2, b2[j], total))
            for k in range(fours, depth):
                for j in range(nr):
                    sums[j] = _add_product(a[i, k], b[k, j], sums[j])
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

    def _write_tile(code, operands, rows, depth, a, b, start, addend, no_addend, out):
        """The tile of one number of rows; a, b, addend, out: _Operand, start: pointer, depth = K

        code, operands: what writes instructions on sums, and on numbers or words of a and b
        """
        builder, vectors = code.builder, range(TILE_VECTORS)
        kinds = {types.uint32: code.multiply_add_pairs, types.int32: code.multiply_add_quads}
        multiply_add = kinds.get(operands.dtype, code.multiply_add)
        add = builder.add if code.dtype == types.int32 else builder.fadd
        row_offsets = [builder.mul(a.row, INT(row)) for row in range(rows)]
        first = [code.load(code.at(start, n * code.lanes)) for n in vectors]
        if operands.dtype == types.uint32 and not HAS_PAIRS:  # the instruction counts a denormal start as 0 as well
            first = [code.flushed(x) for x in first]

        def step(variables):
            """One k: a and b -> the sums"""
            a_now, b_now, *sums = variables
            b_vectors = [operands.load(code.at(b_now, n * code.lanes)) for n in vectors]
            new = []
            for row in range(rows):
                a_number = operands.load_everywhere(code.at(a_now, row_offsets[row]))
                new += [multiply_add(a_number, b_vectors[n], sums[row * TILE_VECTORS + n]) for n in vectors]
            return [code.at(a_now, a.column), code.at(b_now, b.row), *new]

        _, _, *sums = code.loop(depth, [a.pointer, b.pointer, *first * rows], step)

        def addresses(matrix):
            """Of all vectors of the tile, row by row."""
            starts = [code.at(matrix.pointer, builder.mul(matrix.row, INT(row))) for row in range(rows)]
            return [code.at(row_start, n * code.lanes) for row_start in starts for n in vectors]

        with builder.if_else(no_addend) as (overwrite, go_on):
            with overwrite:
                for value, address in zip(sums, addresses(out), strict=True):
                    code.store(value, address)
            with go_on:
                for value, before, address in zip(sums, addresses(addend), addresses(out), strict=True):
                    code.store(add(code.load(before), value), address)

    def _write_tiles(dtype, code, rows, *arguments):
        """All tiles, of 1 to MR rows; `rows` decides which one runs; dtype: of a and b"""
        operands = VectorCode(code.context, code.builder, dtype)
        depth, a, a_row, a_k, b, b_row, start, addend, addend_row, no_addend, out, out_row = arguments
        matrices = _Operand(a, a_row, a_k), _Operand(b, b_row), start, _Operand(addend, addend_row), no_addend
        end = code.builder.append_basic_block("stored")
        switch = code.builder.switch(rows, end)
        for count in range(1, MR + 1):
            switch.add_case(INT(count), code.builder.append_basic_block(f"rows{count}"))
            code.builder.position_at_end(switch.cases[-1][1])
            _write_tile(code, operands, count, depth, *matrices, _Operand(out, out_row))
            code.builder.branch(end)
        code.builder.position_at_end(end)

    @intrinsic
    def micro_kernel(typing, a, b, start, addend, out):
        """out = addend + (start + a @ b) for one tile; see the top of this file.

        a [1 ... MR, K] with any strides, K >= 1; b [K, NR], addend and out [rows, NR] with neighbouring columns; start
        [NR], the same for each row. An addend without rows is not added. addend may be out. a and b hold numbers of
        out's type, or words (bfloat16.py).
        """

        def write(context, builder, signature, arguments):
            """The instructions of one call."""
            dtype = signature.args[0].dtype
            code = VectorCode(context, builder, signature.args[4].dtype)
            (a, a_row, a_k), (b, b_k, _), (start, _), (addend, addend_row, _), (out, out_row, _) = (
                code.pointer_and_strides(*pair) for pair in zip(signature.args, arguments, strict=True)
            )
            rows, depth = (code.size(signature.args[0], arguments[0], axis) for axis in (0, 1))
            no_addend = builder.icmp_signed("==", code.size(signature.args[3], arguments[3], 0), INT(0))
            operands = rows, depth, a, a_row, a_k, b, b_k, start, addend, addend_row, no_addend, out, out_row
            name = {types.uint32: "micro_kernel_pairs", types.int32: "micro_kernel_quads"}.get(dtype, "micro_kernel")
            code.call_once_written(name, operands, functools.partial(_write_tiles, dtype))
            return context.get_dummy_value()

        return types.void(a, b, start, addend, out), write
