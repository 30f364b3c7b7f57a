"""How much memory a training step needs: parameters, gradients, optimiser moments, and what the forward keeps.

    bytes = size of a number * (4 * parameters + activations)        4: weights, gradients, AdamW's two moments

The activations are the arrays that the operations' caches hold until the backward has read them. They grow with
the batch, the parameters do not. `activation_bytes` adds them up from the configuration, `cache_bytes` measures
the caches of a real forward pass; tests/test_model_sizes.py asserts that the two are equal to the byte.

Kept for every token of a batch, in numbers (A heads, T tokens, C, F, H as in config.py; norm(N) is N, and two more
for the mean and deviation of a LayerNorm):

    embeddings             3E (the dense layer's input), norm(H), H (their output)
    input bottleneck       norm(C), and C more where queries, keys and values read its output
    shared bottleneck      norm(C) + C
    self-attention         4C (queries, keys, values, weighted values), AT (probabilities), norm(C); AT more (scores)
                           for attention transfer, and AT more for dropout
    each feed-forward      C (input), F after the activation (and F before it, for GELU), norm(C)
    output bottleneck      C (input), norm(H)
    the block's output     H

The rule behind it: a dense layer, a normalisation and GELU each keep their input, ReLU keeps its output, which is the
next layer's input. An array that several of them read exists once, and a sum keeps nothing.
"""

import numbers

import numpy as np

from .parameters import count_parameters, parameter_shapes

INDEX_BYTES = 4  # token ids and segments are int32
POSITION_BYTES = 8  # places of masked words are int64


def _norm_numbers(config, width):
    return width + (2 if config.normalization_type == "layer_norm" else 0)


def _block_numbers(config, tokens, maps):
    """Floating-point numbers that one block keeps for one token, its output included."""
    H, C, F = config.hidden_size, config.inner_size, config.intermediate_size
    total = 4 * C + maps * config.num_attention_heads * tokens + _norm_numbers(config, C)
    inner = F if config.hidden_act == "relu" else 2 * F
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
    """What a head keeps besides the encoder's output, which it only looks at."""
    H = config.hidden_size
    pooled = batch * H * number if config.classifier_activation else 0
    if head in (None, "question-answering"):
        return 0
    if head == "classification":
        # What is left of the pooled vector, and which of its numbers: a byte each.
        return pooled + drops * batch * H * (number + 1)
    if head == "pretraining":
        # The masked words' vectors: as they come, before and after the activation, normalised; mean and deviation.
        return pooled + masked_words * ((4 * H + 2) * number + POSITION_BYTES)
    raise ValueError(f"head: found {head!r}, expected pretraining, classification, question-answering or None")


def activation_bytes(
    config, batch, tokens, dtype=np.float32, *, dropout=True, head=None, masked_words=0, keep_scores=False
):  # fmt: skip
    """Bytes that the caches of one forward pass keep alive, parameters not counted.

    batch sequences of `tokens` tokens; dropout=False: a pass without a random generator;
    head None (bare encoder), "pretraining" with `masked_words` in the whole batch, "classification" or
    "question-answering"; keep_scores: with the attention scores that attention transfer needs
    """
    number = np.dtype(dtype).itemsize
    # Probabilities, which of them dropout keeps, and scores.
    maps = 1 + (dropout and config.attention_probs_dropout_prob > 0.0) + keep_scores
    H, E = config.hidden_size, config.embedding_size

    transformed = E * (3 if config.trigram_input else 1) if config.has_embedding_transformation else 0
    embeddings = transformed + _norm_numbers(config, H) + H
    per_token = number * (embeddings + config.num_hidden_layers * _block_numbers(config, tokens, maps))
    per_token += 2 * INDEX_BYTES + 1  # word id, segment, and one byte of the mask, which all blocks share

    drops = dropout and config.hidden_dropout_prob > 0.0
    if drops:  # one byte for each number that may be dropped
        plain = (1 + config.num_feedforward_networks) * config.inner_size
        per_token += H + config.num_hidden_layers * (H if config.use_bottleneck else plain)
    return batch * tokens * per_token + _head_bytes(config, head, batch, masked_words, number, drops)


def training_step_bytes(config, batch, tokens, dtype=np.float32):
    """Bytes of one step of pre-training with AdamW, heads included, 15 % of the tokens masked.

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
    """Every array in nested tuples, lists and dicts."""
    if isinstance(tree, np.ndarray):
        yield tree
    elif isinstance(tree, tuple | list | dict):
        for branch in tree.values() if isinstance(tree, dict) else tree:
            yield from _arrays(branch)
    elif tree is not None and not isinstance(tree, numbers.Number | str):
        raise TypeError(f"cache: found a {type(tree).__name__}, expected arrays in tuples, lists and dicts")


def _memory(array):
    """First and last + 1 address of the memory that `array` keeps alive: that of the array it is a view of."""
    owner = base = array
    while (base := getattr(base, "base", None)) is not None:
        if isinstance(base, np.ndarray):
            owner = base
    if not owner.size:
        return 0, 0
    # From strides, not from `nbytes`: an array that repeats itself (stride 0) is smaller than it looks.
    steps = [(n - 1) * stride for n, stride in zip(owner.shape, owner.strides, strict=True)]
    address = owner.__array_interface__["data"][0]
    first = address + sum(step for step in steps if step < 0)
    return first, address + sum(step for step in steps if step > 0) + owner.itemsize


def cache_bytes(cache, params=None):
    """Bytes of memory that a tree of caches keeps alive, each byte once; `params` {name: array} are not counted.

    A view counts as the whole array behind it, because that is what it keeps from being freed.
    """
    regions = sorted({_memory(a) for a in _arrays(cache)} - {_memory(a) for a in _arrays(params or {})})
    total = end = 0
    for first, last in regions:
        total += max(0, last - max(first, end))
        end = max(end, last)
    return total
