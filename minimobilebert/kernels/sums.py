"""Sums along a row, in one order on every processor.

Adding floats in another order rounds differently. A compiler that may choose the order takes one that fits the vector
registers, so it differs from processor to processor. Here the order is written down (numbers for float32; for float64
half as many):

    1. 64 partial sums, in groups of 16: number j of the row goes to partial sum j mod 64
    2. one tree: partial sum i += partial sum i + 32, then i + 16, i + 8, i + 4, i + 2, i + 1
    3. the numbers behind the last whole group of 16, one by one

    x   | group 0 | group 1 | group 2 | group 3 | group 4 | ...            16 float32 each
             |         |         |         |         |
    sums     0 ...15  16 ...31  32 ...47  48 ...63   0 ...15  again, in registers   ->  tree  ->  one number

A group is one AVX-512 register, two AVX2 or four NEON registers: the compiler spreads it, and the additions stay the
same. Four groups at a time, because an addition takes four clocks and a core starts one or two in each.
`dot_of` adds products, each with one rounding (see multiply_add.py).
"""

from .multiply_add import multiply_add
from .runtime.jit import HAVE_NUMBA, jit

GROUP_BYTES, GROUPS = 64, 4  # of the partial sums

if not HAVE_NUMBA:

    def sum_of(x):
        """sum of x [N]"""
        return x.sum()

    def dot_of(x, y):
        """sum of x * y [N]"""
        return (x * y).sum()

    def sum_and_dot_of(x, y):
        """sum of x, sum of x * y; [N]"""
        return x.sum(), (x * y).sum()

else:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    from .gemm.tiles import item_bytes
    from .multiply_add import HAVE_FMA

    _INT, _INDEX = ir.IntType(64), ir.IntType(32)

    class _PartialSums:
        """Writes instructions on one group of partial sums, 64 bytes wide whatever the processor has."""

        def __init__(self, context, builder, array_type):
            self.context, self.builder, self.array_type = context, builder, array_type
            self.bits = array_type.dtype.bitwidth
            self.lanes = GROUP_BYTES * 8 // self.bits
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
            function_type = ir.FunctionType(self.type, [self.type] * 3)
            name = f"llvm.fma.v{self.lanes}f{self.bits}"
            return self.builder.call(
                cgutils.get_or_insert_function(self.builder.module, function_type, name), [x, y, total]
            )

        def tree(self, total):
            """Step 2: the upper half onto the lower half, until one number is left."""
            step = self.lanes // 2
            while step:
                lanes = [_INDEX((j + step) % self.lanes) for j in range(self.lanes)]
                upper = self.builder.shuffle_vector(total, total, ir.Constant(ir.VectorType(_INDEX, self.lanes), lanes))
                total = self.builder.fadd(total, upper)
                step //= 2
            return self.builder.extract_element(total, _INDEX(0))

    def _write_sums(v, pointers, groups, adds):
        """Steps 1 and 2 of one sum for each of `adds`, in one pass -> their values

        pointers: where each operand starts; an add: (loaded groups of all operands, partial sums) -> partial sums
        """
        builder, zeros = v.builder, [ir.Constant(v.type, [0.0] * v.lanes)] * (GROUPS * len(adds))

        def add_group(totals, starts, group):
            """The sums of one group of lanes after the vectors at `starts`"""
            loaded = [v.load(builder.gep(start, [_INT(group * v.lanes)])) for start in starts]
            return [add(loaded, totals[group * len(adds) + n]) for n, add in enumerate(adds)]

        def phis(alike):
            """A variable of the loop for each of these values"""
            return [builder.phi(value.type) for value in alike]

        def joined(variables, *ways):
            """Each variable has its value from the block that control came from."""
            for block, values in ways:
                for variable, value in zip(variables, values, strict=True):
                    variable.add_incoming(value, block)

        # Four groups at a time ...
        before, loop, rest = builder.block, builder.append_basic_block("sum"), builder.append_basic_block("rest")
        rounds, left = builder.sdiv(groups, _INT(GROUPS)), builder.srem(groups, _INT(GROUPS))
        builder.cbranch(builder.icmp_signed(">", rounds, _INT(0)), loop, rest)
        builder.position_at_end(loop)
        to_do, now, totals = builder.phi(_INT), phis(pointers), phis(zeros)
        new = [total for group in range(GROUPS) for total in add_group(totals, now, group)]
        to_do_next = builder.sub(to_do, _INT(1))
        now_next = [builder.gep(pointer, [_INT(GROUPS * v.lanes)]) for pointer in now]
        joined([to_do, *now, *totals], (before, [rounds, *pointers, *zeros]), (loop, [to_do_next, *now_next, *new]))
        builder.cbranch(builder.icmp_signed(">", to_do_next, _INT(0)), loop, rest)
        # ... and up to three more.
        builder.position_at_end(rest)
        now, totals = phis(pointers), phis(zeros)
        joined([*now, *totals], (before, [*pointers, *zeros]), (loop, [*now_next, *new]))
        for group in range(GROUPS - 1):
            before, one_more = builder.block, builder.append_basic_block("one_more")
            after, group_slice = builder.append_basic_block("after"), slice(group * len(adds), (group + 1) * len(adds))
            builder.cbranch(builder.icmp_signed(">", left, _INT(group)), one_more, after)
            builder.position_at_end(one_more)
            new = add_group(totals, now, group)
            builder.branch(after)
            builder.position_at_end(after)
            either = phis(new)
            joined(either, (before, totals[group_slice]), (one_more, new))
            totals[group_slice] = either
        results = []
        for n in range(len(adds)):
            a, b, c, d = totals[n :: len(adds)]
            results.append(v.tree(builder.fadd(builder.fadd(a, c), builder.fadd(b, d))))
        return results

    def _adds(v):
        return {
            "sum": lambda loaded, total: v.builder.fadd(total, loaded[0]),
            "dot": lambda loaded, total: v.multiply_add(*loaded, total),
        }

    def _writer(*names):
        """The body of an intrinsic (arrays ..., groups) -> the named sums, a tuple where there are several"""

        def write(context, builder, signature, arguments):
            """The instructions of one call."""
            v = _PartialSums(context, builder, signature.args[0])
            pointers = [v.start_of(array) for array in arguments[:-1]]
            sums = _write_sums(v, pointers, arguments[-1], [_adds(v)[name] for name in names])
            return sums[0] if len(sums) == 1 else context.make_tuple(builder, signature.return_type, sums)

        return write

    @intrinsic
    def _sum_groups(typing, x, groups):
        """Steps 1 and 2 for the first `groups` groups of x."""
        return x.dtype(x, types.int64), _writer("sum")

    @intrinsic
    def _dot_groups(typing, x, y, groups):
        """The same for products of x and y."""
        return x.dtype(x, y, types.int64), _writer("dot")

    @intrinsic
    def _sum_and_dot_groups(typing, x, y, groups):
        """Both in one pass."""
        return types.UniTuple(x.dtype, 2)(x, y, types.int64), _writer("sum", "dot")

    @jit
    def sum_of(x):
        """sum of x [N], contiguous"""
        lanes = GROUP_BYTES // item_bytes(x)
        groups = x.size // lanes
        total = _sum_groups(x, groups)
        for j in range(groups * lanes, x.size):
            total += x[j]
        return total

    @jit
    def dot_of(x, y):
        """sum of x * y [N], both contiguous"""
        lanes = GROUP_BYTES // item_bytes(x)
        groups = x.size // lanes
        total = _dot_groups(x, y, groups)
        for j in range(groups * lanes, x.size):
            total = multiply_add(x[j], y[j], total)
        return total

    @jit
    def sum_and_dot_of(x, y):
        """sum of x, sum of x * y; [N], both contiguous; the numbers that sum_of and dot_of give, in one pass"""
        lanes = GROUP_BYTES // item_bytes(x)
        groups = x.size // lanes
        total, products = _sum_and_dot_groups(x, y, groups)
        for j in range(groups * lanes, x.size):
            total += x[j]
            products = multiply_add(x[j], y[j], products)
        return total, products
