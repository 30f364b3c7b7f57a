"""The matrix product behind every dense layer, forward and backward.

    out[i, j] = bias[j] + sum over k of a[i, k] * b[k, j]          a [M, K], b [K, N], bias [N] -> out [M, N]

A dense layer needs it in three layouts: x @ W.T, dy @ W and dy.T @ x. Operands are therefore often transposed views.
Lesson 08 explains the compiled version.
"""

from ..kernels.gemm import matmul as kernel
from ..kernels.runtime.backend import accelerated_by
from .bfloat16 import product


@accelerated_by(kernel.matmul)
def matmul(a, b, *, bias=None, out=None, accumulate=False):
    """out = a @ b + bias, or out += a @ b + bias with accumulate=True.

    a [M, K], b [K, N], bias [N] or None, with any strides; all float32 or all float64
    out [M, N], or None for a new array; it must not overlap a or b -> out. ValueError for shapes that do not fit.
    """
    kernel.check(a, b, bias, out, accumulate)
    return kernel.deliver(product(a, b), bias, out, accumulate)
