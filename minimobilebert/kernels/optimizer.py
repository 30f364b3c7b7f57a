"""One pass over a parameter per update (see training/adamw.py)."""

import numpy as np

from .backend import by_backend
from .jit import jit, jit_parallel, prange

_PARALLEL_FROM = 1 << 16  # numbers; below it starting threads costs more than the work


def adamw_update_numpy(w, g, m, v, rate, decay, beta1, beta2, eps, correction1, correction2):
    """AdamW of one parameter, in place; w, g, m, v arrays of one shape, correction = 1 - beta^t."""
    w *= w.dtype.type(1.0 - rate * decay)
    m += w.dtype.type(1.0 - beta1) * (g - m)
    v += w.dtype.type(1.0 - beta2) * (g * g - v)
    denominator = np.sqrt(v / w.dtype.type(correction2)) + w.dtype.type(eps)
    w -= w.dtype.type(rate / correction1) * m / denominator


@jit
def _adamw_range(w, g, m, v, first, last, keep, c1, c2, eps, step, correction2):
    for i in range(first, last):
        m[i] += c1 * (g[i] - m[i])
        v[i] += c2 * (g[i] * g[i] - v[i])
        w[i] = w[i] * keep - step * m[i] / (np.sqrt(v[i] / correction2) + eps)


@jit_parallel
def _adamw_parallel(w, g, m, v, chunk, keep, c1, c2, eps, step, correction2):
    for part in prange((len(w) + chunk - 1) // chunk):
        _adamw_range(w, g, m, v, part * chunk, min((part + 1) * chunk, len(w)), keep, c1, c2, eps, step, correction2)


def adamw_update_numba(w, g, m, v, rate, decay, beta1, beta2, eps, correction1, correction2):
    """The compiled twin of `adamw_update_numpy`."""
    kind = w.dtype.type
    numbers = (kind(1.0 - rate * decay), kind(1.0 - beta1), kind(1.0 - beta2), kind(eps), kind(rate / correction1),
               kind(correction2))  # fmt: skip
    flat = [x.reshape(-1) for x in (w, np.ascontiguousarray(g), m, v)]
    if w.size < _PARALLEL_FROM:
        _adamw_range(*flat, 0, w.size, *numbers)
    else:
        _adamw_parallel(*flat, _PARALLEL_FROM // 4, *numbers)


adamw_update = by_backend(numpy=adamw_update_numpy, numba=adamw_update_numba)
