"""Phi(x), the chance that a standard normal number is below x, for one number in plain arithmetic (see exponential.py).

    Phi(x) = (1 + erf(x / sqrt 2)) / 2

       x -4 ........ -1 . 0 . 1 ........ 4
         [   tail    ][ odd  ][  1 - tail ]        tail(x) = e^(-x^2/2) * polynomial(1 / (1 + |x|/4))
                        1/2 + odd polynomial

The tail beyond |x| is e^(-x^2/2), the bell curve, times a smooth function of t = 1 / (1 + |x|/4). Near 0, Phi is 1/2
plus an odd polynomial. Both polynomials are interpolated at Chebyshev points.
"""

import math

import numpy as np

from .exponential import HALF, ONE, exp_scalar
from .multiply_add import multiply_add
from .runtime.jit import jit_inline

SQRT_2 = math.sqrt(2.0)
_TAIL_64 = (
    0.00380259688053929, -0.004649869683673154, -0.004615492472706975, 0.008337273366243346, 0.0033645114419221522,
    -0.010130476093722075, -0.002421286760090933, 0.011733405097125315, 0.00291043647825108, -0.014330776792360257,
    -0.006421807638917267, 0.018121003966193705, 0.0174254002338533, -0.018913709132137618, -0.04612620034788421,
    -0.012511315282061022, 0.08455220607744804, 0.1965567191786648, 0.2673093962441936, 0.272526797618413,
    0.22555073851824428, 0.15732609012775303,
)  # fmt: skip  # in powers of t - 0.38
_NEAR_64 = (
    -1.4855460816903708e-13, 4.8675608484438786e-12, -1.1245275236516871e-10, 2.272710082505376e-09,
    -4.122587488327506e-08, 6.659688298083119e-07, -9.444656034704377e-06, 0.0001154346875546653,
    -0.0011873282154705191, 0.009973557010034988, -0.06649038006690541, 0.3989422804014327,
)  # fmt: skip  # in powers of x^2


@jit_inline
def _normal_cdf_float32(x):
    a = abs(x)
    t = ONE / multiply_add(np.float32(0.25), a, ONE)
    p = np.float32(0.0208148884)
    p = multiply_add(p, t, np.float32(-0.0853892301))
    p = multiply_add(p, t, np.float32(0.103798858))
    p = multiply_add(p, t, np.float32(-0.0397468636))
    p = multiply_add(p, t, np.float32(0.0682739958))
    p = multiply_add(p, t, np.float32(0.0574462582))
    p = multiply_add(p, t, np.float32(0.0818896318))
    p = multiply_add(p, t, np.float32(0.0934395147))
    p = multiply_add(p, t, np.float32(0.0997373968))
    p = multiply_add(p, t, np.float32(0.099735561))
    tail = p * t * exp_scalar(-HALF * x * x)
    far = tail if x < np.float32(0.0) else ONE - tail
    z = x * x
    q = np.float32(-6.82239678e-06)
    q = multiply_add(q, z, np.float32(0.000111092028))
    q = multiply_add(q, z, np.float32(-0.00118390762))
    q = multiply_add(q, z, np.float32(0.00997232271))
    q = multiply_add(q, z, np.float32(-0.0664902159))
    q = multiply_add(q, z, np.float32(0.398942277))
    return np.float32(multiply_add(q, x, HALF) if a < np.float32(1.25) else far)


@jit_inline
def _tail_float64(a):
    """Phi(-a), a >= 0"""
    t = 1.0 / multiply_add(0.25, a, 1.0)
    u, p = t - 0.38, 0.0
    for factor in _TAIL_64:
        p = multiply_add(p, u, factor)
    # x^2 is rounded; what that leaves out is small, and e^-small = 1 - small. From 40 on the tail is 0.
    v = a if a < 40.0 else 40.0
    z = v * v
    missing = multiply_add(v, v, -z)
    return p * t * exp_scalar(-0.5 * z) * (1.0 - 0.5 * missing)


@jit_inline
def _slope_float64(x):
    """(Phi(x) - 1/2) / x near 0"""
    v = x if abs(x) < 40.0 else 40.0
    z, q = v * v, 0.0
    for factor in _NEAR_64:
        q = multiply_add(q, z, factor)
    return q


@jit_inline
def _normal_cdf_float64(x):
    a = abs(x)
    tail = _tail_float64(a)
    far = tail if x < 0.0 else 1.0 - tail
    y = multiply_add(_slope_float64(x), x, 0.5) if a < 1.25 else far
    return y if x == x else x


@jit_inline
def erf_scalar(x):
    """erf(x) = 2 Phi(sqrt(2) x) - 1 in float64, within 1e-15; near 0 relative to x"""
    v = x * SQRT_2
    a = abs(v)
    far = 1.0 - 2.0 * _tail_float64(a)
    y = 2.0 * _slope_float64(v) * v if a < 1.25 else (-far if x < 0.0 else far)
    return y if x == x else x


@jit_inline
def normal_cdf_scalar(x):
    """Phi(x). float32: within 1e-7; float64: within 1e-15."""
    if isinstance(x, np.float32):
        return _normal_cdf_float32(x)
    else:
        return _normal_cdf_float64(x)
