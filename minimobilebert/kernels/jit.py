"""The one place where Numba is set up: compile flags, the disk cache, and the first-use message.

Rules that hold for every kernel, and why:

* No fast-math at all. `nnan` would let LLVM delete NaN checks. `reassoc` (sum in another order) and `contract`
  (a*b+c with one rounding) let it choose, and it chooses by processor: the same seed would not give the same bits on
  another one. Kernels say which order they want (sums.py) and where one rounding is wanted (multiply_add.py).
* Every decorator says so, because a function that says nothing inherits the flags of the kernel that happens to call
  it first.
* `@jit_inline` is for small functions of one number that other kernels call in their loops.
* Nothing is compiled at import: Numba compiles a kernel at its first call and keeps it on disk.
* The disk cache lives in a folder named after a hash of every kernel file, so a kernel can never
  outlive a change of its own source or of a helper that was inlined into it.
* Inside `prange` no two iterations write to the same place.
"""

import hashlib
import os
import pathlib
import sys

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

    def set_threads(threads):
        """Nothing to set: NumPy's library has threads of its own."""

    def get_num_threads():
        """One."""
        return 1

else:
    # How long OpenMP threads wait for the next kernel before they fall asleep. Waking one up takes 50 us, as long as a
    # small kernel; but threads that never sleep stop a busy machine: on 2 cores shared with another program a kernel
    # took 12 ms instead of 7 us. So they watch for about a tenth of a millisecond, longer than Python needs between
    # two kernels. Set OMP_WAIT_POLICY to "active" or "passive" to choose. Read when the first parallel kernel runs.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")

    import numba
    from numba import prange  # noqa: F401  (kernels import it from here)
    from numba.core import event

    # False too where NUMBA_DISABLE_JIT=1 runs every kernel as plain Python, for debugging.
    HAVE_NUMBA = not numba.config.DISABLE_JIT

    def _cache_folder():
        kernels = pathlib.Path(__file__).resolve().parent
        digest = hashlib.sha256()
        for file in sorted(kernels.glob("*.py")):
            digest.update(file.name.encode() + file.read_bytes())
        digest.update(os.environ.get("MINIMOBILEBERT_SIMD", "").encode())  # vector widths are constants in the kernels
        name = f"minimobilebert-{digest.hexdigest()[:16]}"
        if os.environ.get("NUMBA_CACHE_DIR"):
            return pathlib.Path(os.environ["NUMBA_CACHE_DIR"]) / name
        beside = kernels / "__pycache__"
        try:
            beside.mkdir(exist_ok=True)
            if os.access(beside, os.W_OK):
                return beside / name
        except OSError:
            pass  # a read-only installation: use the user's cache folder
        base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        return pathlib.Path(base) / name

    # Numba reads this setting when a function is decorated, which is below and in the kernel files.
    numba.config.CACHE_DIR = str(_cache_folder())

    class _SayOnce(event.Listener):
        """Tell the user why the first call takes a while."""

        said = False

        def on_start(self, _):
            if not _SayOnce.said:
                _SayOnce.said = True
                text = "compiling kernels for this processor (once for each kernel; kept on disk) ..."
                print(text, file=sys.stderr, flush=True)

        def on_end(self, _):
            pass

    if not numba.config.DISABLE_JIT:
        event.register("numba:compile", _SayOnce())

    _FLAGS = {"cache": True, "error_model": "numpy", "fastmath": False}
    jit = numba.njit(**_FLAGS)
    jit_parallel = numba.njit(**_FLAGS, parallel=True)
    jit_inline = numba.njit(**_FLAGS, forceinline=True)

    _threads = 0  # not asked yet

    def set_threads(threads):
        """Use `threads` threads in every parallel kernel from now on."""
        global _threads
        numba.set_num_threads(threads)
        _threads = threads

    def get_num_threads():
        """How many; Numba's own answer takes longer than a small kernel's preparations."""
        global _threads
        _threads = _threads or numba.get_num_threads()
        return _threads
