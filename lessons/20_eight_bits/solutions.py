"""Lesson 20 as a student would write it; never part of a student edition. Mutants are made from these."""

import numpy as np

from minimobilebert.kernels.gemm.quads import SMALLEST, quads_of
from minimobilebert.kernels.gemm.tiles import nr_of


def quantize_rows(x, given=None):
    largest = np.abs(x).max(axis=-1, initial=0.0)
    finite = np.isfinite(largest)
    if given is not None:
        largest = np.full_like(largest, given)
    usable = finite & (largest >= SMALLEST)
    inverse = np.float32(127.0) / np.where(usable, largest, np.float32(1.0))
    multiples = np.where(usable[..., None], x, 0.0).astype(np.float32) * inverse[..., None]
    integers = np.clip(np.rint(multiples), -127, 127).astype(np.int8)
    scales = np.where(finite, largest / np.float32(127.0), np.float32(np.nan))
    return integers, scales


def quantized_linear_forward(x, weight, bias, residual=None):
    integers, scales = quantize_rows(x, weight.input_range)
    sums = integers.astype(np.int32) @ weight.integers.astype(np.int32).T
    y = sums.astype(np.float32)
    y = y * weight.scales * scales[..., None]
    if bias is not None:
        y = y + bias
    if residual is not None:
        y = y + residual
    return y


def quads_from(integers, scales):
    outputs, inputs = integers.shape
    nr = nr_of(scales)
    panels = -(-outputs // nr)
    padded = np.zeros((panels * nr, 4 * quads_of(inputs)), np.int8)
    padded[:outputs, :inputs] = integers
    starts = np.int32(-128) * padded.sum(axis=1, dtype=np.int32)
    words = padded.view("<i4").astype(np.int32)
    words = words.reshape(panels, nr, -1).transpose(0, 2, 1)
    all_scales = np.zeros(panels * nr, np.float32)
    all_scales[:outputs] = scales
    return words.reshape(-1), starts, all_scales
