"""The masked-word head and the pooler, which read the encoder's output.

The masked-word head follows the released code. Its decoder concatenates the tied word table (E columns) and a free
matrix (H - E columns). Its normalisation is a LayerNorm even in models with NoNorm. A model with `tie_word_embeddings`
False has a separate decoder table; some checkpoints were trained that way.

Step 1 reads float32 in every precision. It is a small product, of the masked positions only, but all gradients of the
encoder pass the activation behind it: a sum near 0 that is rounded to the other side of ReLU's jump changes them all.
"""

from typing import Any, NamedTuple

import numpy as np

from ..kernels.runtime.precision import in_float32
from ..ops.layernorm import layernorm_backward, layernorm_forward
from ..ops.matmul import matmul
from ..ops.quantized_linear import QuantizedWeight, quantized_linear_forward
from ..ops.sums import column_sums
from ..ops.tanh import tanh_backward, tanh_forward
from .layers import activation, activation_backward, dense, dense_backward

_MLM = "cls.predictions"


class MaskedWordCache(NamedTuple):
    dense: Any  # step 1
    activation: Any  # step 2
    norm: Any  # step 3
    transformed: np.ndarray  # [M, H] the input of step 4
    words: np.ndarray  # [V, E] the decoder's table
    free: np.ndarray | None  # [H - E, V] the free matrix, None if E == H


def words_name(config):
    """The name of the decoder's table, [V, E]: the word table if tied, else a parameter of the head."""
    return (
        f"{config.prefix}.embeddings.word_embeddings.weight" if config.tie_word_embeddings else f"{_MLM}.decoder.weight"
    )


def masked_word_forward(params, config, hidden):
    """Scores (logits) of all words for each masked position.

        1. t = dense(hidden)    2. t = activation(t)    3. t = LayerNorm(t)
        4. logits = t[:, :E] @ words^T + t[:, E:] @ free + bias

    hidden [M, H] at the masked positions only, because the loss ignores the others -> logits [M, V], cache
    """
    with in_float32():
        t, dense_cache = dense(params, f"{_MLM}.transform.dense", hidden)
    t, activation_cache = activation(t, config)
    norm_name = f"{_MLM}.transform.LayerNorm"
    t, norm_cache = layernorm_forward(
        t, params[f"{norm_name}.weight"], params[f"{norm_name}.bias"], config.layer_norm_eps
    )
    words = params[words_name(config)]
    free = params.get(f"{_MLM}.dense.weight")
    if isinstance(words, QuantizedWeight):
        logits = quantized_linear_forward(t[:, : words.shape[1]], words, params[f"{_MLM}.bias"])
    else:
        logits = matmul(t[:, : words.shape[1]], words.T, bias=params[f"{_MLM}.bias"])
    if free is not None:
        matmul(t[:, words.shape[1] :], free, out=logits, accumulate=True)
    return logits, MaskedWordCache(dense_cache, activation_cache, norm_cache, t, words, free)


def masked_word_backward(dlogits, cache, grads, config):
    """Reverse of `masked_word_forward`; writes the gradients of the head's other parameters to `grads`.

    dlogits [M, V] -> dhidden [M, H], dwords [V, E]: the decoder's part of the gradient of the table `words_name`
    """
    t, words, free = cache.transformed, cache.words, cache.free
    size = words.shape[1]
    grads[f"{_MLM}.bias"] = column_sums(dlogits)
    dt = np.empty_like(t)
    matmul(dlogits, words, out=dt[:, :size])
    dwords = matmul(dlogits.T, t[:, :size])
    if free is not None:
        matmul(dlogits, free.T, out=dt[:, size:])
        grads[f"{_MLM}.dense.weight"] = matmul(t[:, size:].T, dlogits)

    norm_name = f"{_MLM}.transform.LayerNorm"
    dt, grads[f"{norm_name}.weight"], grads[f"{norm_name}.bias"] = layernorm_backward(dt, cache.norm)
    dt = activation_backward(dt, cache.activation, config)
    with in_float32():
        return dense_backward(dt, cache.dense, grads, f"{_MLM}.transform.dense"), dwords


def pooler_forward(params, config, hidden):
    """One vector for the whole sequence: tanh(dense([CLS])), or the [CLS] vector itself (MobileBERT).

    hidden [B, T, H] -> pooled [B, H], cache
    """
    cls = hidden[:, 0]
    if not config.classifier_activation:
        return cls, None
    pooled, dense_cache = dense(params, f"{config.prefix}.pooler.dense", cls)
    pooled, tanh_cache = tanh_forward(pooled)
    return pooled, (dense_cache, tanh_cache)


def pooler_backward(dpooled, cache, grads, config):
    """dpooled [B, H] -> dcls [B, H], the gradient of the [CLS] vectors"""
    if cache is None:
        return dpooled
    dense_cache, tanh_cache = cache
    return dense_backward(tanh_backward(dpooled, tanh_cache), dense_cache, grads, f"{config.prefix}.pooler.dense")
