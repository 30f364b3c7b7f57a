"""A dense layer in 8 bits: weights and activations as small integers, for inference.

    1. s = max |x| / 127        the scale of a row: of one token's numbers, or of the weights of one output
    2. q(x) = round(x / s)      integers from -127 to 127; s q(x) is at most s / 2 away from x
    3. y[t, o] = (sum over i of q(x)[t, i] q(W)[o, i]) s_W[o] s_x[t] + b[o] (+ residual[t, o])

The sum is one of integers, so it is exact: all that is lost is lost in step 2. A number is rounded by up to half of the
scale of its row, however small it is itself, so one large number makes all others of its row coarse. That is why each
output has a scale of its own ("per channel"), and why each token has one, taken from its numbers when the model runs
("dynamic, per token").

The simpler choice is one scale for all rows ("per tensor"). For activations it must be known before the model runs
("static"): max |x| over some text is stored with the layer, and a number beyond it saturates, which means that q(x) is
-127 or 127.

Weights take a byte each, a quarter of float32. NoNorm, residuals, attention and softmax stay in float32. A row with a
NaN or an infinity gets the scale NaN, and so does every y that reads it. A row whose numbers are all below 1e-30 counts
as zeros, because 127 / max |x| could overflow.
"""

import dataclasses
import functools

import numpy as np

from ..kernels import quantized as kernel
from ..kernels.gemm.quads import SMALLEST, quads_from
from ..kernels.runtime.backend import accelerated_by

LARGEST = 127
SCALES = PER_CHANNEL, PER_TENSOR = "per-channel", "per-tensor"  # of weights
MOST_INPUTS = (2**31 - 1) // LARGEST**2  # more could overflow the 32 bits of the sum


@dataclasses.dataclass(frozen=True, eq=False)
class QuantizedWeight:
    """A matrix whose rows are integers with a scale each. It stands in a model's parameters where a weight stood."""

    integers: np.ndarray  # [out, in] int8, from -127 to 127
    scales: np.ndarray  # [out] float32; all equal if the weight has one scale
    input_range: np.float32 | None = None  # max |x| for all tokens; None: of each token

    @property
    def shape(self):
        """(out, in)"""
        return self.integers.shape

    @functools.cached_property
    def packed(self):
        """As the compiled twin reads it; made once."""
        return quads_from(self.integers, self.scales)

    def __getitem__(self, indices):
        """Rows as numbers again, as a table of words is read: indices [...] -> [..., in] float32"""
        return self.integers[indices] * self.scales[indices][..., None]


def quantize_rows(x, given=None):
    """Steps 1 and 2. x [..., N] float32 -> integers [..., N] int8, scales [...] float32

    given: max |x| for all rows, beyond which numbers saturate; None: that of each row
    """
    largest = np.abs(x).max(axis=-1, initial=0.0)
    finite = largest < np.inf  # False for NaN
    if given is not None:
        largest = np.full_like(largest, given)
    inverse = np.zeros_like(largest)
    np.divide(np.float32(LARGEST), largest, out=inverse, where=finite & (largest >= SMALLEST))
    numbers = np.where(finite[..., None], x, 0.0).astype(np.float32)
    if given is not None:
        numbers = np.clip(numbers, -given, given)
    integers = np.rint(numbers * inverse[..., None])
    return integers.astype(np.int8), np.where(finite, largest / np.float32(LARGEST), np.float32(np.nan))


def quantize_weight(weight, scales=PER_CHANNEL, input_range=None):
    """weight [out, in] float32 -> QuantizedWeight. ValueError for another type, NaN, infinity, or too many inputs.

    scales: one for each output ("per-channel") or for the whole matrix ("per-tensor"); input_range: as in the class
    """
    if weight.dtype != np.float32:
        raise ValueError(f"weight: found {weight.dtype}, expected float32")
    if not np.isfinite(weight).all():
        raise ValueError("weight: found NaN or infinity, expected finite numbers to quantise")
    if weight.shape[1] > MOST_INPUTS:
        raise ValueError(f"weight: found {weight.shape[1]:,} inputs, expected at most {MOST_INPUTS:,}")
    if scales == PER_CHANNEL:
        return QuantizedWeight(*quantize_rows(weight), input_range)
    integers, scale = quantize_rows(weight.reshape(-1))
    return QuantizedWeight(integers.reshape(weight.shape), np.full(len(weight), scale), input_range)


@accelerated_by(kernel.quantized_linear_forward)
def quantized_linear_forward(x, weight, bias, residual=None):
    """x [..., in] float32; weight: QuantizedWeight; bias [out] or None; residual [..., out] or None -> y [..., out]"""
    integers, scales = quantize_rows(x, weight.input_range)
    # float64 holds whole numbers up to 2^53 exactly, and NumPy multiplies it much faster than integers.
    sums = integers.astype(np.float64) @ weight.integers.astype(np.float64).T
    y = sums.astype(np.float32) * weight.scales * scales[..., None]
    if bias is not None:
        y = y + bias
    return y if residual is None else y + residual
