"""Sums along a row, in one order on every processor.

Adding floats in another order rounds differently. A compiler that may choose the order takes one that fits the vector
registers, so it differs from processor to processor. Here the order is written down:

    1. 16 float32 (8 float64) partial sums: number j of the row goes to partial sum j mod 16
    2. one tree: partial sum i += partial sum i + 8, then i + 4, i + 2, i + 1
    3. the numbers behind the last whole group of 16, one by one

64 bytes of partial sums are one AVX-512 register, two AVX2 or four NEON registers: the compiler spreads them, and the
additions stay the same. `dot_of` adds products, each with one rounding (see multiply_add.py).
"""

from .jit import HAVE_NUMBA, jit
from .multiply_add import multiply_add

LANE_BYTES = 64  # of the partial sums

if not HAVE_NUMBA:

    def sum_of(x):
        """sum of x [N]"""
        return x.sum()

    def dot_of(x, y):
        """sum of x * y [N]"""
        return (x * y).sum()

else:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    from .multiply_add import HAVE_FMA
    from .simd import item_bytes

    _INT, _INDEX = ir.IntType(64), ir.IntType(32)

    class _PartialSums:
        """Writes instructions on one vector of partial sums, 64 bytes wide whatever the processor has."""

        def __init__(self, context, builder, array_type):
            self.context, self.builder, self.array_type = context, builder, array_type
            self.bits = array_type.dtype.bitwidth
            self.lanes = LANE_BYTES * 8 // self.bits
            element = ir.FloatType() if self.bits == 32 else ir.DoubleType()
            self.type = ir.VectorType(element, self.lanes)

        def start_of(self, array):
            """Pointer to the first number of an array."""
            return self.context.make_array(self.array_type)(self.context, self.builder, array).data

        def load(self, pointer):
            """One vector from anywhere."""
            value = self.builder.load(self.builder.bitcast(pointer, self.type.as_pointer()))
            value.align = self.bits // 8
            return value

        def multiply_add(self, x, y, total):
            """x * y + total in every lane."""
            if not HAVE_FMA:
                return self.builder.fadd(self.builder.fmul(x, y), total)
            kind = ir.FunctionType(self.type, [self.type] * 3)
            name = f"llvm.fma.v{self.lanes}f{self.bits}"
            return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), [x, y, total])

        def tree(self, total):
            """Step 2: the upper half onto the lower half, until one number is left."""
            step = self.lanes // 2
            while step:
                lanes = [_INDEX((j + step) % self.lanes) for j in range(self.lanes)]
                upper = self.builder.shuffle_vector(total, total, ir.Constant(ir.VectorType(_INDEX, self.lanes), lanes))
                total = self.builder.fadd(total, upper)
                step //= 2
            return self.builder.extract_element(total, _INDEX(0))

    def _write_sum(v, pointers, vectors, add):
        """Steps 1 and 2; pointers: where each operand starts; add(loaded vectors, total) -> the new total"""
        builder = v.builder
        before, loop, done = builder.block, builder.append_basic_block("sum"), builder.append_basic_block("sum_done")
        zero = ir.Constant(v.type, [0.0] * v.lanes)
        builder.cbranch(builder.icmp_signed(">", vectors, _INT(0)), loop, done)
        builder.position_at_end(loop)
        left, total = builder.phi(_INT), builder.phi(v.type)
        now = [builder.phi(pointer.type) for pointer in pointers]
        new = add([v.load(pointer) for pointer in now], total)
        left_next = builder.sub(left, _INT(1))
        for variable, initial, following in zip(
            [left, total, *now], [vectors, zero, *pointers],
            [left_next, new, *(builder.gep(pointer, [_INT(v.lanes)]) for pointer in now)], strict=True,
        ):  # fmt: skip
            variable.add_incoming(initial, before)
            variable.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed(">", left_next, _INT(0)), loop, done)
        builder.position_at_end(done)
        result = builder.phi(v.type)
        result.add_incoming(zero, before)
        result.add_incoming(new, loop)
        return v.tree(result)

    @intrinsic
    def _sum_vectors(typing, x, vectors):
        """Steps 1 and 2 for the first `vectors` groups of x."""

        def write(context, builder, signature, arguments):
            v = _PartialSums(context, builder, signature.args[0])
            pointers = [v.start_of(arguments[0])]
            return _write_sum(v, pointers, arguments[1], lambda loaded, total: builder.fadd(total, loaded[0]))

        return x.dtype(x, types.int64), write

    @intrinsic
    def _dot_vectors(typing, x, y, vectors):
        """The same for products of x and y."""

        def write(context, builder, signature, arguments):
            v = _PartialSums(context, builder, signature.args[0])
            pointers = [v.start_of(array) for array in arguments[:2]]
            return _write_sum(v, pointers, arguments[2], lambda loaded, total: v.multiply_add(*loaded, total))

        return x.dtype(x, y, types.int64), write

    @jit
    def sum_of(x):
        """sum of x [N], contiguous"""
        lanes = LANE_BYTES // item_bytes(x)
        groups = x.size // lanes
        total = _sum_vectors(x, groups)
        for j in range(groups * lanes, x.size):
            total += x[j]
        return total

    @jit
    def dot_of(x, y):
        """sum of x * y [N], both contiguous"""
        lanes = LANE_BYTES // item_bytes(x)
        groups = x.size // lanes
        total = _dot_vectors(x, y, groups)
        for j in range(groups * lanes, x.size):
            total = multiply_add(x[j], y[j], total)
        return total
