"""Vector instructions for the matrix product: a register tile and a block transpose, written in LLVM's language.

Python cannot say "keep these 28 sums in vector registers", and Numba's compiler does not find it out by
itself. LLVM, the compiler under Numba, can be told: `intrinsic` lets a Python function write the LLVM
instructions of a call instead of computing it. This file writes two such functions.

**Register tile.** A core multiplies and adds two vectors per clock, but only if neither waits for memory or
for its own last result. So one tile of the output, R rows by V vectors, stays in registers while k runs:

    for each k:  load V vectors of row k of B
                 for each of the R rows: copy a[row, k] to all lanes; V times  sum += a * b

That is R + V loads for R * V multiply-adds (AVX-512: 16 for 28), so the loads never hold it up, and the
R * V independent sums hide the four clocks each addition takes. R * V + V + 1 registers are used; the
processor has 32 (AVX-512, NEON) or 16 (AVX2), which fixes R and V.

**Block transpose.** Packing w.T reads columns. Blocks of lanes x lanes numbers are loaded by rows and transposed
inside the registers, log2(lanes) rounds of shuffles, about ten times faster than one number at a time.

A value is never multiplied by padding here: NaN and infinity reach exactly the outputs they belong to.
"""

import os
import platform
from typing import NamedTuple

import numpy as np

from ..multiply_add import multiply_add
from ..runtime.jit import HAVE_NUMBA, jit, jit_inline


class Tile(NamedTuple):
    vector_bytes: int  # size of one vector register
    rows: int  # R
    vectors: int  # V


# "plain": the same loops in Python that Numba compiles like any other, for every other processor.
TILES = {"avx512": Tile(64, 14, 2), "avx2": Tile(32, 6, 2), "neon": Tile(16, 8, 3), "plain": Tile(32, 4, 8)}


def _supported():
    """Names of the tiles this processor can run, best first."""
    if not HAVE_NUMBA:
        return ()
    if platform.machine().lower() in ("arm64", "aarch64"):
        return ("neon",)  # part of every 64-bit ARM processor
    from numba.core import codegen, config

    # What Numba will compile for, which the user may have narrowed (NUMBA_CPU_NAME, NUMBA_CPU_FEATURES).
    features = codegen.get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
    features = set(features.split(","))
    needs = {"avx512": {"+avx512f", "+avx512vl", "+fma"}, "avx2": {"+avx2", "+fma"}}
    return tuple(name for name, wanted in needs.items() if wanted <= features)


SUPPORTED = _supported()


def choose_path():
    """The tile to use, or "plain" for loops without explicit vectors; MINIMOBILEBERT_SIMD asks for a narrower one."""
    wanted = os.environ.get("MINIMOBILEBERT_SIMD", "")
    if wanted and wanted not in TILES:
        raise ValueError(f"MINIMOBILEBERT_SIMD: found {wanted!r}, expected one of {', '.join(TILES)}")
    if not wanted:
        return SUPPORTED[0] if SUPPORTED else "plain"
    return wanted if wanted in SUPPORTED else "plain"


PATH = choose_path()  # "avx512", "avx2", "neon" or "plain"
VECTOR_BYTES, TILE_ROWS, TILE_VECTORS = TILES[PATH]  # constants of the compiled kernels: see the cache in jit.py


@jit_inline
def item_bytes(like):
    """Bytes of one number: a constant to the compiler, where `like.itemsize` is read from memory and divided by."""
    if isinstance(like.dtype.type(0.0), np.float32):
        return 4
    else:
        return 8


@jit_inline
def lanes_of(like):
    """Numbers in one vector."""
    return VECTOR_BYTES // item_bytes(like)


@jit_inline
def width_of(like):
    """Columns of one tile."""
    return TILE_VECTORS * VECTOR_BYTES // item_bytes(like)


