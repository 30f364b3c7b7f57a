"""The first part of `verify`: the forward and backward passes of all operations on fixed numbers.

The sizes include special cases: rows that do not fill a vector register, heads narrower and wider than a register tile,
sums longer than a block of the matrix product.
"""

import numpy as np

from ..distillation.attention_transfer import attention_transfer_backward, attention_transfer_forward
from ..distillation.feature_map_transfer import feature_map_transfer_backward, feature_map_transfer_forward
from ..distillation.normalized_feature_map_transfer import (
    normalized_feature_map_transfer_backward,
    normalized_feature_map_transfer_forward,
)
from ..kernels.runtime.precision import use_precision
from ..ops import (
    attention,
    cross_entropy,
    dropout,
    embedding,
    gelu,
    layernorm,
    linear,
    nonorm,
    quantized_linear,
    relu,
    softmax,
    tanh,
    trigram,
)
from ..ops.activations import ACTIVATIONS
from ..ops.fused import dense_activation, dense_nonorm, feed_forward
from ..ops.logarithm import logarithm
from ..ops.matmul import matmul
from ..ops.sums import dot, row_dots, row_sums

LINEAR_SIZES = ((1, 1, 1), (3, 7, 5), (17, 31, 33), (65, 128, 128), (40, 700, 50), (193, 33, 270))  # rows, in, out
ROW_SIZES = (1, 3, 16, 17, 128, 513)
FEED_FORWARD_SIZES = ((5, 3, 7), (130, 32, 128), (700, 24, 75))  # rows, C, F
# sequences, tokens, heads, head size
ATTENTION_SIZES = ((2, 9, 2, 5), (2, 64, 4, 8), (1, 128, 4, 32), (1, 300, 2, 20), (1, 271, 1, 40), (1, 33, 3, 64))


class _Numbers:
    """Fixed uniform numbers in [-3, 3). They need no function of the C library, so they are equal on all machines."""

    def __init__(self, dtype, seed):
        self.dtype, self.rng = dtype, np.random.default_rng([seed, 901])

    def __call__(self, *shape):
        return (6.0 * self.rng.random(shape) - 3.0).astype(self.dtype)

    def mask(self, *shape):
        """[B, T] bool: real tokens, at least one per sequence"""
        return np.arange(shape[1]) < self.rng.integers(1, shape[1] + 1, shape[0])[:, None]


def elementary(dtype):
    """exp, log, tanh, Phi for numbers of all magnitudes, through the operations that use them."""
    numbers = _Numbers(dtype, 1)
    exponents = 2.0 ** numbers.rng.integers(-30, 7, 20_001)
    x = (numbers(20_001) * exponents).astype(dtype)
    x[:6] = 0.0, -0.0, np.inf, -np.inf, 88.0, -88.0
    dy = numbers(x.size)
    with np.errstate(all="ignore"):
        results = [logarithm(np.abs(x)), softmax.softmax_forward(np.clip(x, -100, 100))[0]]
        for forward, backward in (
            (tanh.tanh_forward, tanh.tanh_backward), (relu.relu_forward, relu.relu_backward),
            (gelu.gelu_forward, gelu.gelu_backward), (gelu.gelu_tanh_forward, gelu.gelu_tanh_backward),
        ):  # fmt: skip
            y, cache = forward(x)
            results += [_without_nan(y), _without_nan(backward(dy, cache))]
    return results


def _without_nan(x):
    """Replace NaN by 0, because the sign of a NaN depends on the processor."""
    return np.where(np.isnan(x), x.dtype.type(0), x)


def products(dtype):
    """Dense layers: alone, with a residual, with an activation, with NoNorm."""
    numbers, results = _Numbers(dtype, 2), []
    for rows, inputs, outputs in LINEAR_SIZES:
        x, weight, bias = numbers(rows, inputs), numbers(outputs, inputs), numbers(outputs)
        residual, scale, shift, dy = numbers(rows, outputs), numbers(outputs), numbers(outputs), numbers(rows, outputs)
        for addend in (None, residual):
            y, cache = linear.linear_forward(x, weight, bias, addend)
            results += [y, *linear.linear_backward(dy, cache)]
            y, cache = dense_nonorm.dense_nonorm_forward(x, weight, bias, addend, scale, shift)
            results += [y, *dense_nonorm.dense_nonorm_backward(dy, cache)]
        for name in ACTIVATIONS:
            y, cache = dense_activation.dense_activation_forward(x, weight, bias, name)
            results += [y, *dense_activation.dense_activation_backward(dy, cache)]
    return results


def feed_forwards(dtype):
    """Whole feed-forwards with NoNorm, in several blocks of rows."""
    numbers, results = _Numbers(dtype, 8), []
    for rows, C, F in FEED_FORWARD_SIZES:
        shapes = (rows, C), (F, C), (F,), (C, F), (C,), (C,), (C,), (rows, C)
        *arrays, dy = (numbers(*shape) for shape in shapes)
        for name in ACTIVATIONS:
            y, cache = feed_forward.feed_forward_forward(*arrays, name)
            results += [y, *feed_forward.feed_forward_backward(dy, cache)]
    return results


