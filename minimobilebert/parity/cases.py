"""Which models are compared: three of full size and a dozen small ones of every kind, and their random weights.

Where a MobileBERT has LayerNorm, its epsilon here is 1e-5: transformers has that value written into two of its
LayerNorms and takes the setting for the others, so only then is there one value (see lessons/differences.md).
"""

from typing import NamedTuple

import numpy as np

from ..config import ModelConfig, preset
from ..model.parameters import parameter_shapes

_ODD_EPSILON = 1e-5

# How much a dense layer makes of its input's size: 0.5, but queries and keys more, so that attention prefers some
# tokens, and the embedding transformation as much as undoes the word vectors' 0.4.
_GAINS = {".query.": 2.5, ".key.": 2.5, "embedding_transformation": 2.5, "intermediate.dense": 1.0}


class Case(NamedTuple):
    name: str
    config: ModelConfig
    batch_size: int  # B
    tokens: int  # T
    full: bool  # full size: shown layer by layer


def full_models():
    """The two MobileBERTs as released or specified, and all of BERT_BASE."""
    return [Case(name, preset(name), 2, 12, True) for name in ("mobilebert", "mobilebert-tiny", "bert-base")]


def _numbers_of(rng, bottleneck):
    """Random sizes, odd ones too -> settings of ModelConfig"""
    heads = int(rng.integers(1, 6))
    inner = heads * int(rng.integers(-(-6 // heads), 10))  # below six features LayerNorm leaves little to compare
    hidden = inner + int(rng.integers(1, 12)) if bottleneck else inner
    return {
        "hidden_size": hidden, "embedding_size": int(rng.integers(3, hidden)) if bottleneck else hidden,
        "intra_bottleneck_size": inner, "num_attention_heads": heads, "intermediate_size": int(rng.integers(5, 40)),
        "num_hidden_layers": int(rng.integers(1, 5)), "vocab_size": int(rng.integers(11, 150)),
    }  # fmt: skip


def small_models(seed, count=12):
    """Every kind of both families at random sizes. The kinds go round, so that a dozen has each of them.

    One in four is a BERT. Of the MobileBERTs some have word vectors as wide as the hidden state (E = H).
    """
    rng = np.random.default_rng([seed, 1])
    cases = []
    for i in range(count):
        bottleneck, kind = i % 4 != 3, i - i // 4  # kind counts the MobileBERTs
        settings = {
            **_numbers_of(rng, bottleneck), "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
            "hidden_act": ("relu", "gelu", "gelu_tanh")[kind % 3 if bottleneck else i // 4 % 3],
        }  # fmt: skip
        tokens = int(rng.integers(2, 20))
        settings["max_position_embeddings"] = tokens + int(rng.integers(0, 9))
        if bottleneck:
            shared = kind % 2 == 0
            settings |= {
                "use_bottleneck": True, "key_query_shared_bottleneck": shared, "bottleneck_attention": not shared,
                "normalization_type": ("no_norm", "layer_norm")[kind // 2 % 2], "layer_norm_eps": _ODD_EPSILON,
                "num_feedforward_networks": 1 + kind % 4, "trigram_input": kind % 3 != 1,
                "classifier_activation": kind // 3 % 2 == 1,
            }  # fmt: skip
            if kind % 4 == 1:
                settings["embedding_size"] = settings["hidden_size"]
        cases.append(Case(f"small {i + 1}", ModelConfig(**settings), int(rng.integers(1, 5)), tokens, False))
    return cases


def random_weights(config, rng):
    """Parameters that let every mistake show: none at a special value, activations of size 1 at any depth.

    Layers gain 0.5 and norm weights lie around 0.9, so that (0.5^2 + 1) 0.9^2 = 1 around a residual. With larger gains
    24 layers make all tokens nearly alike, and the gradients of queries and keys are then small differences of large
    numbers, which float32 cannot hold. The last LayerNorm is quieter, so that no word takes all of the softmax.
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
            inputs = shape[0] if name == "cls.predictions.dense.weight" else shape[1]  # that one is stored [in, out]
            gain = next((gain for part, gain in _GAINS.items() if part in name), 0.5)
            mean, spread = 0.0, gain / np.sqrt(inputs)
        params[name] = np.float32(mean) + np.float32(spread) * rng.standard_normal(shape, dtype=np.float32)
    return params
