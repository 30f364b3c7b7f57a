"""The configuration of a model as a dataclass, and presets for all models of the paper.

BERT, the inverted-bottleneck teacher (IB-BERT), MobileBERT and MobileBERT_TINY have the same block with different
settings (paper Table 1 and Figure 1). The field names are those of the released JSON files.

Letters for dimensions in the whole project: B batch, T tokens, H `hidden_size`, C `intra_bottleneck_size`,
A `num_attention_heads`, K head size (C / A), F `intermediate_size`, E `embedding_size`, V `vocab_size`,
L `num_hidden_layers`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from .support.numbers import value_of
from .support.shapes import Integer, Number, OneOf, ShapeError, check

ACTIVATIONS = ("relu", "gelu", "gelu_tanh")
NORMALIZATIONS = ("no_norm", "layer_norm")


# The valid values of the fields. The upper limits are far above any existing model; with larger values, even the list
# of parameter names would not fit into memory.
_WIDTH, _DROPOUT = Integer(1, 65_536), Number(0.0, 0.999)
_SHAPES = {
    "vocab_size": Integer(1, 10_000_000),
    "hidden_size": _WIDTH,
    "embedding_size": _WIDTH,
    "intra_bottleneck_size": _WIDTH,
    "intermediate_size": Integer(1, 1_000_000),
    "num_hidden_layers": Integer(1, 1_000),
    "num_attention_heads": _WIDTH,
    "num_feedforward_networks": Integer(1, 100),
    "use_bottleneck": bool,
    "bottleneck_attention": bool,
    "key_query_shared_bottleneck": bool,
    "trigram_input": bool,
    "normalization_type": OneOf(*NORMALIZATIONS),
    "hidden_act": OneOf(*ACTIVATIONS),
    "classifier_activation": bool,
    "tie_word_embeddings": bool,
    "hidden_dropout_prob": _DROPOUT,
    "attention_probs_dropout_prob": _DROPOUT,
    "max_position_embeddings": Integer(1, 10_000_000),
    "type_vocab_size": Integer(1, 1_000),
    "initializer_range": Number(0.0, 100.0),
    "layer_norm_eps": Number(1e-30, 1.0),
}


class ConfigError(ValueError):
    """A setting is unknown, invalid, or inconsistent with the others. The message is one line."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The architecture of one encoder with its embeddings.

    use_bottleneck               blocks have an input (H -> C) and an output bottleneck (C -> H) (Section 3.1)
    bottleneck_attention         queries, keys and values read the output of the input bottleneck (MobileBERT_TINY)
    key_query_shared_bottleneck  queries and keys share a second bottleneck (the released MobileBERT)
    num_feedforward_networks     number of stacked feed-forward networks per block (Section 3.2)
    normalization_type           "layer_norm" or "no_norm" (Section 3.3)
    hidden_act                   "relu", "gelu" (erf form) or "gelu_tanh" (Section 3.3)
    trigram_input                the embedding of a token includes its two neighbours (Section 3.1)
    classifier_activation        True: the pooler is tanh(dense([CLS])); False: it is the [CLS] vector
    tie_word_embeddings          True: the decoder uses the word table; False: it has its own table
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    embedding_size: int = 768
    intra_bottleneck_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_feedforward_networks: int = 1
    use_bottleneck: bool = False
    bottleneck_attention: bool = False
    key_query_shared_bottleneck: bool = False
    trigram_input: bool = False
    normalization_type: str = "layer_norm"
    hidden_act: str = "gelu"
    classifier_activation: bool = True
    tie_word_embeddings: bool = True
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        for name, shape in _SHAPES.items():
            try:
                value = check(getattr(self, name), shape, name)
            except ShapeError as error:
                raise ConfigError(str(error)) from None
            if isinstance(shape, Number):
                object.__setattr__(self, name, float(value))  # JSON may have 0 instead of 0.0
        if self.inner_size % self.num_attention_heads:
            raise ConfigError(
                f"num_attention_heads: found {self.num_attention_heads}, expected a divisor of the block width"
                f" {self.inner_size}"
            )
        if self.embedding_size > self.hidden_size:
            raise ConfigError(
                f"embedding_size: found {self.embedding_size}, expected at most hidden_size {self.hidden_size}"
            )
        if not self.use_bottleneck and (self.bottleneck_attention or self.key_query_shared_bottleneck):
            raise ConfigError("use_bottleneck: found False, expected True because a bottleneck for attention is set")

    @property
    def inner_size(self) -> int:
        """C, the width inside a block: the bottleneck size, or H without bottlenecks."""
        return self.intra_bottleneck_size if self.use_bottleneck else self.hidden_size

    @property
    def has_embedding_transformation(self) -> bool:
        """True if a dense layer maps the embeddings (E, or 3E with trigrams) to H."""
        return self.trigram_input or self.embedding_size != self.hidden_size

    @property
    def prefix(self) -> str:
        """The first part of the names of all encoder parameters, as in Hugging Face's files."""
        return "mobilebert" if self.use_bottleneck else "bert"

    def replace(self, **changes: Any) -> "ModelConfig":
        """A copy with some fields changed; unknown names and bad values raise ConfigError."""
        return config_from_dict({**dataclasses.asdict(self), **changes})