def rows(dtype):
    """Normalisations, softmax, cross-entropies and sums over rows of several lengths."""
    numbers, results = _Numbers(dtype, 3), []
    for size in ROW_SIZES:
        x, dy, weight, bias = numbers(67, size), numbers(67, size), numbers(size), numbers(size)
        results += [row_sums(x), row_dots(x, dy), dot(x, dy)]
        for module, name in ((layernorm, "layernorm"), (nonorm, "nonorm")):
            y, cache = getattr(module, f"{name}_forward")(x, weight, bias)
            results += [y, *getattr(module, f"{name}_backward")(dy, cache)]
        y, cache = softmax.softmax_forward(x)
        results += [y, softmax.softmax_backward(dy, cache)]
        losses, cache = cross_entropy.cross_entropy_forward(x, numbers.rng.integers(0, size, 67))
        results += [losses, cross_entropy.cross_entropy_backward(dy[:, 0], cache)]
        losses, cache = cross_entropy.soft_cross_entropy_forward(x, np.abs(dy))
        results += [losses, cross_entropy.soft_cross_entropy_backward(dy[:, 0], cache)]
    x = numbers(100_003)
    return [*results, dot(x, x)]


def tables(dtype):
    """Embedding, trigram and dropout."""
    numbers = _Numbers(dtype, 4)
    ids = numbers.rng.integers(0, 50, (5, 33))
    y, cache = embedding.embedding_forward(ids, numbers(50, 17))
    results = [y, embedding.embedding_backward(numbers(*y.shape), cache)]
    y, cache = trigram.trigram_forward(y)
    results += [y, trigram.trigram_backward(numbers(*y.shape), cache)]
    y, cache = dropout.dropout_forward(y, 0.1, np.random.default_rng(7))
    return [*results, y, dropout.dropout_backward(numbers(*y.shape), cache)]


def attentions(dtype):
    """Attention with padding and dropout, also with a gradient for the scores, as in attention transfer."""
    numbers, results = _Numbers(dtype, 5), []
    for batch, tokens, heads, size in ATTENTION_SIZES:
        query, key, value, dy = (numbers(batch, tokens, heads * size) for _ in range(4))
        mask, dscores = numbers.mask(batch, tokens), numbers(batch, heads, tokens, tokens)
        for rate in (0.0, 0.1):
            y, cache = attention.attention_forward(query, key, value, mask, heads, rate, np.random.default_rng(tokens))
            results += [y, *attention.attention_backward(dy, cache, dscores=dscores if rate else None)]
    return results


def transfer_losses(dtype):
    """The losses of Section 3.4, in the forms of the paper and of the released code."""
    numbers, results = _Numbers(dtype, 6), []
    for batch, tokens, heads, hidden in ((2, 9, 2, 5), (3, 40, 4, 128)):
        mask = numbers.mask(batch, tokens)
        maps, teacher_maps = (numbers(batch, heads, tokens, tokens) for _ in range(2))
        features, teacher_features = (numbers(batch, tokens, hidden) for _ in range(2))
        for forward, backward, student, teacher in (
            (attention_transfer_forward, attention_transfer_backward, maps, teacher_maps),
            (feature_map_transfer_forward, feature_map_transfer_backward, features, teacher_features),
            (normalized_feature_map_transfer_forward, normalized_feature_map_transfer_backward, features,
             teacher_features),
        ):  # fmt: skip
            loss, cache = forward(student, teacher, mask)
            results += [loss, backward(0.7, cache)]
    return results


OPERATIONS = {
    "exp, log, tanh, Phi": elementary,
    "dense layers": products,
    "feed-forwards": feed_forwards,
    "norms, softmax, losses": rows,
    "embedding, dropout": tables,
    "attention": attentions,
    "transfer losses": transfer_losses,
}


def quantized_products():
    """Dense layers in 8 bits; rows of all magnitudes."""
    numbers, results = _Numbers(np.float32, 9), []
    for rows, inputs, outputs in LINEAR_SIZES:
        weight = quantized_linear.quantize_weight(numbers(outputs, inputs))
        x = numbers(rows, inputs) * (2.0 ** numbers.rng.integers(-30, 30, (rows, 1))).astype(np.float32)
        for addend in (None, numbers(rows, outputs)):
            results.append(quantized_linear.quantized_linear_forward(x, weight, numbers(outputs), addend))
    return results


def rounded_products():
    """Dense layers in bfloat16; then products of numbers that rounding treats in a way of its own, in each layout."""
    numbers = _Numbers(np.float32, 7)
    with use_precision("bfloat16"), np.errstate(all="ignore"):
        results = products(np.float32)
        for m, k, n in ((33, 70, 41), (100, 600, 65)):
            a, b = numbers(m, k), numbers(k, n)
            a[1, :5] = 1e-39, 1e-30, np.inf, 1e38, -0.0
            b[2:4, 1] = 1e-10, 1e-20
            for x in (a, np.asfortranarray(a)):
                results += [_without_nan(matmul(x, y)) for y in (b, np.asfortranarray(b))]
            bias = numbers(n)
            bias[::4], bias[1::4], bias[2::4] = 1e-38, -1e-39, 2.0**-126  # the first two are denormal
            results.append(_without_nan(matmul(a * np.float32(1e-38), b, bias=bias)))
    return results


def rounded_feed_forwards():
    """Whole feed-forwards in bfloat16."""
    with use_precision("bfloat16"):
        return feed_forwards(np.float32)


def rounded_attentions():
    """Attention whose products are in bfloat16."""
    with use_precision("bfloat16"):
        return attentions(np.float32)


IN_FEWER_BITS = {
    "dense layers, 8 bits": quantized_products,
    "dense layers, bfloat16": rounded_products,
    "feed-forwards, bfloat16": rounded_feed_forwards,
    "attention, bfloat16": rounded_attentions,
}
