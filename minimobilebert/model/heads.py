"""What sits above the encoder: masked words, pooler, next sentence, classification.

The masked-word head is the paper's code's: its decoder is the word table (E columns, tied) beside a free
matrix (H - E columns), and its LayerNorm is a true one even in models that use NoNorm everywhere else. A model with
`tie_word_embeddings` False scores words by a table of its own; some checkpoints were trained that way.
"""

from typing import Any, NamedTuple

import numpy as np

from ..ops.layernorm import layernorm_backward, layernorm_forward
from ..ops.matmul import matmul
from ..ops.sums import column_sums
from ..ops.tanh import tanh_backward, tanh_forward
from .layers import activation, activation_backward, dense, dense_backward

_MLM = "cls.predictions"


class MaskedWordCache(NamedTuple):
    dense: Any  # step 1
    activation: Any  # step 2
    norm: Any  # step 3
    transformed: np.ndarray  # [M, H] the input of step 4
    words: np.ndarray  # [V, E] the table that scores words
    free: np.ndarray | None  # [H - E, V] the free matrix, None where E == H


def words_name(config):
    """The parameter that scores words, [V, E]."""
    return (
        f"{config.prefix}.embeddings.word_embeddings.weight" if config.tie_word_embeddings else f"{_MLM}.decoder.weight"
    )


def masked_word_forward(params, config, hidden):
    """Scores of every word for each masked position.

        1. t = dense(hidden)    2. t = act(t)    3. t = LayerNorm(t)
        4. logits = t[:, :E] @ words^T + t[:, E:] @ free + bias

    words: the word table (tied), or else the head's own.

    hidden [M, H], the masked positions only: the other 85 % would be thrown away -> logits [M, V], cache
    """
    t, dense_cache = dense(params, f"{_MLM}.transform.dense", hidden)
    t, activation_cache = activation(t, config)
    norm_name = f"{_MLM}.transform.LayerNorm"
    t, norm_cache = layernorm_forward(
        t, params[f"{norm_name}.weight"], params[f"{norm_name}.bias"], config.layer_norm_eps
    )
    words = params[words_name(config)]
    free = params.get(f"{_MLM}.dense.weight")
    logits = matmul(t[:, : words.shape[1]], words.T, bias=params[f"{_MLM}.bias"])
    if free is not None:
        matmul(t[:, words.shape[1] :], free, out=logits, accumulate=True)
    return logits, MaskedWordCache(dense_cache, activation_cache, norm_cache, t, words, free)


def masked_word_backward(dlogits, cache, grads, config):
    """dlogits [M, V] -> dhidden [M, H], dwords [V, E], the gradient of the table `words_name` from this use of it."""
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
    return dense_backward(dt, cache.dense, grads, f"{_MLM}.transform.dense"), dwords


def pooler_forward(params, config, hidden):
    """One vector for the whole sequence: tanh(dense([CLS])), or [CLS] as it is (MobileBERT).

    hidden [B, T, H] -> pooled [B, H], cache
    """
    first = hidden[:, 0]
    if not config.classifier_activation:
        return first, None
    pooled, dense_cache = dense(params, f"{config.prefix}.pooler.dense", first)
    pooled, tanh_cache = tanh_forward(pooled)
    return pooled, (dense_cache, tanh_cache)


def pooler_backward(dpooled, cache, grads, config):
    """dpooled [B, H] -> gradient of the [CLS] vectors [B, H]"""
    if cache is None:
        return dpooled
    dense_cache, tanh_cache = cache
    return dense_backward(tanh_backward(dpooled, tanh_cache), dense_cache, grads, f"{config.prefix}.pooler.dense")
