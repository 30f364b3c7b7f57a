"""Products in bfloat16: operands rounded, sums in float32 (mixed precision).

    float32     sign | exponent, 8 bits | fraction, 23 bits
    bfloat16    sign | exponent, 8 bits | fraction,  7 bits       the upper half: the same range, 2 to 3 digits

    1. r(x) = the bfloat16 nearest to x; of two equally near ones the one whose last bit is 0
    2. out[i, j] = sum over k of r(a[i, k]) * r(b[k, j])          exact products, added in float32

Two bfloat16 have 8 significant bits each, so their product has 16 and is exact in float32: all that is lost is lost in
step 1. Numbers below 2^-126 (denormal) become 0, as in the processors' instructions; NaN and infinity stay. In compiled
products a sum below 2^-126 becomes 0 as well, before and after each product, as in the instruction; NumPy keeps it.

The backward pass multiplies the same way: dx = r(dy) r(W), dW = r(dy)^T r(x). Weights, moments, activations, norms,
softmax and losses are float32 and are rounded only where a product reads them. One dense layer is not rounded, that of
the masked-word head (model/heads.py).
"""

import numpy as np

from ..kernels.runtime.precision import rounds


def rounded(x):
    """Step 1: float32 of any shape -> the same numbers rounded to bfloat16, still as float32"""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    upper = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000  # half a step up, then cut off; ties go to the even one
    magnitude = bits & 0x7FFFFFFF
    upper = np.where(magnitude > 0x7F800000, bits & 0xFFFF0000 | 0x400000, upper)  # NaN must not become infinity
    upper = np.where(magnitude < 0x00800000, bits & 0x80000000, upper)  # denormal
    return upper.astype(np.uint32).view(np.float32).reshape(np.shape(x))


def product(a, b):
    """a @ b with operands rounded if the precision says so; [..., M, K], [..., K, N] -> [..., M, N]"""
    if rounds(a.dtype):
        a, b = rounded(a), rounded(b)
    return a @ b


def stochastically_rounded(x, rng):
    """float32 of any shape, random generator -> each number rounded at random to a bfloat16 beside it, as float32

        |below| <= |x| < |above|       the bfloat16 on both sides of x, nearer to 0 and farther from it
        r(x) = above with probability (x - below) / (above - below), else below          so the mean of r(x) is x

    A bfloat16 stays what it is. Denormal numbers become 0; NaN and infinity stay. For weights that are stored in
    bfloat16: a step that is shorter than half of the distance is lost in `rounded`, and here only on most occasions.
    """
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    magnitude = bits & 0x7FFFFFFF
    normal = (magnitude >= 0x00800000) & (magnitude < 0x7F800000)
    chance = rng.integers(0, 0x10000, bits.shape, np.uint32)  # carries into the upper half as often as its share
    upper = (bits + chance) & 0xFFFF0000
    return np.where(normal, upper.astype(np.uint32).view(np.float32), rounded(x)).reshape(np.shape(x))