if PATH == "plain":

    @jit
    def micro_kernel(
        rows, a, a_at, a_row, a_k, b, b_at, b_k, depth, start, start_at, add, add_at, add_row, out, out_at, out_row
    ):  # fmt: skip
        """The tile without vector instructions; the arguments are explained below."""
        width = width_of(out)
        fours = depth // 4 * 4
        sums = np.empty(width, out.dtype)
        for i in range(rows):
            for j in range(width):
                sums[j] = start[start_at + j]
            # Four steps of k at a time, so that a row of sums is read and written a quarter as often.
            for k in range(0, fours, 4):
                x, y = a_at + i * a_row + k * a_k, b_at + k * b_k
                a0, a1, a2, a3 = a[x], a[x + a_k], a[x + 2 * a_k], a[x + 3 * a_k]
                b0, b1, b2, b3 = b[y:], b[y + b_k :], b[y + 2 * b_k :], b[y + 3 * b_k :]
                for j in range(width):
                    total = multiply_add(a1, b1[j], multiply_add(a0, b0[j], sums[j]))
                    sums[j] = multiply_add(a3, b3[j], multiply_add(a2, b2[j], total))
            for k in range(fours, depth):
                for j in range(width):
                    sums[j] = multiply_add(a[a_at + i * a_row + k * a_k], b[b_at + k * b_k + j], sums[j])
            # Last, as the tiles of vectors do.
            for j in range(width):
                before, now = add_at + i * add_row + j, out_at + i * out_row + j
                out[now] = add[before] + sums[j] if add_at >= 0 else sums[j]

    @jit
    def transpose_block(source, source_at, source_row, target, target_at, target_row):
        """The transpose without vector instructions."""
        for i in range(lanes_of(source)):
            for j in range(lanes_of(source)):
                target[target_at + j * target_row + i] = source[source_at + i * source_row + j]

    @jit
    def relu_tile(rows, y, y_at, y_row):
        """ReLU without vector instructions."""
        for i in range(rows):
            for j in range(y_at + i * y_row, y_at + i * y_row + width_of(y)):
                y[j] = y.dtype.type(0.0) if y[j] <= y.dtype.type(0.0) else y[j]

    @jit
    def scale_shift_tile(rows, scale, shift, column, y, y_at, y_row):
        """NoNorm without vector instructions."""
        for i in range(rows):
            for j in range(width_of(y)):
                place = y_at + i * y_row + j
                y[place] = multiply_add(y[place], scale[column + j], shift[column + j])

    @jit
    def maximum_of(x, x_at, vectors):
        """The maximum without vector instructions."""
        largest = x[x_at]
        for j in range(x_at, x_at + vectors * lanes_of(x)):
            largest = x[j] if x[j] > largest else largest
        return largest

    @jit_inline
    def copy_vector(source, source_at, target, target_at):
        """The copy without vector instructions."""
        for j in range(lanes_of(source)):
            target[target_at + j] = source[source_at + j]

else:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    _INT, _INDEX = ir.IntType(64), ir.IntType(32)

    class _Vectors:
        """Writes instructions on vectors of numbers of `dtype` where the builder stands."""

        def __init__(self, context, builder, dtype):
            self.context, self.builder, self.dtype, self.item = context, builder, dtype, dtype.bitwidth // 8
            self.lanes = VECTOR_BYTES // self.item
            self.element = ir.FloatType() if self.item == 4 else ir.DoubleType()
            self.type = ir.VectorType(self.element, self.lanes)
            self.undefined = ir.Constant(self.type, ir.Undefined)
            # Declared as an ordinary function: llvmlite's declare_intrinsic cannot spell a vector type.
            fma = ir.FunctionType(self.type, [self.type] * 3)
            self.fma = cgutils.get_or_insert_function(builder.module, fma, f"llvm.fma.v{self.lanes}f{dtype.bitwidth}")

        def pointer(self, array_type, array, element):
            """Where this element of a one-dimensional array is."""
            data = self.context.make_array(array_type)(self.context, self.builder, array).data
            return self.at(data, element)

        def at(self, pointer, elements):
            return self.builder.gep(pointer, [_INT(elements) if isinstance(elements, int) else elements])

        def load(self, pointer):
            value = self.builder.load(self.builder.bitcast(pointer, self.type.as_pointer()))
            value.align = self.item  # a row may start anywhere
            return value

        def store(self, value, pointer):
            self.builder.store(value, self.builder.bitcast(pointer, self.type.as_pointer())).align = self.item

        def shuffle(self, x, y, lanes):
            """The vector of these lanes of x (0 ... lanes-1) and y (lanes ... 2*lanes-1)."""
            mask = ir.Constant(ir.VectorType(_INDEX, self.lanes), [_INDEX(lane) for lane in lanes])
            return self.builder.shuffle_vector(x, y, mask)

        def call_once_written(self, name, operands, body):
            """Call a function that is written once for all its callers: `body(vectors inside, *operands)` writes it.

            Code this long, copied into every caller and optimised anew there, would be half of the time to compile.
            """
            module, kind = self.builder.module, ir.FunctionType(ir.VoidType(), [x.type for x in operands])
            function = cgutils.get_or_insert_function(module, kind, f"minimobilebert_{name}_{8 * self.item}")
            if function.is_declaration:
                function.linkage = "linkonce_odr"  # the copies of several modules become one
                function.attributes.add("noinline")
                builder = ir.IRBuilder(function.append_basic_block("entry"))
                body(_Vectors(self.context, builder, self.dtype), *function.args)
                builder.ret_void()
            self.builder.call(function, operands)

        def load_everywhere(self, pointer):
            """One number, copied to all lanes."""
            first = self.builder.insert_element(self.undefined, self.builder.load(pointer), _INDEX(0))
            return self.shuffle(first, self.undefined, [0] * self.lanes)

    def _write_tile(v, rows, a, a_row, a_k, b, b_k, depth, start, add, add_row, nothing_to_add, out, out_row):
        """The tile of one height; see `micro_kernel` for the arguments."""
        builder, width = v.builder, range(TILE_VECTORS)
        before = builder.block
        row_offsets = [builder.mul(a_row, _INT(row)) for row in range(rows)]
        first = [v.load(v.at(start, x * v.lanes)) for x in width]
        loop, done = builder.append_basic_block("k"), builder.append_basic_block("done")
        builder.branch(loop)

        builder.position_at_end(loop)
        # A phi is a variable of the loop: its value comes from `before` at first, then from the last round.
        left, a_now, b_now = builder.phi(_INT), builder.phi(a.type), builder.phi(b.type)
        sums = [builder.phi(v.type) for _ in range(rows) for _ in width]
        b_vectors = [v.load(v.at(b_now, x * v.lanes)) for x in width]
        new = []
        for row in range(rows):
            a_number = v.load_everywhere(v.at(a_now, row_offsets[row]))
            new += [builder.call(v.fma, [a_number, b_vectors[x], sums[row * TILE_VECTORS + x]]) for x in width]
        left_next = builder.sub(left, _INT(1))
        a_next, b_next = v.at(a_now, a_k), v.at(b_now, b_k)
        for variable, initial, following in zip(
            [left, a_now, b_now, *sums], [depth, a, b, *first * rows], [left_next, a_next, b_next, *new], strict=True
        ):
            variable.add_incoming(initial, before)
            variable.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed(">", left_next, _INT(0)), loop, done)

        builder.position_at_end(done)

        def places(pointer, row_length):
            starts = [v.at(pointer, builder.mul(row_length, _INT(row))) for row in range(rows)]
            return [v.at(first_place, x * v.lanes) for first_place in starts for x in width]

        with builder.if_else(nothing_to_add) as (overwrite, added):
            with overwrite:
                for value, place in zip(new, places(out, out_row), strict=True):
                    v.store(value, place)
            with added:
                for value, other, place in zip(new, places(add, add_row), places(out, out_row), strict=True):
                    v.store(builder.fadd(v.load(other), value), place)

    @intrinsic
    def micro_kernel(
        typing, rows, a, a_at, a_row, a_k, b, b_at, b_k, depth, start, start_at, add, add_at, add_row,
        out, out_at, out_row,
    ):  # fmt: skip
        """out[i, :] = add[i, :] + start + sum over k of a[i, k] * b[k, :]    for i < rows, k < depth, depth >= 1

        Every matrix is a place in a one-dimensional array: element i, k of a is a[a_at + i * a_row + k * a_k]. The rows
        of b, start, add and out have `width_of` neighbouring numbers. add_at = -1: nothing is added. add may be out.
        """

        def write(context, builder, signature, arguments):
            rows, a, a_at, a_row, a_k, b, b_at, b_k, depth, start, start_at, add, add_at, add_row, *target = arguments
            kind, (out, out_at, out_row) = signature.args[1], target
            v = _Vectors(context, builder, kind.dtype)
            operands = (
                rows, v.pointer(kind, a, a_at), a_row, a_k, v.pointer(kind, b, b_at), b_k, depth,
                v.pointer(kind, start, start_at),
                v.pointer(kind, add, add_at), add_row, builder.icmp_signed("<", add_at, _INT(0)),
                v.pointer(kind, out, out_at), out_row,
            )  # fmt: skip

            def body(inside, rows, *operands):
                end = inside.builder.append_basic_block("stored")
                switch = inside.builder.switch(rows, end)
                for height in range(1, TILE_ROWS + 1):
                    switch.add_case(_INT(height), inside.builder.append_basic_block(f"rows{height}"))
                    inside.builder.position_at_end(switch.cases[-1][1])
                    _write_tile(inside, height, *operands)
                    inside.builder.branch(end)
                inside.builder.position_at_end(end)

            v.call_once_written("micro_kernel", operands, body)
            return context.get_dummy_value()

        i = types.int64
        return types.void(i, a, i, i, i, a, i, i, i, a, i, a, i, i, a, i, i), write

    def _write_transpose(v, start, source_row, end, target_row):
        rows = [v.load(v.at(start, v.builder.mul(source_row, _INT(i)))) for i in range(v.lanes)]
        step = 1
        while step < v.lanes:
            # Swap bit `step` of the row number with the same bit of the lane number.
            low = [j if not j & step else v.lanes + j - step for j in range(v.lanes)]
            high = [j + step if not j & step else v.lanes + j for j in range(v.lanes)]
            for i in range(v.lanes):
                if not i & step:
                    x, y = rows[i], rows[i + step]
                    rows[i], rows[i + step] = v.shuffle(x, y, low), v.shuffle(x, y, high)
            step *= 2
        for j in range(v.lanes):
            v.store(rows[j], v.at(end, v.builder.mul(target_row, _INT(j))))

    @intrinsic
    def transpose_block(typing, source, source_at, source_row, target, target_at, target_row):
        """target[j, i] = source[i, j]    for i, j < lanes; places in one-dimensional arrays, and row strides"""

        def write(context, builder, signature, arguments):
            source, source_at, source_row, target, target_at, target_row = arguments
            kind = signature.args[0]
            v = _Vectors(context, builder, kind.dtype)
            operands = v.pointer(kind, source, source_at), source_row, v.pointer(kind, target, target_at), target_row
            v.call_once_written("transpose_block", operands, _write_transpose)
            return context.get_dummy_value()

        return types.void(source, types.int64, types.int64, source, types.int64, types.int64), write

    @intrinsic
    def copy_vector(typing, source, source_at, target, target_at):
        """target[j] = source[j] for j < lanes"""

        def write(context, builder, signature, arguments):
            source, source_at, target, target_at = arguments
            kind = signature.args[0]
            v = _Vectors(context, builder, kind.dtype)
            v.store(v.load(v.pointer(kind, source, source_at)), v.pointer(kind, target, target_at))
            return context.get_dummy_value()

        return types.void(source, types.int64, source, types.int64), write

    def _for_each_row(v, rows, pointers, steps, write_row):
        """Write a loop over the rows of a tile; write_row(pointers to the row) writes what is done to one."""
        builder = v.builder
        before, loop, done = builder.block, builder.append_basic_block("row"), builder.append_basic_block("rows_done")
        builder.branch(loop)
        builder.position_at_end(loop)
        left, now = builder.phi(_INT), [builder.phi(pointer.type) for pointer in pointers]
        write_row(now)
        left_next = builder.sub(left, _INT(1))
        following = [v.at(pointer, step) for pointer, step in zip(now, steps, strict=True)]
        for variable, initial, after in zip(
            [left, *now], [rows, *pointers], [left_next, *following], strict=True
        ):  # fmt: skip
            variable.add_incoming(initial, before)
            variable.add_incoming(after, loop)
        builder.cbranch(builder.icmp_signed(">", left_next, _INT(0)), loop, done)
        builder.position_at_end(done)

    @intrinsic
    def relu_tile(typing, rows, y, y_at, y_row):
        """y = max(y, 0) for a tile of rows >= 1 rows; NaN stays"""

        def write(context, builder, signature, arguments):
            rows, y, y_at, y_row = arguments
            v = _Vectors(context, builder, signature.args[1].dtype)
            zero = ir.Constant(v.type, [0.0] * v.lanes)

            def write_row(pointers):
                for place in (v.at(pointers[0], x * v.lanes) for x in range(TILE_VECTORS)):
                    number = v.load(place)
                    v.store(builder.select(builder.fcmp_ordered("<=", number, zero), zero, number), place)

            _for_each_row(v, rows, [v.pointer(signature.args[1], y, y_at)], [y_row], write_row)
            return context.get_dummy_value()

        return types.void(types.int64, y, types.int64, types.int64), write

    @intrinsic
    def scale_shift_tile(typing, rows, scale, shift, column, y, y_at, y_row):
        """y = scale * y + shift for a tile of rows >= 1 rows; scale and shift are read from `column` on"""

        def write(context, builder, signature, arguments):
            rows, scale, shift, column, y, y_at, y_row = arguments
            kind = signature.args[1]
            v = _Vectors(context, builder, kind.dtype)
            vectors = range(TILE_VECTORS)
            scales, shifts = (
                [v.load(v.at(v.pointer(kind, array, column), n * v.lanes)) for n in vectors] for array in (scale, shift)
            )

            def write_row(pointers):
                for n in vectors:
                    place = v.at(pointers[0], n * v.lanes)
                    v.store(builder.call(v.fma, [v.load(place), scales[n], shifts[n]]), place)

            _for_each_row(v, rows, [v.pointer(kind, y, y_at)], [y_row], write_row)
            return context.get_dummy_value()

        i = types.int64
        return types.void(i, scale, scale, i, y, i, i), write

    @intrinsic
    def maximum_of(typing, x, x_at, vectors):
        """The largest of vectors * lanes numbers from x_at on; vectors >= 1. NaN may be passed over.

        LLVM does not vectorise a running maximum: it would have to know that there is no NaN.
        """

        def write(context, builder, signature, arguments):
            x, x_at, vectors = arguments
            v = _Vectors(context, builder, signature.args[0].dtype)
            start = v.pointer(signature.args[0], x, x_at)
            before = builder.block
            loop, done = builder.append_basic_block("max"), builder.append_basic_block("max_done")
            first = v.load(start)
            builder.branch(loop)
            builder.position_at_end(loop)
            left, place, best = builder.phi(_INT), builder.phi(start.type), builder.phi(v.type)
            number = v.load(place)
            better = builder.select(builder.fcmp_ordered(">", number, best), number, best)
            left_next, place_next = builder.sub(left, _INT(1)), v.at(place, v.lanes)
            for variable, initial, following in (
                (left, vectors, left_next), (place, start, place_next), (best, first, better)
            ):  # fmt: skip
                variable.add_incoming(initial, before)
                variable.add_incoming(following, loop)
            builder.cbranch(builder.icmp_signed(">", left_next, _INT(0)), loop, done)
            builder.position_at_end(done)
            step = v.lanes // 2
            while step:  # the upper half against the lower half, until one number is left
                other = v.shuffle(better, better, [(j + step) % v.lanes for j in range(v.lanes)])
                better = builder.select(builder.fcmp_ordered(">", other, better), other, better)
                step //= 2
            return builder.extract_element(better, _INDEX(0))

        return x.dtype(x, types.int64, types.int64), write
