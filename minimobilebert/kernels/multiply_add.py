"""a * b + c with one rounding, on every processor.

    a * b + c      round(a * b + c)             with FMA: one rounding
                   round(round(a * b) + c)      without: two

A processor with FMA instructions can round a * b + c once. A compiler that is allowed to use them (`contract`) decides
expression by expression, and not alike for every processor. So the kernels never allow it. Where one rounding is wanted
they say so, with this function; everywhere else a product is rounded before it is added.

A processor without FMA instructions (x86-64 before AVX2) rounds twice here: it computes what others do up to rounding.
Arm's 64-bit processors all have them.
"""

from .runtime.jit import HAVE_NUMBA, jit_inline

if not HAVE_NUMBA:

    @jit_inline
    def multiply_add(a, b, c):
        """a * b + c"""
        return a * b + c

else:
    import platform

    from llvmlite import ir
    from numba.core import cgutils, codegen, config
    from numba.extending import intrinsic

    def _in_python(a, b, c):
        """Two roundings: what `in_python` (teaching/counting.py) calls instead"""
        return a * b + c

    def _has_fma():
        """Whether the processor that Numba compiles for has the instruction; the user may have chosen an older one."""
        if platform.machine().lower() in ("arm64", "aarch64"):
            return True
        features = codegen.get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
        return "+fma" in features.split(",")

    HAVE_FMA = _has_fma()

    @intrinsic
    def multiply_add(typing, a, b, c):
        """a * b + c, float32 or float64, all of one type"""

        def write(context, builder, signature, arguments):
            """The instructions of one call."""
            if not HAVE_FMA:
                a, b, c = arguments
                return builder.fadd(builder.fmul(a, b), c)
            number = arguments[0].type
            function = ir.FunctionType(number, [number] * 3)
            name = f"llvm.fma.f{signature.return_type.bitwidth}"
            return builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)

        return (a(a, a, a), write) if a == b == c else None

    multiply_add.py_func = _in_python