def config_from_dict(settings: Mapping[str, Any]) -> ModelConfig:
    """ModelConfig from a dict; ConfigError for an unknown name."""
    known = {field.name for field in dataclasses.fields(ModelConfig)}
    for name in settings:
        if name not in known:
            raise ConfigError(f"unknown setting {name!r}, expected one of {', '.join(sorted(known))}")
    return ModelConfig(**settings)


def config_from_strings(config: ModelConfig, changes: Mapping[str, str]) -> ModelConfig:
    """A copy with fields changed to the values in these texts; ConfigError for an unknown name or a bad value."""
    values: dict[str, Any] = {}
    for name, text in changes.items():
        if name not in _SHAPES:
            raise ConfigError(f"unknown setting {name!r}, expected one of {', '.join(sorted(_SHAPES))}")
        try:
            values[name] = value_of(text, _SHAPES[name], name)
        except ValueError as error:
            raise ConfigError(str(error)) from None
    return config.replace(**values)


_BERT_LARGE = ModelConfig(
    hidden_size=1024, embedding_size=1024, intra_bottleneck_size=1024,
    intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16,
)  # fmt: skip

# The teacher: column 3 of Table 1, and the released file uncased_L-24_H-1024_B-512_A-4.
_IB_BERT_LARGE = ModelConfig(
    hidden_size=512, embedding_size=128, intra_bottleneck_size=1024, intermediate_size=4096,
    num_hidden_layers=24, num_attention_heads=4, use_bottleneck=True, trigram_input=True, hidden_act="gelu_tanh",
)  # fmt: skip

# The released student: uncased_L-24_H-128_B-512_A-4_F-4_OPT.
_MOBILEBERT = _IB_BERT_LARGE.replace(
    intra_bottleneck_size=128, intermediate_size=512, num_feedforward_networks=4, key_query_shared_bottleneck=True,
    normalization_type="no_norm", hidden_act="relu", hidden_dropout_prob=0.0, classifier_activation=False,
)  # fmt: skip

# Teacher and student at classroom size: the same blocks, but small enough to train in minutes on two cores. Initial
# weights have a larger standard deviation than the paper's 0.02, which is for layers eight times as wide: with 0.02
# these models train much more slowly.
_CLASSROOM_TEACHER = _IB_BERT_LARGE.replace(
    vocab_size=4096, hidden_size=128, embedding_size=64, intra_bottleneck_size=128, intermediate_size=512,
    num_hidden_layers=4, max_position_embeddings=64, initializer_range=0.05,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip
_CLASSROOM_STUDENT = _MOBILEBERT.replace(
    vocab_size=4096, hidden_size=128, embedding_size=64, intra_bottleneck_size=32, intermediate_size=128,
    num_hidden_layers=4, max_position_embeddings=64, initializer_range=0.05, attention_probs_dropout_prob=0.0,
)  # fmt: skip

PRESETS = {
    "bert-base": ModelConfig(),
    "bert-large": _BERT_LARGE,
    "ib-bert-large": _IB_BERT_LARGE,
    "mobilebert": _MOBILEBERT,
    "mobilebert-paper": _MOBILEBERT.replace(key_query_shared_bottleneck=False),
    "mobilebert-no-opt": _MOBILEBERT.replace(normalization_type="layer_norm", hidden_act="gelu_tanh"),
    "mobilebert-tiny": _MOBILEBERT.replace(
        key_query_shared_bottleneck=False, bottleneck_attention=True, num_feedforward_networks=2
    ),
    "classroom-teacher": _CLASSROOM_TEACHER,
    "classroom-student": _CLASSROOM_STUDENT,
}


def preset(name: str, **changes: Any) -> ModelConfig:
    """The named configuration, with `changes` applied. ConfigError for an unknown name."""
    if name not in PRESETS:
        raise ConfigError(f"unknown model {name!r}, expected one of {', '.join(PRESETS)}")
    return PRESETS[name].replace(**changes)
