"""Memory of a training step: parameters, gradients, optimiser moments and activations.

    bytes = itemsize * (4 * parameters + activations)        4: weights, gradients, AdamW's two moments

The activations are the arrays in the caches that the forward stores for the backward. Their size grows with the batch.
`activation_bytes` computes it from the configuration; `cache_bytes` measures the caches of a forward pass.
tests/test_model_sizes.py asserts that the two are equal to the byte.

Stored numbers per token (A heads, T tokens, C, F, H as in config.py). norm(N) is N for NoNorm and N + 2 for LayerNorm,
which also stores the mean and rstd:

    embeddings             the dense layer's input, if there is one: 3E with trigrams, E without; norm(H), H (output)
    input bottleneck       norm(C), and another C if queries, keys and values read its output
    shared bottleneck      norm(C) + C
    self-attention         4C (queries, keys, values, context), AT (probabilities), norm(C); another AT (scores) for
                           attention transfer, and another AT for dropout
    each feed-forward      C (input), F after the activation (and F before it, for GELU), norm(C); not F where the
                           fused operation runs in bfloat16, which computes it again (ops/fused/feed_forward.py)
    output bottleneck      C (input), norm(H)
    the block's output     H

A dense layer, a normalisation and GELU each store their input. ReLU stores its output, which is also the input of the
next layer. An array in several caches counts once. A sum stores nothing.
"""

import numbers

import numpy as np

from ..kernels.runtime.precision import rounds
from ..ops.activations import ACTIVATIONS
from ..ops.fusion import fused
from .parameters import VECTOR_HEADS, count_parameters, parameter_shapes

INDEX_BYTES = 4  # token ids and segments are int32
POSITION_BYTES = 8  # positions of masked words are int64


def _norm_numbers(config, width):
    return width + (2 if config.normalization_type == "layer_norm" else 0)


def _intermediate_numbers(config, dtype, drops):
    """The same for the wide layer of one feed-forward; drops: with dropout behind it"""
    if fused() and rounds(dtype) and config.normalization_type == "no_norm" and not drops:
        return 0
    return config.intermediate_size * (1 if ACTIVATIONS[config.hidden_act].from_output else 2)


def _block_numbers(config, tokens, maps, dtype, drops):
    """Floating-point numbers that one block stores per token, including its output."""
    H, C = config.hidden_size, config.inner_size
    total = 4 * C + maps * config.num_attention_heads * tokens + _norm_numbers(config, C)
    inner = _intermediate_numbers(config, dtype, drops and not config.use_bottleneck)
    total += config.num_feedforward_networks * (C + inner + _norm_numbers(config, C))
    if config.use_bottleneck:
        total += _norm_numbers(config, C)
        if config.bottleneck_attention:
            total += C
        elif config.key_query_shared_bottleneck:
            total += _norm_numbers(config, C) + C
        total += C + _norm_numbers(config, H)
    return total + H


def _head_bytes(config, head, batch, masked_words, number, drops):
    """Bytes that a head stores in addition to the encoder's output, of which it holds views."""
    H = config.hidden_size
    pooled = batch * H * number if config.classifier_activation else 0
    if head in (None, "question-answering"):
        return 0
    if head == "classification":
        # Dropout stores its output and a mask of one byte per number.
        return pooled + drops * batch * H * (number + 1)
    if head == "pretraining":
        # The vectors at the masked positions: head input, before and after the activation, normalised; mean and rstd.
        return pooled + masked_words * ((4 * H + 2) * number + POSITION_BYTES)
    if head in VECTOR_HEADS:
        # Two vectors of lengths sqrt(H) and 1, the length before, and what a pair's comparison holds for each text.
        return batch * (2 * H + 1 + H * (head == "sentence-pairs")) * number
    raise ValueError(f"head: found {head!r}, expected pretraining, classification, question-answering,"
                     f" {' or '.join(VECTOR_HEADS)}, or None")  # fmt: skip


