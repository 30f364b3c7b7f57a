"""The dense layer's backward, and what comes next on the way back, in the pass that computes dx.

    dx = (dy W + add) * activation'(kept)        dW and db as in ops/linear.py

`add` is a gradient that arrives at x on another way (a residual); the activation is that of the layer which made x.
"""

from ..kernels.linear import column_sums, dense_dx
from ..kernels.matmul import matmul
from ..kernels.rows import as_rows


def linear_backward_fused(dy, cache, *, add=None, through=None):
    """`linear_backward`, and the next step back.

    dy [..., out]; add [..., in] or None: dx is added to it in place; through: the LinearActivationCache of the layer
    that made x, or None: with it dx is the gradient in front of that layer's activation
    -> dx [..., in], dweight [out, in], dbias [out] (None where there was no bias)
    """
    dy_rows = as_rows(dy)
    dbias = column_sums(dy_rows) if cache.has_bias else None
    dweight = matmul(dy_rows.T, as_rows(cache.x))
    activation, kept = (None, None) if through is None else (through.activation, as_rows(through.kept))
    dx = dense_dx(dy_rows, cache.weight, None if add is None else as_rows(add), activation, kept)
    return dx.reshape(cache.x.shape), dweight, dbias
