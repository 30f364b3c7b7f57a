"""All settings of `distil`. Each can be changed with `--set NAME=VALUE`, and so can the fields of the student.

The default "auto" of four settings depends on whether the teacher is a sentence encoder, converted with settings for
sentence vectors, which are what its users read:

                   the mean of all tokens    another pooling    no sentence encoder
    strategy       "none"                    "auxiliary"        "joint"
    words_start    "outputs"                 "embeddings"       "embeddings"
    random_words   0.15                      0.15               0
    max_length     20                        20                 64

`max_length` is less where the teacher reads shorter texts. With means, the student starts as a good bag of words;
comparing its layers as well took twice the time and gave less (lessons/results.md). Random words stay out of the text
of a teacher of masked words.

A factor is the weight of one term of the loss (distillation/encoder_transfer.py); 0 switches the term off. The default
"auto" of a factor switches on what the two models allow:

    feature_factor    1 if both have the same width H
    attention_factor  1 if both have the same number of heads, else relation_factor is 1: relations of queries, keys and
                      values do not depend on heads
    direction_factor  if both have the same H; else similarity_factor: the similarities do not depend on the width
    words_factor      1 if the teacher has a head for masked words
"""

import dataclasses
import functools
import math

from ..config import ConfigError, ModelConfig, config_from_strings
from ..distillation.encoder_transfer import EncoderTransfer
from ..distillation.layer_transfer import FEATURE_LOSSES
from ..distillation.relation_transfer import check_relation_heads
from ..distributed.reduction import DETERMINISTIC, REDUCTIONS
from ..kernels.runtime.precision import PRECISIONS
from ..model.parameters import block_shapes
from ..model.sentence_settings import SentenceSettings
from ..pipeline.settings import check_values, values_from_strings
from ..support.numbers import COUNT, FACTOR, RATE, SEED, SHARE
from ..support.shapes import Number, OneOf
from .layer_mapping import UNIFORM, layer_pairs
from .students import named_student

AUTO, EMBEDDINGS, OUTPUTS = "auto", "embeddings", "outputs"
SAME, INT8 = "same", "int8"
_FACTOR = (OneOf(AUTO), FACTOR)
_RANDOM_WORDS, _SENTENCE_LENGTH = 0.15, 20
SHAPES = {
    "seed": SEED,
    "precision": OneOf(*PRECISIONS),
    "teacher_precision": OneOf(SAME, INT8),
    "parts": COUNT,
    "reduction": OneOf(*REDUCTIONS),
    "overlap": bool,
    "shard_optimizer": bool,
    "strategy": OneOf(AUTO, "progressive", "joint", "auxiliary", "none"),
    "layers": str,
    "words_start": OneOf(AUTO, EMBEDDINGS, OUTPUTS),
    "random_words": (OneOf(AUTO), SHARE),
    "steps": COUNT,
    "batch_size": COUNT,
    "max_length": (OneOf(AUTO), COUNT),
    "learning_rate": RATE,
    "warmup_fraction": Number(0.001, 0.999),
    "transfer_fraction": Number(0.001, 0.999),
    "weight_decay": FACTOR,
    "clip_norm": RATE,
    "feature_loss": OneOf(*FEATURE_LOSSES),
    "feature_factor": _FACTOR,
    "attention_factor": _FACTOR,
    "relation_factor": _FACTOR,
    "relation_heads": COUNT,
    "embedding_factor": _FACTOR,
    "direction_factor": _FACTOR,
    "similarity_factor": _FACTOR,
    "words_factor": _FACTOR,
    "words_alpha": Number(0.001, 0.999),
}


