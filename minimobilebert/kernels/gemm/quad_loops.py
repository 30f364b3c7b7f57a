"""Short loops of products in 8 bits that must be vector instructions: largest magnitude, quantise, dequantise.

    x [lanes] float32  ->  x * 127 / max |x|  ->  nearest integers, ties to even  ->  bytes + 128  ->  lanes / 4 words
    sums [NR] int32    ->  float32  ->  times the scales of column and row  ->  + bias + addend  ->  epilogue  ->  y

quads.py says what the words are for. Epilogues (epilogue.py) of one instruction are done here, while a row is in
registers.
"""

import numpy as np

from ..activation_scalars import relu_scalar
from ..multiply_add import multiply_add
from ..runtime.jit import jit, jit_inline
from .epilogue import NOTHING, RELU, SCALE_SHIFT
from .tiles import PATH, TILE_VECTORS

_OFFSET = 128


@jit_inline
def is_done_in_registers(kind):
    """Whether `dequantize_row` does this epilogue."""
    return kind in (NOTHING, RELU, SCALE_SHIFT)


@jit
def dequantize_numbers(sums, a_scale, scales, bias, addend, out):
    """`dequantize_row` for any number of columns, one number at a time, without an epilogue."""
    for j in range(out.size):
        y = np.float32(sums[j]) * scales[j] * a_scale
        if bias.size > 0:
            y += bias[j]
        out[j] = y + addend[j] if addend.size > 0 else y


if PATH == "plain":

    @jit_inline
    def _larger(x, y):
        """The larger one; NaN if one of them is NaN"""
        return x if x > y or x != x else y

    @jit
    def largest_magnitude(x, rest):
        """The maximum without vector instructions."""
        largest = np.float32(0.0)
        for k in range(x.size):
            largest = _larger(abs(x[k]), largest)
        for k in range(rest.size):
            largest = _larger(abs(rest[k]), largest)
        return largest

    @jit
    def quantize_vector(x, inverse, words):
        """The rounding without vector instructions."""
        for k in range(words.size):
            word = np.uint32(0)
            for byte in range(4):
                q = np.uint32(np.int32(np.rint(x[4 * k + byte] * inverse)) + np.int32(_OFFSET))
                word |= np.uint32(q << np.uint32(8 * byte))
            words[k] = np.int32(word)

    @jit
    def dequantize_row(sums, a_scale, scales, bias, addend, kind, scale, shift, out):
        """The row without vector instructions."""
        dequantize_numbers(sums, a_scale, scales, bias, addend, out)
        for j in range(out.size):
            if kind == RELU:
                out[j] = relu_scalar(out[j], out)
            elif kind == SCALE_SHIFT:
                out[j] = multiply_add(out[j], scale[j], shift[j])

else:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    from .vector_code import INDEX, INT, VectorCode

    @intrinsic
    def largest_magnitude(typing, x, rest):
        """The largest |x| of x [N], N a multiple of the lanes, and rest [lanes]; NaN if one of the numbers is NaN"""

        def write(context, builder, signature, arguments):
            """The instructions of one call."""
            code = VectorCode(context, builder, signature.args[0].dtype)
            (start, _), (rest, _) = (
                code.pointer_and_strides(*pair) for pair in zip(signature.args, arguments, strict=True)
            )

            # As integers, magnitudes are in the order of their numbers, infinity above them and NaN above that.
            bits_of_number = 8 * code.item
            integers = ir.VectorType(ir.IntType(bits_of_number), code.lanes)
            magnitude = ir.Constant(integers, [2 ** (bits_of_number - 1) - 1] * code.lanes)

            def bits(pointer):
                """|x| as an integer in every lane"""
                return builder.and_(builder.bitcast(code.load(pointer), integers), magnitude)

            def larger(x, y):
                """max(x, y) in every lane"""
                return builder.select(builder.icmp_signed(">", x, y), x, y)

            def step(variables):
                """One vector against the largest so far."""
                address, best = variables
                return [code.at(address, code.lanes), larger(bits(address), best)]

            best = cgutils.alloca_once_value(builder, bits(rest))
            vectors = builder.sdiv(code.size(signature.args[0], arguments[0], 0), INT(code.lanes))
            with builder.if_then(builder.icmp_signed(">", vectors, INT(0))):
                _, found = code.loop(vectors, [start, builder.load(best)], step)
                builder.store(found, best)
            best, half = builder.load(best), code.lanes // 2
            undefined = ir.Constant(integers, ir.Undefined)
            while half:
                lanes = [INDEX((j + half) % code.lanes) for j in range(code.lanes)]
                lanes = ir.Constant(ir.VectorType(INDEX, code.lanes), lanes)
                best = larger(builder.shuffle_vector(best, undefined, lanes), best)
                half //= 2
            return builder.bitcast(builder.extract_element(best, INDEX(0)), code.element)

        return x.dtype(x, rest), write

    @intrinsic
    def quantize_vector(typing, x, inverse, words):
        """words [lanes / 4] = the bytes round(x inverse) + 128; x [lanes], x inverse from -127 to 127"""

        def write(context, builder, signature, arguments):
            """The instructions of one call."""
            code = VectorCode(context, builder, signature.args[0].dtype)
            source, *_ = code.pointer_and_strides(signature.args[0], arguments[0])
            target = context.make_array(signature.args[2])(context, builder, arguments[2]).data
            integers, whole = (ir.VectorType(ir.IntType(bits), code.lanes) for bits in (8 * code.item, 8))
            scaled = builder.fmul(code.load(source), code.everywhere(arguments[1]))
            nearest = code.call(f"llvm.rint.v{code.lanes}f{8 * code.item}", code.type, scaled)
            offset = ir.Constant(integers, [_OFFSET] * code.lanes)
            found = builder.trunc(builder.add(builder.fptosi(nearest, integers), offset), whole)
            code.store(found, target)
            return context.get_dummy_value()

        return types.void(x, inverse, words), write

    @intrinsic
    def dequantize_row(typing, sums, a_scale, scales, bias, addend, kind, scale, shift, out):
        """out [NR] = epilogue(sums * scales * a_scale + bias + addend)

        bias and addend [NR] or [0], which adds nothing; kind: of the epilogue; scale, shift [NR] for SCALE_SHIFT
        """

        def write(context, builder, signature, arguments):
            """The instructions of one call."""
            code = VectorCode(context, builder, signature.args[8].dtype)
            whole = VectorCode(context, builder, signature.args[0].dtype)
            sums, _ = whole.pointer_and_strides(signature.args[0], arguments[0])
            (scales, _), (bias, _), (addend, _), (scale, _), (shift, _), (out, _) = (
                code.pointer_and_strides(signature.args[n], arguments[n]) for n in (2, 3, 4, 6, 7, 8)
            )
            a_scale, zero = code.everywhere(arguments[1]), ir.Constant(code.type, [0.0] * code.lanes)

            def vector(pointer, n):
                """Vector n of a row"""
                return code.load(code.at(pointer, n * code.lanes))

            def changed_if(condition, values, change):
                """change(y, n) of each vector where the condition holds, the vectors as they are where not"""
                before = builder.block
                with builder.if_then(condition):
                    changed = [change(y, n) for n, y in enumerate(values)]
                    inside = builder.block
                chosen = []
                for old, new in zip(values, changed, strict=True):
                    phi = builder.phi(code.type)
                    phi.add_incoming(old, before)
                    phi.add_incoming(new, inside)
                    chosen.append(phi)
                return chosen

            def has(argument):
                """Whether an array has numbers"""
                return builder.icmp_signed(">", code.size(signature.args[argument], arguments[argument], 0), INT(0))

            def is_kind(kind):
                """Whether the epilogue is of this kind"""
                return builder.icmp_signed("==", arguments[5], ir.Constant(arguments[5].type, kind))

            values = []
            for n in range(TILE_VECTORS):
                y = builder.sitofp(whole.load(whole.at(sums, n * code.lanes)), code.type)
                values.append(builder.fmul(builder.fmul(y, vector(scales, n)), a_scale))
            values = changed_if(has(3), values, lambda y, n: builder.fadd(y, vector(bias, n)))
            values = changed_if(has(4), values, lambda y, n: builder.fadd(y, vector(addend, n)))
            values = changed_if(
                is_kind(RELU), values, lambda y, n: builder.select(builder.fcmp_ordered("<=", y, zero), zero, y)
            )
            values = changed_if(
                is_kind(SCALE_SHIFT), values, lambda y, n: code.multiply_add(y, vector(scale, n), vector(shift, n))
            )
            for n, y in enumerate(values):
                code.store(y, code.at(out, n * code.lanes))
            return context.get_dummy_value()

        return types.void(sums, a_scale, scales, bias, addend, kind, scale, shift, out), write
