"""One name for a function that is written several times, once for each kind of operand.

    float32, float64   numbers
    uint32             words: pairs of bfloat16                 gemm/bfloat16.py
    int32              quads: four integers of 8 bits           gemm/quads.py

The last argument, an array, decides:

    pack = by_kind(numbers=pack_panel, words=pack_panel_in_pairs)
    pack(b, panel)

An `if` on the type would compute the same, but Numba compiles what stands behind both of its branches before it drops
one. So whoever trains in float32 would wait for the compilation of functions that only bfloat16 runs.
"""

import numpy as np

from .jit import HAVE_NUMBA

KINDS = {"float32": "numbers", "float64": "numbers", "uint32": "words", "int32": "quads"}


def by_kind(**functions):
    """functions: {"numbers", "words" or "quads": compiled function}, all with the same arguments -> the function that
    calls one of them; KeyError for a kind that is not given"""

    def run(*arguments):
        """Where kernels stay plain Python."""
        return functions[KINDS[np.dtype(arguments[-1].dtype).name]](*arguments)

    run.of_kinds = functions
    if HAVE_NUMBA:
        from numba.extending import overload

        @overload(run, jit_options={"error_model": "numpy", "fastmath": False, "forceinline": True})
        def chosen(*arguments):
            """The one that Numba compiles."""
            function = functions[KINDS[arguments[-1].dtype.name]]
            return lambda *arguments: function(*arguments)

    return run
