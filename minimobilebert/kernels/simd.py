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

**Block transpose.** Packing w.T reads columns. Blocks of lanes x lanes numbers are loaded by rows and turned
inside the registers, log2(lanes) rounds of shuffles, about ten times faster than one number at a time.

A value is never multiplied by padding here: NaN and infinity reach exactly the outputs they belong to.
"""

import os
import platform
from typing import NamedTuple

from .jit import HAVE_NUMBA


class Tile(NamedTuple):
    vector_bytes: int  # size of one vector register
    rows: int  # R
    vectors: int  # V


TILES = {"avx512": Tile(64, 14, 2), "avx2": Tile(32, 6, 2), "neon": Tile(16, 8, 3)}


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
    if wanted and wanted not in (*TILES, "plain"):
        raise ValueError(f"MINIMOBILEBERT_SIMD: found {wanted!r}, expected one of {', '.join((*TILES, 'plain'))}")
    if not wanted:
        return SUPPORTED[0] if SUPPORTED else "plain"
    return wanted if wanted in SUPPORTED else "plain"


if not HAVE_NUMBA:
    array_at = carray = get_num_threads = multiply_tile = transpose_block = None
else:
    from llvmlite import ir
    from numba import carray, get_num_threads, types  # noqa: F401
    from numba.core import cgutils
    from numba.extending import intrinsic

    _INT, _INDEX = ir.IntType(64), ir.IntType(32)

    class _Vectors:
        """Writes instructions on vectors of `lanes` numbers of `dtype` where the builder stands."""

        def __init__(self, builder, dtype, lanes):
            self.builder, self.lanes, self.item = builder, lanes, dtype.bitwidth // 8
            self.element = ir.FloatType() if self.item == 4 else ir.DoubleType()
            self.type = ir.VectorType(self.element, lanes)
            self.undefined = ir.Constant(self.type, ir.Undefined)
            # Declared as an ordinary function: llvmlite's declare_intrinsic cannot spell a vector type.
            fma = ir.FunctionType(self.type, [self.type] * 3)
            self.fma = cgutils.get_or_insert_function(builder.module, fma, f"llvm.fma.v{lanes}f{dtype.bitwidth}")

        def pointer(self, address):
            return self.builder.inttoptr(address, self.element.as_pointer())

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

        def load_everywhere(self, pointer):
            """One number, copied to all lanes."""
            first = self.builder.insert_element(self.undefined, self.builder.load(pointer), _INDEX(0))
            return self.shuffle(first, self.undefined, [0] * self.lanes)

    def _for_each_path(builder, lanes, dtype, write):
        """Branch on the run-time number `lanes`; `write(vectors, tile)` writes the code of one width."""
        end = builder.append_basic_block("end")
        switch = builder.switch(lanes, end)
        for name in SUPPORTED:
            vectors = _Vectors(builder, dtype, TILES[name].vector_bytes * 8 // dtype.bitwidth)
            switch.add_case(_INT(vectors.lanes), builder.append_basic_block(name))
            builder.position_at_end(switch.cases[-1][1])
            write(vectors, TILES[name])
            builder.branch(end)
        builder.position_at_end(end)

    def _write_tile(v, tile, rows, a, a_row, a_k, b, b_k, depth, start, out, out_row, accumulate):
        """The tile of one height; see `multiply_tile` for the arguments."""
        builder, width = v.builder, range(tile.vectors)
        before = builder.block
        a, b, start, out = (v.pointer(address) for address in (a, b, start, out))
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
            new += [builder.call(v.fma, [a_number, b_vectors[x], sums[row * tile.vectors + x]]) for x in width]
        left_next = builder.sub(left, _INT(1))
        a_next, b_next = v.at(a_now, a_k), v.at(b_now, b_k)
        for variable, initial, following in zip(
            [left, a_now, b_now, *sums], [depth, a, b, *first * rows], [left_next, a_next, b_next, *new], strict=True
        ):
            variable.add_incoming(initial, before)
            variable.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed(">", left_next, _INT(0)), loop, done)

        builder.position_at_end(done)
        places = [v.at(v.at(out, builder.mul(out_row, _INT(row))), x * v.lanes) for row in range(rows) for x in width]
        with builder.if_else(builder.icmp_signed("!=", accumulate, _INT(0))) as (add, overwrite):
            with add:
                for value, place in zip(new, places, strict=True):
                    v.store(builder.fadd(v.load(place), value), place)
            with overwrite:
                for value, place in zip(new, places, strict=True):
                    v.store(value, place)

    @intrinsic
    def multiply_tile(typing, like, lanes, rows, a, a_row, a_k, b, b_k, depth, start, out, out_row, accumulate):
        """out[i, :] (+)= start + sum over k of a[i, k] * b[k, :]    for i < rows, k < depth, depth >= 1

        a, b, start, out are addresses; a_row, a_k, b_k, out_row strides in numbers; `like` an array of the dtype.
        The rows of b, start and out have V * lanes numbers. `accumulate` adds to out.
        """

        def write(context, builder, signature, arguments):
            _, lanes, rows, *operands = arguments

            def write_heights(vectors, tile):
                end = builder.append_basic_block("stored")
                switch = builder.switch(rows, end)
                for height in range(1, tile.rows + 1):
                    switch.add_case(_INT(height), builder.append_basic_block(f"rows{height}"))
                    builder.position_at_end(switch.cases[-1][1])
                    _write_tile(vectors, tile, height, *operands)
                    builder.branch(end)
                builder.position_at_end(end)

            _for_each_path(builder, lanes, signature.args[0].dtype, write_heights)
            return context.get_dummy_value()

        return types.void(like, *[types.int64] * 12), write

    @intrinsic
    def transpose_block(typing, like, lanes, source, source_row, target, target_row):
        """target[j, i] = source[i, j]    for i, j < lanes; addresses, and row strides in numbers"""

        def write(context, builder, signature, arguments):
            _, lanes, source, source_row, target, target_row = arguments

            def write_block(v, tile):
                start, end = v.pointer(source), v.pointer(target)
                rows = [v.load(v.at(start, builder.mul(source_row, _INT(i)))) for i in range(v.lanes)]
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
                    v.store(rows[j], v.at(end, builder.mul(target_row, _INT(j))))

            _for_each_path(builder, lanes, signature.args[0].dtype, write_block)
            return context.get_dummy_value()

        return types.void(like, *[types.int64] * 5), write

    @intrinsic
    def array_at(typing, address, like):
        """The numbers from this address on, as a pointer of the dtype of `like`."""

        def write(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(like.dtype)(types.int64, like), write
