"""The one place where kernels get their compile flags; their disk cache is in cache.py, their threads in threads.py.

Rules that hold for every kernel, and why:

* No fast-math at all. `nnan` would let LLVM delete NaN checks. `reassoc` (sum in another order) and `contract`
  (a*b+c with one rounding) let it choose, and it chooses by processor: the same seed would not give the same bits on
  another one. Kernels say which order they want (sums.py) and where one rounding is wanted (multiply_add.py).
* Every decorator says so, because a function that says nothing inherits the flags of the kernel that happens to call
  it first.
* `@jit_inline` is for small functions of one number that other kernels call in their loops.
* Nothing is compiled at import: Numba compiles a kernel at its first call, and cache.py keeps it on disk.
* Inside `prange` no two iterations write to the same place.
"""

import os

if os.environ.get("MINIMOBILEBERT_BACKEND") == "numpy":
    # The NumPy back end must work where Numba cannot be installed: kernels stay plain Python here.
    HAVE_NUMBA = False
    prange = range

    def jit(function):
        """The function as it is."""
        return function

    def jit_parallel(function):
        """The function as it is: its prange is a range."""
        return function

    jit_inline = jit

    def serial(kernel):
        """The kernel as it is."""
        return kernel

    def set_threads(threads):
        """Nothing to set: NumPy's library has threads of its own."""

    def get_num_threads():
        """One."""
        return 1

else:
    import numba
    from numba import prange  # noqa: F401  (kernels import it from here)

    from .cache import KernelCache
    from .threads import get_num_threads, launched, set_threads  # noqa: F401

    # False too where NUMBA_DISABLE_JIT=1 runs every kernel as plain Python, for debugging.
    HAVE_NUMBA = not numba.config.DISABLE_JIT

    def _compiled(function, **options):
        """function -> compiled at its first call for each kind of arguments, and kept on disk"""
        dispatcher = numba.njit(error_model="numpy", fastmath=False, **options)(function)
        if HAVE_NUMBA:
            dispatcher._cache = KernelCache(function, options)
        return dispatcher

    def _decorator(**options):
        """The decorator with these options of numba.njit; parallel kernels are started by threads.py."""

        def decorate(function):
            """function -> what is compiled at its first call"""
            if HAVE_NUMBA and options.get("parallel"):
                one = options | {"parallel": False}
                return launched(_compiled(function, **options), lambda: _compiled(function, **one))
            return _compiled(function, **options)

        return decorate

    def serial(kernel):
        """The same kernel compiled for one thread: for work that is done before a second thread has woken up."""
        return kernel.serial() if HAVE_NUMBA else kernel

    jit = _decorator()
    jit_parallel = _decorator(parallel=True)
    jit_inline = _decorator(forceinline=True)
