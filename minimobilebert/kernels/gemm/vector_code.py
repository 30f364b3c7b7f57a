"""How a kernel says "this number stays in that vector register": instructions in LLVM's language.

Python cannot say so, and Numba's compiler does not find it out by itself. LLVM, the compiler under Numba, can be told:
`intrinsic` lets a Python function write the LLVM instructions of a call instead of computing it. `VectorCode` writes
the ones that the kernels here need: load, store, multiply-add, shuffle, and loops over them.

    Python: VectorCode.load, .multiply_add   ->   LLVM: load <16 x float>, fma   ->   processor: vmovups, vfmadd

Only imported where there are vectors to write for (see tiles.py).
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .tiles import HAS_PAIRS, HAS_QUADS, VECTOR_BYTES

INT, INDEX = ir.IntType(64), ir.IntType(32)


class VectorCode:
    """Writes instructions on vectors of numbers of one type at the builder's position."""

    def __init__(self, context, builder, dtype):
        """dtype: Numba's float32, float64, uint32 for pairs (bfloat16.py), or int32 for quads and sums (quads.py)"""
        self.context, self.builder, self.dtype, self.item = context, builder, dtype, dtype.bitwidth // 8
        self.lanes = VECTOR_BYTES // self.item
        elements = {
            types.float32: ir.FloatType(),
            types.float64: ir.DoubleType(),
            types.uint32: INDEX,
            types.int32: INDEX,
        }
        self.element = elements[dtype]
        self.type = ir.VectorType(self.element, self.lanes)
        self.undefined = ir.Constant(self.type, ir.Undefined)

    def pointer_and_strides(self, array_type, array):
        """An array argument -> pointer to its first number, and for each axis the stride in numbers"""
        array = self.context.make_array(array_type)(self.context, self.builder, array)
        shift = INT(self.item.bit_length() - 1)
        strides = cgutils.unpack_tuple(self.builder, array.strides)
        return array.data, *(self.builder.ashr(stride, shift, flags=("exact",)) for stride in strides)

    def size(self, array_type, array, axis):
        """array.shape[axis]"""
        array = self.context.make_array(array_type)(self.context, self.builder, array)
        return cgutils.unpack_tuple(self.builder, array.shape)[axis]

    def at(self, pointer, elements):
        """The address `elements` numbers further on; elements: an LLVM value or a Python int"""
        return self.builder.gep(pointer, [INT(elements) if isinstance(elements, int) else elements])

    def load(self, pointer):
        """One vector; a row may start at any number."""
        value = self.builder.load(self.builder.bitcast(pointer, self.type.as_pointer()))
        value.align = self.item
        return value

    def everywhere(self, number):
        """A number in a register, copied to all lanes."""
        first = self.builder.insert_element(self.undefined, number, INDEX(0))
        return self.shuffle(first, self.undefined, [0] * self.lanes)

    def load_everywhere(self, pointer):
        """One number, copied to all lanes."""
        return self.everywhere(self.builder.load(pointer))

    def store(self, value, pointer):
        """One vector of numbers or words, to any number's address."""
        self.builder.store(value, self.builder.bitcast(pointer, value.type.as_pointer())).align = self.item

    def call(self, name, result, *operands):
        """Call one of LLVM's own functions; result: the type of what it returns"""
        # Declared as an ordinary function: llvmlite's declare_intrinsic cannot spell a vector type.
        function_type = ir.FunctionType(result, [operand.type for operand in operands])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, function_type, name), operands)

    def multiply_add(self, x, y, total):
        """x * y + total in every lane, rounded once."""
        return self.call(f"llvm.fma.v{self.lanes}f{8 * self.item}", self.type, x, y, total)

    def rounded(self, x):
        """A float32 vector -> words with the nearest bfloat16 in their lower halves (bfloat16.py, round_bits)"""
        builder, words = self.builder, ir.VectorType(INDEX, self.lanes)
        if HAS_PAIRS:
            halves = ir.VectorType(ir.IntType(16), self.lanes)
            return builder.zext(self.call("llvm.x86.avx512bf16.cvtneps2bf16.512", halves, x), words)

        def all_lanes(number):
            """The same word in all lanes"""
            return ir.Constant(words, [number] * self.lanes)

        bits = builder.bitcast(x, words)
        upper, magnitude = builder.lshr(bits, all_lanes(16)), builder.and_(bits, all_lanes(0x7FFFFFFF))
        half = builder.add(all_lanes(0x7FFF), builder.and_(upper, all_lanes(1)))
        nearest = builder.lshr(builder.add(bits, half), all_lanes(16))
        is_nan = builder.icmp_unsigned(">", magnitude, all_lanes(0x7F800000))
        nearest = builder.select(is_nan, builder.or_(upper, all_lanes(0x40)), nearest)
        is_denormal = builder.icmp_unsigned("<", magnitude, all_lanes(0x00800000))
        return builder.select(is_denormal, builder.and_(upper, all_lanes(0x8000)), nearest)

    def pairs(self, lower, upper):
        """Words with the bfloat16 nearest to two float32 vectors in their lower and upper halves"""
        sixteen = ir.Constant(ir.VectorType(INDEX, self.lanes), [16] * self.lanes)
        return self.builder.or_(self.rounded(lower), self.builder.shl(self.rounded(upper), sixteen))

    def multiply_add_pairs(self, a, b, total):
        """total plus the products of both bfloat16 of a word, the upper ones first; see micro_kernel.py"""
        words = ir.VectorType(INDEX, self.lanes)
        if HAS_PAIRS:  # LLVM knows it with vectors of bfloat16, too; llvmlite has no such type
            return self.call("llvm.x86.avx512bf16.dpbf16ps.512", self.type, total, a, b)
        upper_half, sixteen = (ir.Constant(words, [number] * self.lanes) for number in (0xFFFF0000, 16))
        uppers, lowers = (
            [self.builder.bitcast(half(word, by), self.type) for word in (a, b)]
            for half, by in ((self.builder.and_, upper_half), (self.builder.shl, sixteen))
        )
        for x, y in (uppers, lowers):
            total = self.flushed(self.multiply_add(x, y, total))
        return total

    def multiply_add_quads(self, a, b, total):
        """total plus the products of the four bytes of a word, those of a unsigned, those of b signed; see quads.py"""
        builder = self.builder
        if HAS_QUADS:
            return self.call(f"llvm.x86.avx512.vpdpbusd.{8 * VECTOR_BYTES}", self.type, total, a, b)
        halves, wide = (ir.VectorType(ir.IntType(bits), 2 * self.lanes) for bits in (16, 32))
        a, b = builder.bitcast(a, halves), builder.bitcast(b, halves)
        eight, lower = (ir.Constant(halves, [number] * 2 * self.lanes) for number in (8, 0xFF))
        unsigned = builder.and_(a, lower), builder.lshr(a, eight)
        signed = builder.ashr(builder.shl(b, eight), eight), builder.ashr(b, eight)
        for x, y in zip(unsigned, signed, strict=True):  # bytes 0 and 2 of each word, then 1 and 3
            products = builder.mul(builder.sext(x, wide), builder.sext(y, wide))
            undefined = ir.Constant(wide, ir.Undefined)
            for first in (0, 1):
                mask = ir.Constant(self.type, [INDEX(lane) for lane in range(first, 2 * self.lanes, 2)])
                total = builder.add(total, builder.shuffle_vector(products, undefined, mask))
        return total

    def flushed(self, x):
        """0 with the sign of x where x is below 2^-126, as the instruction has it"""
        words = ir.VectorType(INDEX, self.lanes)
        bits = self.builder.bitcast(x, words)
        exponent, sign, zero = (ir.Constant(words, [number] * self.lanes) for number in (0x7F800000, 0x80000000, 0))
        denormal = self.builder.icmp_unsigned("==", self.builder.and_(bits, exponent), zero)
        return self.builder.bitcast(self.builder.select(denormal, self.builder.and_(bits, sign), bits), self.type)

    def shuffle(self, x, y, lanes):
        """The vector of these lanes of x (0 ... lanes-1) and y (lanes ... 2*lanes-1)."""
        mask = ir.Constant(ir.VectorType(INDEX, self.lanes), [INDEX(lane) for lane in lanes])
        return self.builder.shuffle_vector(x, y, mask)

    def loop(self, rounds, variables, body):
        """Write `rounds` >= 1 rounds of body(variables now) -> their next values; -> their values after the last round

        A phi is a variable of a loop: it has its first value when control comes from before the loop, and the value of
        the last round when control comes from the loop itself.
        """
        builder = self.builder
        before, loop, done = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        rounds_left, now = builder.phi(INT), [builder.phi(variable.type) for variable in variables]
        following = body(now)
        one_less = builder.sub(rounds_left, INT(1))
        for phi, first, after in zip([rounds_left, *now], [rounds, *variables], [one_less, *following], strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(after, builder.block)
        builder.cbranch(builder.icmp_signed(">", one_less, INT(0)), loop, done)
        builder.position_at_end(done)
        return following

    def call_once_written(self, name, operands, body):
        """Call a function that is written once for all its callers: `body(code inside, *operands)` writes it.

        Code this long, copied into every caller and optimised anew there, would be half of the time to compile.
        """
        module, function_type = self.builder.module, ir.FunctionType(ir.VoidType(), [x.type for x in operands])
        function = cgutils.get_or_insert_function(module, function_type, f"minimobilebert_{name}_{self.dtype}")
        if function.is_declaration:
            function.linkage = "linkonce_odr"  # the copies of several modules become one
            function.attributes.add("noinline")
            builder = ir.IRBuilder(function.append_basic_block("entry"))
            body(VectorCode(self.context, builder, self.dtype), *function.args)
            builder.ret_void()
        self.builder.call(function, operands)