def activation_bytes(
    config, batch, tokens, dtype=np.float32, *, dropout=True, head=None, masked_words=0, keep_scores=False
):  # fmt: skip
    """Bytes of the caches of one forward pass, without the parameters.

    batch sequences of `tokens` tokens; dropout=False: a pass without a random generator;
    head None (bare encoder), "pretraining" with `masked_words` in the whole batch, "classification",
    "question-answering" or one of VECTOR_HEADS; keep_scores: also the attention scores, which attention transfer needs
    """
    number = np.dtype(dtype).itemsize
    # Probabilities, the dropout mask, and scores.
    maps = 1 + (dropout and config.attention_probs_dropout_prob > 0.0) + keep_scores
    H, E = config.hidden_size, config.embedding_size

    transformed = E * (3 if config.trigram_input else 1) if config.has_embedding_transformation else 0
    embeddings = transformed + _norm_numbers(config, H) + H
    drops = dropout and config.hidden_dropout_prob > 0.0
    blocks = config.num_hidden_layers * _block_numbers(config, tokens, maps, np.dtype(dtype), drops)
    per_token = number * (embeddings + blocks)
    per_token += 2 * INDEX_BYTES + 1  # word id, segment, and one byte of the mask, which all blocks share

    if drops:  # dropout masks: one byte per number
        plain = (1 + config.num_feedforward_networks) * config.inner_size
        per_token += H + config.num_hidden_layers * (H if config.use_bottleneck else plain)
    return batch * tokens * per_token + _head_bytes(config, head, batch, masked_words, number, drops)


def training_step_bytes(config, batch, tokens, dtype=np.float32):
    """Bytes of one pre-training step with AdamW, including the heads, with 15 % of the tokens masked.

    -> {"bytes_parameters", "bytes_gradients", "bytes_moments", "bytes_activations", "bytes_total"}
    """
    weights = count_parameters(parameter_shapes(config, "pretraining")) * np.dtype(dtype).itemsize
    masked_words = batch * max(1, round(0.15 * tokens))
    parts = {
        "bytes_parameters": weights,
        "bytes_gradients": weights,
        "bytes_moments": 2 * weights,
        "bytes_activations": activation_bytes(
            config, batch, tokens, dtype, head="pretraining", masked_words=masked_words
        ),
    }
    return parts | {"bytes_total": sum(parts.values())}


def _arrays(tree):
    """All arrays in nested tuples, lists and dicts."""
    if isinstance(tree, np.ndarray):
        yield tree
    elif isinstance(tree, tuple | list | dict):
        for branch in tree.values() if isinstance(tree, dict) else tree:
            yield from _arrays(branch)
    elif tree is not None and not isinstance(tree, numbers.Number | str):
        raise TypeError(f"cache: found a {type(tree).__name__}, expected arrays in tuples, lists and dicts")


def _memory(array):
    """The address range [start, end) of the memory that `array` keeps alive: that of the array it is a view of."""
    owner = base = array
    while (base := getattr(base, "base", None)) is not None:
        if isinstance(base, np.ndarray):
            owner = base
    if not owner.size:
        return 0, 0
    # We use strides instead of `nbytes`: a broadcast array (stride 0) occupies less memory than `nbytes` says.
    spans = [(n - 1) * stride for n, stride in zip(owner.shape, owner.strides, strict=True)]
    address = owner.__array_interface__["data"][0]
    start = address + sum(span for span in spans if span < 0)
    return start, address + sum(span for span in spans if span > 0) + owner.itemsize


def cache_bytes(cache, params=None):
    """Bytes of memory that nested caches keep alive. Shared memory counts once; `params` {name: array} do not count.

    A view counts as its whole base array, because the view keeps all of it from being freed.
    """
    regions = sorted({_memory(a) for a in _arrays(cache)} - {_memory(a) for a in _arrays(params or {})})
    total = counted_to = 0
    for start, end in regions:
        total += max(0, end - max(start, counted_to))
        counted_to = max(counted_to, end)
    return total
