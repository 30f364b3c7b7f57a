"""Small models and batches that several tests share."""

import numpy as np

from minimobilebert.config import ModelConfig
from minimobilebert.model.parameters import init_parameters, parameter_shapes
from minimobilebert.text.batches import PretrainingBatch

_SIZES = {
    "vocab_size": 37, "hidden_size": 12, "embedding_size": 6, "intra_bottleneck_size": 8, "intermediate_size": 10,
    "num_hidden_layers": 3, "num_attention_heads": 2, "max_position_embeddings": 11, "initializer_range": 0.4,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip

CONFIGS = {
    "bert": ModelConfig(**{**_SIZES, "embedding_size": 12, "hidden_act": "gelu"}),
    "ib-bert": ModelConfig(**_SIZES, use_bottleneck=True, trigram_input=True, hidden_act="gelu_tanh"),
    "mobilebert": ModelConfig(
        **_SIZES, use_bottleneck=True, trigram_input=True, key_query_shared_bottleneck=True, hidden_act="relu",
        num_feedforward_networks=3, normalization_type="no_norm", classifier_activation=False,
    ),
    "mobilebert-paper": ModelConfig(
        **_SIZES, use_bottleneck=True, trigram_input=True, hidden_act="gelu", num_feedforward_networks=2,
        normalization_type="no_norm", classifier_activation=False,
    ),
    "mobilebert-tiny": ModelConfig(
        **_SIZES, use_bottleneck=True, trigram_input=True, bottleneck_attention=True, hidden_act="gelu_tanh",
        num_feedforward_networks=2, normalization_type="layer_norm", classifier_activation=False,
    ),
}  # fmt: skip


def random_parameters(config, rng, head="pretraining", num_labels=None, dtype=np.float64):
    """Parameters with no entry at a special value: biases and norm weights are moved off 0 and 1."""
    params = init_parameters(parameter_shapes(config, head, num_labels), config, rng, dtype)
    for array in params.values():
        if array.ndim == 1:
            array += rng.normal(0.0, 0.2, array.shape)
    return params


def random_batch(config, rng, lengths=(9, 4, 7), masked=5):
    """A pre-training batch with padding, both segments, and `masked` masked positions."""
    tokens = max(lengths)
    mask = np.arange(tokens) < np.array(lengths)[:, None]
    ids = np.where(mask, rng.integers(5, config.vocab_size, mask.shape), 0).astype(np.int32)
    segments = np.where(mask, np.arange(tokens) >= np.array(lengths)[:, None] // 2, 0).astype(np.int32)
    positions = np.sort(rng.choice(np.flatnonzero(mask), masked, replace=False))
    return PretrainingBatch(
        ids, segments, mask, positions, rng.integers(0, config.vocab_size, masked).astype(np.int32),
        rng.integers(0, 2, len(lengths)).astype(np.int32),
    )  # fmt: skip
