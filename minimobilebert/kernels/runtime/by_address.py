"""Long kernels that are compiled once and called by their address.

Numba puts a copy of every compiled function into each kernel that calls it and optimises the copy anew; a parallel
kernel is optimised three times. That is right for short functions. One with a register tile (gemm/micro_kernel.py) is
thousands of instructions long, and its copies took a third of the time to compile everything. So such a function is a
unit of its own: a kernel gets its address, a number, from Python, and calls the function there. It
returns nothing and must not raise: nobody would see it.

    @by_address("int numbers")            # the kinds of its arguments, see KINDS
    def fill(first, out): ...

    @jit_parallel
    def kernel(fill_at, out):             # in kernels: the address first, then the arguments
        for i in prange(2):
            fill(fill_at, i, out)

    kernel(fill.address(out.dtype), out)  # in Python: the one for float32 or float64

Arguments that belong together travel as a named tuple, whose class says of what kinds its fields are:

    @passed_as("pair", "int numbers")     # a new word for `by_address`
    class Pair(NamedTuple): ...

Without Numba a unit's address is the Python function itself.
"""

import functools

from .jit import HAVE_NUMBA, jit

if not HAVE_NUMBA:

    def passed_as(word, kinds):
        """The decorator of a named tuple, where kernels stay plain Python."""
        return lambda tuple_class: tuple_class

    def by_address(kinds):
        """The decorator, where kernels stay plain Python."""

        def decorate(function):
            """function -> what calls it at an address"""

            def call(address, *arguments):
                """The address is the function."""
                return address(*arguments)

            call.address = lambda dtype, operand=None: function
            return call

        return decorate

else:
    import numpy as np
    from numba import from_dtype, types
    from numba.core import cgutils
    from numba.extending import intrinsic

    # What an argument may be; number: the unit's own type, float32 or float64; operand: the same, or words in place of
    # float32 (gemm/bfloat16.py). "matrix", "operand_matrix" and "operand_panels" may have any strides, the others are
    # contiguous.
    NUMBERS = ("numbers", "matrix", "sequences")
    KINDS = {
        "int": lambda number, operand: types.int64,
        "int2": lambda number, operand: types.UniTuple(types.int64, 2),
        "int4": lambda number, operand: types.UniTuple(types.int64, 4),
        "int5": lambda number, operand: types.UniTuple(types.int64, 5),
        "number": lambda number, operand: number,
        "numbers": lambda number, operand: number[::1],
        "matrix": lambda number, operand: number[:, :],
        "operands": lambda number, operand: operand[::1],
        "operand_matrix": lambda number, operand: operand[:, :],
        "operand_panels": lambda number, operand: operand[:, :, :],
        "sequences": lambda number, operand: number[:, :, ::1],
        "squares": lambda number, operand: number[:, :, ::1],
        "bools": lambda number, operand: types.boolean[::1],
        "mask": lambda number, operand: types.boolean[:, ::1],
        "table": lambda number, operand: types.int64[:, :, ::1],
        "integers": lambda number, operand: types.int32[::1],
        "integer_matrix": lambda number, operand: types.int32[:, :],
        "integer_panels": lambda number, operand: types.int32[:, :, :],
    }

    _FIELDS = {}  # word of a named tuple -> the words of its fields

    def _arrays(kinds, given):
        """Yields (word, type) of every argument, with the fields of named tuples in their place."""
        for kind, x in zip(kinds, given, strict=True):
            yield from _arrays(_FIELDS[kind], x) if kind in _FIELDS else [(kind, x)]

    def passed_as(word, kinds):
        """The decorator of a named tuple: by_address's `word` for it, and the words of its fields."""

        def decorate(tuple_class):
            """class -> the same class, after `word` was entered in KINDS"""
            _FIELDS[word] = kinds.split()
            KINDS[word] = lambda number, operand: types.BaseTuple.from_types(
                [KINDS[kind](number, operand) for kind in kinds.split()], tuple_class
            )
            return tuple_class

        return decorate

    def by_address(kinds):
        """The decorator; kinds: a word of KINDS for each argument, with blanks between them."""
        kinds = kinds.split()

        def argument_types(number, operand):
            """float32 or float64, and what products read, as Numba's types -> the types of all arguments"""
            return tuple(KINDS[kind](number, operand) for kind in kinds)

        def decorate(function):
            """function -> what calls it at an address, with `address(dtype)`"""
            dispatcher = jit(function)

            @intrinsic
            def call(typing, address, *given):
                """Written into the kernel: casts the arguments, calls; TypeError for an array of another form"""
                number = next(x.dtype for kind, x in _arrays(kinds, given) if kind in NUMBERS)
                operands = (x.dtype for kind, x in _arrays(kinds, given) if kind.startswith("operand"))
                wanted = argument_types(number, next(operands, number))
                for position, (x, y) in enumerate(zip(given, wanted, strict=True)):
                    if isinstance(y, types.Array) and (x.dtype, x.ndim, x.layout) != (y.dtype, y.ndim, y.layout):
                        raise TypeError(f"{function.__name__}, argument {position}: found {x}, expected {y}")

                def write(context, builder, signature, values):
                    """The instructions of one call."""
                    target, packed = values
                    passed = [
                        value if isinstance(y, types.Array) else context.cast(builder, value, x, y)
                        for value, x, y in zip(cgutils.unpack_tuple(builder, packed), given, wanted, strict=True)
                    ]
                    convention = context.call_conv
                    function_type = convention.get_function_type(types.none, wanted)
                    target = builder.inttoptr(target, function_type.as_pointer())
                    convention.call_function(builder, target, types.none, wanted, passed)
                    return context.get_dummy_value()

                return types.void(types.int64, types.StarArgTuple(given)), write

            @functools.cache
            def address(dtype, operand=None):
                """Where the function for arrays of this type begins; compiled, or read from disk, at the first call.

                operand: the dtype of what products read, where it is not dtype
                """
                wanted = argument_types(*(from_dtype(np.dtype(x)) for x in (dtype, operand or dtype)))
                dispatcher.compile(wanted)
                compiled = dispatcher.overloads[wanted]
                return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)

            call.address = address
            return call

        return decorate
