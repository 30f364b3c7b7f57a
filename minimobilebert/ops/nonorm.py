"""NoNorm: MobileBERT's replacement for layer normalisation (Section 3.3, Equation 1).

    y = weight * x + bias            elementwise over the features

It has no statistics to compute, so it costs a fraction of LayerNorm, and nothing keeps y from growing:
the released model's activations reach 1e7.

Backward, from dy = dL/dy:

    dx      = dy * weight
    dweight = sum over all tokens of dy * x
    dbias   = sum over all tokens of dy
"""

from typing import NamedTuple

import numpy as np

from ..kernels.elementwise import scale_shift_backward, scale_shift_forward


class NoNormCache(NamedTuple):
    x: np.ndarray  # [..., N]
    weight: np.ndarray  # [N]


def nonorm_forward(x, weight, bias):
    """y = weight * x + bias.

    x [..., N], weight [N], bias [N] -> y [..., N], cache
    """
    return scale_shift_forward(x, weight, bias), NoNormCache(x, weight)


def nonorm_backward(dy, cache):
    """Reverse of `nonorm_forward`.

    dy [..., N] -> dx [..., N], dweight [N], dbias [N]
    """
    return scale_shift_backward(dy, cache.x, cache.weight)