@dataclasses.dataclass(frozen=True)
class DistilSettings:
    """Settings of one distillation. A step is an update with `batch_size` texts.

    student_config: the student; teacher_layers: their number; pooling: how the teacher makes one vector of a text
    """

    student_config: ModelConfig
    teacher_layers: int
    pooling: str = "mean"
    seed: int = 1
    precision: str = "float32"  # of matrix products: "float32" or "bfloat16" (ops/bfloat16.py)
    teacher_precision: str = SAME  # or "int8", where nothing but its vectors is read: model/quantization.py
    parts: int = 1  # of a batch, whose gradients are added; under mpiexec 4, or one for each rank if there are more
    reduction: str = DETERMINISTIC  # or "fast", "bfloat16": distributed/reduction.py
    overlap: bool = True  # gradients travel during the backward pass; changes no bit: distributed/overlap.py
    shard_optimizer: bool = False  # each rank keeps the moments of some parameters: training/sharded_optimizer.py
    strategy: str = "joint"  # or "progressive", "auxiliary", "none": stages.py describes the strategies
    layers: str = UNIFORM  # or numbers of the teacher's layers: layer_mapping.py
    words_start: str = EMBEDDINGS  # or "outputs" of the teacher for single words: first_values.py
    random_words: float = 0.0  # share of the words that each step replaces: text/random_words.py
    steps: int = 1200
    batch_size: int = 64
    max_length: int = 64  # pieces of a text; longer ones are cut
    learning_rate: float = 2e-3
    warmup_fraction: float = 0.05
    transfer_fraction: float = 0.25  # of the steps: transfer, before distillation
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    feature_loss: str = "paper"
    feature_factor: float = 1.0
    attention_factor: float = 1.0
    relation_factor: float = 0.0
    relation_heads: int = 1
    embedding_factor: float = 1.0
    direction_factor: float = 5.0
    similarity_factor: float = 0.0
    words_factor: float = 0.0
    words_alpha: float = 0.5

    def __post_init__(self):
        check_values(self, SHAPES)
        _ = self.pairs  # ValueError if the layers do not fit

    @functools.cached_property
    def pairs(self):
        """The layers that are compared, from layer_pairs"""
        return layer_pairs(self.layers, self.student_config.num_hidden_layers, self.teacher_layers)

    @property
    def transfer(self):
        """The loss of the main stage -> EncoderTransfer"""
        return EncoderTransfer(**{name: getattr(self, name) for name in EncoderTransfer._fields})

    @property
    def transfer_of_layers(self):
        """The loss of the transfer stage: layers and embedding outputs -> EncoderTransfer"""
        return self.transfer._replace(direction_factor=0.0, similarity_factor=0.0, words_factor=0.0)

    @property
    def distillation(self):
        """The loss of the last stage: sentence vectors and masked words -> EncoderTransfer"""
        nothing = dict.fromkeys(("feature_factor", "attention_factor", "relation_factor", "embedding_factor"), 0.0)
        return self.transfer._replace(**nothing)

    @property
    def only_vectors(self):
        """The ablation: sentence vectors alone -> EncoderTransfer"""
        return self.distillation._replace(words_factor=0.0)

    @property
    def losses(self):
        """The loss of each stage -> {what the stage does: EncoderTransfer}"""
        if self.strategy == "auxiliary":
            return {"transfer and distillation": self.transfer}
        transfer = {"transfer": self.transfer_of_layers} if self.transfer_steps else {}
        return {**transfer, "distillation": self.distillation}

    @property
    def transfer_steps(self):
        """Updates of the transfer stage; in progressive transfer the same number for each layer"""
        if self.strategy in ("auxiliary", "none"):
            return 0
        steps = max(int(self.steps * self.transfer_fraction), 1)
        layers = len(self.pairs)
        return max(steps // layers, 1) * layers if self.strategy == "progressive" else steps

    @property
    def has_words(self):
        """True if the student learns masked words from the teacher."""
        return self.words_factor > 0.0

    def described(self):
        """-> {name: value} for config.json; the student's fields are student.NAME"""
        values = {name: value for name, value in dataclasses.asdict(self).items() if name != "student_config"}
        return values | {f"student.{name}": value for name, value in dataclasses.asdict(self.student_config).items()}


def _automatic_way(sentence, teacher_has_words):
    """What depends on the kind of teacher; sentence: SentenceSettings or None -> {name: value}"""
    if not sentence:
        return {"strategy": "joint", "words_start": EMBEDDINGS}
    means = sentence.pooling == "mean"
    return {
        "strategy": "none" if means else "auxiliary",
        "words_start": OUTPUTS if means else EMBEDDINGS,
        "random_words": 0.0 if teacher_has_words else _RANDOM_WORDS,
        "max_length": _SENTENCE_LENGTH,
    }


def _automatic_factors(config, teacher, teacher_has_words):
    """The factors that the two models allow -> {name: value}"""
    same_width, same_heads = (
        getattr(config, name) == getattr(teacher, name) for name in ("hidden_size", "num_attention_heads")
    )
    return {
        "feature_factor": float(same_width),
        "attention_factor": float(same_heads),
        "relation_factor": float(not same_heads),
        "embedding_factor": float(same_width),
        "direction_factor": DistilSettings.direction_factor if same_width else 0.0,
        "similarity_factor": 0.0 if same_width else 10.0,
        "words_factor": float(teacher_has_words),
    }


def _check_possible(settings, teacher, teacher_has_words):
    """ConfigError for a term that the two models do not allow."""
    if settings.teacher_precision == INT8 and not all(loss.only_vectors for loss in settings.losses.values()):
        raise ConfigError(
            f"teacher_precision: found int8 with strategy {settings.strategy} and words_factor"
            f" {settings.words_factor:g}, expected same: in 8 bits a teacher gives sentence vectors alone"
        )
    config = settings.student_config
    for name in ("feature_factor", "embedding_factor", "direction_factor"):
        if getattr(settings, name) and config.hidden_size != teacher.hidden_size:
            raise ConfigError(f"{name}: found {getattr(settings, name)} with widths {config.hidden_size} and"
                              f" {teacher.hidden_size}, expected 0: only equal widths can be compared")  # fmt: skip
    if settings.attention_factor and config.num_attention_heads != teacher.num_attention_heads:
        raise ConfigError(
            f"attention_factor: found {settings.attention_factor} with {config.num_attention_heads} and"
            f" {teacher.num_attention_heads} heads, expected 0: use relation_factor, which needs no equal heads"
        )
    if settings.relation_factor:
        try:
            check_relation_heads(settings.relation_heads, config.inner_size, teacher.inner_size)
        except ValueError as error:
            raise ConfigError(str(error)) from None
    if settings.words_factor and not teacher_has_words:
        raise ConfigError("words_factor: found it above 0, expected 0: the teacher has no head for masked words")
    if config.vocab_size != teacher.vocab_size:
        raise ConfigError(f"vocab_size: found {config.vocab_size}, expected the teacher's {teacher.vocab_size}")
    if config.embedding_size > teacher.embedding_size:
        raise ConfigError(
            f"embedding_size: found {config.embedding_size}, expected at most the teacher's {teacher.embedding_size}"
        )
    if settings.words_start == OUTPUTS and not config.has_embedding_transformation:
        raise ConfigError(
            f"words_start: found outputs with word vectors of the width {config.hidden_size} and no trigrams, expected"
            " embeddings: outputs go through the map from word vectors to the width, which this student lacks"
        )
    if settings.words_start == OUTPUTS and config.embedding_size > teacher.hidden_size:
        raise ConfigError(
            f"embedding_size: found {config.embedding_size} with words_start outputs, expected at most"
            f" {teacher.hidden_size}: these have no more directions"
        )
    if settings.similarity_factor and settings.batch_size < 2:
        raise ConfigError("batch_size: found 1, expected at least 2: similarities compare the texts of a batch")
    positions = min(config.max_position_embeddings, teacher.max_position_embeddings)
    if settings.max_length > positions:
        raise ConfigError(f"max_length: found {settings.max_length}, expected at most {positions} (the positions)")
    if settings.steps <= settings.transfer_steps:
        raise ConfigError(
            f"steps: found {settings.steps}, expected more than the {settings.transfer_steps} of transfer"
        )
    for name, transfer in settings.losses.items():
        if not any(getattr(transfer, factor) for factor in transfer._fields if factor.endswith("_factor")):
            raise ConfigError(
                f"strategy {settings.strategy}: found every factor of {name} 0, expected a term to learn from"
            )


def _check_read(settings, given, teacher):
    """ConfigError for a setting in `given` that no term of the loss and no first value reads."""
    layers = settings.strategy != "none"
    copied = block_shapes(settings.student_config) == block_shapes(teacher)  # blocks start from the teacher's
    read = {
        "layers": layers or copied,
        **dict.fromkeys(("feature_factor", "attention_factor", "relation_factor", "embedding_factor"), layers),
        "feature_loss": layers and settings.feature_factor > 0.0,
        "relation_heads": layers and settings.relation_factor > 0.0,
        "transfer_fraction": settings.transfer_steps > 0,
        "words_alpha": settings.has_words,
    }
    for name, is_read in read.items():
        if not is_read and given.get(name, 0) != 0:
            raise ConfigError(f"{name}: found {given[name]} with strategy {settings.strategy}, which does not read it"
                              " for these two models, expected none (or another strategy or factor)")  # fmt: skip


def settings_for(saved, *, student="mobile", seed=1, changes=None, **options):
    """DistilSettings for a teacher; ConfigError or ValueError for an unknown name or a bad value.

    saved: the teacher, a SavedModel; student: a name of students.NAMES
    changes: {name: text} of `--set`, for settings and for fields of the student's ModelConfig
    options: settings that have an option of their own, or None
    """
    teacher, sentence = saved.config, saved.sentence or SentenceSettings()
    has_words = saved.head in ("pretraining", "masked-words")
    changes = dict(changes or {})
    own = {name: changes.pop(name) for name in list(changes) if name in SHAPES}
    config = config_from_strings(named_student(student, teacher), changes)
    values = values_from_strings(own, SHAPES, seed)
    values |= {name: value for name, value in options.items() if value is not None}
    heads = math.gcd(teacher.num_attention_heads, config.inner_size, teacher.inner_size)
    given = {name: value for name, value in values.items() if value != AUTO}
    values = {
        "relation_heads": heads,
        **_automatic_factors(config, teacher, has_words),
        **_automatic_way(saved.sentence, has_words),
        **given,
    }
    if "max_length" not in given:
        values["max_length"] = min(values.get("max_length", DistilSettings.max_length), sentence.longest(teacher))
    if values["words_start"] == OUTPUTS and "embedding_factor" not in given:
        values["embedding_factor"] = 0.0  # the student's embedding outputs have another meaning than the teacher's
    settings = DistilSettings(config, teacher.num_hidden_layers, sentence.pooling, **values)
    _check_possible(settings, teacher, has_words)
    _check_read(settings, given, teacher)
    return settings
