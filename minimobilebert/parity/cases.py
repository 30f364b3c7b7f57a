"""The compared models: three of full size and a dozen small ones with all variants, and their random weights.

A MobileBERT with LayerNorm has epsilon 1e-5 here: transformers hard-codes this value in two of its LayerNorms and uses
the setting for the others, so only with 1e-5 are all values equal (see lessons/differences.md).
"""

from typing import NamedTuple

import numpy as np

from ..config import ModelConfig, preset
from ..model.parameters import parameter_shapes

_ODD_EPSILON = 1e-5

# The gain of a dense layer: the ratio of the magnitudes of output and input. It is 0.5 by default. For queries and keys
# it is larger, so that attention is not uniform; for the embedding transformation it is 1 / 0.4, where 0.4 is the
# magnitude of the word vectors.
_GAINS = {".query.": 2.5, ".key.": 2.5, "embedding_transformation": 2.5, "intermediate.dense": 1.0}


class Case(NamedTuple):
    name: str
    config: ModelConfig
    batch_size: int  # B
    tokens: int  # T
    full: bool  # full size; the report shows each layer


def full_models():
    """MobileBERT, MobileBERT_TINY and BERT_BASE at full size."""
    return [Case(name, preset(name), 2, 12, True) for name in ("mobilebert", "mobilebert-tiny", "bert-base")]


def _numbers_of(rng, bottleneck):
    """Random sizes, not only multiples of 8 -> settings of ModelConfig"""
    heads = int(rng.integers(1, 6))
    inner = heads * int(rng.integers(-(-6 // heads), 10))  # at least six features, so that LayerNorm is not degenerate
    hidden = inner + int(rng.integers(1, 12)) if bottleneck else inner
    return {
        "hidden_size": hidden, "embedding_size": int(rng.integers(3, hidden)) if bottleneck else hidden,
        "intra_bottleneck_size": inner, "num_attention_heads": heads, "intermediate_size": int(rng.integers(5, 40)),
        "num_hidden_layers": int(rng.integers(1, 5)), "vocab_size": int(rng.integers(11, 150)),
    }  # fmt: skip


def small_models(seed, count=12):
    """All variants of both families at random sizes. The variants cycle, so that a dozen models has each of them.

    Each fourth model is a BERT. Some MobileBERTs have embeddings as wide as the hidden state (E = H).
    """
    rng = np.random.default_rng([seed, 1])
    cases = []
    for i in range(count):
        bottleneck, number = i % 4 != 3, i - i // 4  # number counts the MobileBERTs
        settings = {
            **_numbers_of(rng, bottleneck), "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
            "hidden_act": ("relu", "gelu", "gelu_tanh")[number % 3 if bottleneck else i // 4 % 3],
        }  # fmt: skip
        tokens = int(rng.integers(2, 20))
        settings["max_position_embeddings"] = tokens + int(rng.integers(0, 9))
        if bottleneck:
            shared = number % 2 == 0
            settings |= {
                "use_bottleneck": True, "key_query_shared_bottleneck": shared, "bottleneck_attention": not shared,
                "normalization_type": ("no_norm", "layer_norm")[number // 2 % 2], "layer_norm_eps": _ODD_EPSILON,
                "num_feedforward_networks": 1 + number % 4, "trigram_input": number % 3 != 1,
                "classifier_activation": number // 3 % 2 == 1,
            }  # fmt: skip
            if number % 4 == 1:
                settings["embedding_size"] = settings["hidden_size"]
        cases.append(Case(f"small {i + 1}", ModelConfig(**settings), int(rng.integers(1, 5)), tokens, False))
    return cases


def random_weights(config, rng):
    """Random parameters that make errors visible: no special values, and activations of magnitude 1 at each depth.

    Dense layers have a gain of 0.5, and normalisation weights are around 0.9, so that (0.5^2 + 1) 0.9^2 = 1 for a layer
    with its residual. With larger gains, 24 layers would make all tokens nearly equal, and the gradients of queries and
    keys would be small differences of large numbers, which float32 cannot represent. The weights of the last LayerNorm
    are smaller, so that no word dominates the softmax.
    -> {name: float32 array}
    """
    params = {}
    for name, shape in parameter_shapes(config, "pretraining").items():
        if name.endswith("LayerNorm.weight"):
            mean, spread = (0.3, 0.1) if name.startswith("cls.") else (0.9, 0.1)
        elif name.endswith("bias"):
            mean, spread = 0.0, 0.1
        elif name.endswith("_embeddings.weight"):
            mean, spread = 0.0, 0.4
        else:
            inputs = shape[0] if name == "cls.predictions.dense.weight" else shape[1]  # its layout is [in, out]
            gain = next((gain for part, gain in _GAINS.items() if part in name), 0.5)
            mean, spread = 0.0, gain / np.sqrt(inputs)
        params[name] = np.float32(mean) + np.float32(spread) * rng.standard_normal(shape, dtype=np.float32)
    return params
