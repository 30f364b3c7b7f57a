"""AdamW: one pass over a parameter per update (see training/adamw.py).

    w, g, m, v  [N]      thread 0: some chunks         each number of the four is read once,
    |0|1|2|3|...         thread 1: the others          w, m, v are written once, in place

NumPy's form makes fifteen passes through memory. Here everything happens between one read and one write.
"""

import numpy as np

from .rows import contiguous
from .runtime.jit import jit, jit_parallel, prange

_PARALLEL_FROM = 1 << 16  # numbers; below it starting threads costs more than the work
_CHUNK = 1 << 14


# No fast-math at all: LLVM compiles this loop in vectors and one by one and picks by the arrays' addresses. Both must
# round alike for a run to end with the same bits as one that was interrupted.
@jit
def _adamw(w, g, m, v, numbers):
    factor, keep, c1, c2, eps, step, scale = numbers
    for i in range(w.size):
        gradient, first, second = g[i] * factor, m[i], v[i]
        first += c1 * (gradient - first)
        second += c2 * (gradient * gradient - second)
        m[i], v[i] = first, second
        w[i] = w[i] * keep - step * first / (np.sqrt(second) * scale + eps)


@jit_parallel
def _adamw_parallel(w, g, m, v, chunk, numbers):
    for part in prange((w.size + chunk - 1) // chunk):
        # Slices: Numba knows of an index into one, and not of a sum of two numbers, that it is not negative.
        chunk_slice = slice(part * chunk, min((part + 1) * chunk, w.size))
        _adamw(w[chunk_slice], g[chunk_slice], m[chunk_slice], v[chunk_slice], numbers)


def adamw_update(w, g, m, v, numbers):
    """The compiled twin of training/adamw.py."""
    step, scale = numbers.rate / numbers.correction1, 1.0 / np.sqrt(numbers.correction2)
    keep, c1, c2 = 1.0 - numbers.rate * numbers.decay, 1.0 - numbers.beta1, 1.0 - numbers.beta2
    rounded = tuple(map(w.dtype.type, (numbers.factor, keep, c1, c2, numbers.eps, step, scale)))
    flat = [x.reshape(-1) for x in (w, contiguous(g), m, v)]
    if w.size < _PARALLEL_FROM:
        _adamw(*flat, rounded)
    else:
        _adamw_parallel(*flat, _CHUNK, rounded)
