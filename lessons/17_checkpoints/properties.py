"""What lesson 17's functions must do."""

import copy

import numpy as np

from minimobilebert.config import ModelConfig
from minimobilebert.course.shared.properties import prop
from minimobilebert.course.shared.trial import reference

SIZES = {"vocab_size": 13, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 6}
NARROW = {"embedding_size": 4, "intra_bottleneck_size": 4}
MOBILE = ModelConfig(**SIZES, **NARROW, use_bottleneck=True)
WIDE = ModelConfig(**SIZES, embedding_size=8, intra_bottleneck_size=4, use_bottleneck=True)  # no extra word weight
BERT = ModelConfig(**SIZES, embedding_size=8, intra_bottleneck_size=8, use_bottleneck=False, trigram_input=False)
CONFIGS = MOBILE, BERT


def tensors(rng, names):
    return {name: rng.normal(size=int(rng.integers(1, 4))).astype(np.float32) for name in names}


def compare(t, *args):
    right = t.expected(lambda: reference(t.task.function)(*copy.deepcopy(args)))
    t.same("tensors", t.call(*args), right)


# --- 17.1


@prop("17.1", weight=3, essential=True)
def bare_encoder(t):
    """names of a bare encoder, old and new, get the model's prefix and the present spelling"""
    names = ("embeddings.LayerNorm.gamma", "embeddings.LayerNorm.beta", "embeddings.word_embeddings.weight",
             "encoder.layer.0.output.LayerNorm.gamma", "encoder.layer.0.output.LayerNorm.bias",
             "encoder.layer.0.ffn.0.output.dense.weight", "pooler.dense.weight", "pooler.dense.bias")  # fmt: skip
    for config in CONFIGS:
        compare(t, tensors(t.rng, names), config)


@prop("17.1", weight=2, essential=True)
def whole_model(t):
    """a file with prefixes and heads keeps its names, but for gamma and beta"""
    for config in CONFIGS:
        names = (f"{config.prefix}.embeddings.LayerNorm.gamma", f"{config.prefix}.encoder.layer.0.output.dense.weight",
                 f"{config.prefix}.embeddings.LayerNorm.beta", "cls.predictions.bias", "classifier.bias",
                 "cls.predictions.transform.LayerNorm.beta", "cls.predictions.transform.LayerNorm.gamma")  # fmt: skip
        compare(t, tensors(t.rng, names), config)


@prop("17.1", weight=1)
def look_alikes(t):
    """names that only look like these stay as they are"""
    names = (
        "embeddings_old.weight",
        "gamma",
        "other.gamma",
        "x.LayerNorm.gamma.scale",
        "encoders.0.bias",
        "x.pooler.y",
        "xLayerNorm.gamma",
        "encoder.layer.0.InputLayerNorm.beta",
        "LayerNorm.gamma_old",
    )
    compare(t, tensors(t.rng, names), MOBILE)
    with t.case("a normalisation alone"):
        compare(t, tensors(t.rng, ("LayerNorm.gamma", "LayerNorm.beta")), MOBILE)


@prop("17.1", weight=1)
def untouched(t):
    """the dict that was given is as before, and the new one is right"""
    given = tensors(t.rng, ("embeddings.LayerNorm.gamma", "encoder.layer.0.output.dense.bias", "cls.predictions.bias"))
    before = copy.deepcopy(given)
    right = t.expected(lambda: reference(t.task.function)(copy.deepcopy(before), MOBILE))
    result, after = t.call_keeping(given, MOBILE)
    t.same("tensors", result, right)
    t.require(sorted(after[0]) == sorted(before), "the argument has other names than before the call", "argument")


# --- 17.2

HEADS = ("pretraining", "masked-words", "classification", "question-answering", None)


def parameters(rng, config, head, *more):
    """Some names of a model; none but `more` for the extra word weight"""
    names = (f"{config.prefix}.embeddings.word_embeddings.weight", f"{config.prefix}.encoder.layer.0.output.dense.bias")
    if head in ("pretraining", "masked-words"):
        names += "cls.predictions.bias", "cls.predictions.transform.dense.weight"
    return tensors(rng, (*names, *more))


@prop("17.2", weight=4, essential=True)
def every_head(t):
    """both families, every head"""
    for config in (WIDE, BERT):
        for head in HEADS:
            compare(t, parameters(t.rng, config, head), config, head)


@prop("17.2", weight=1)
def weight_that_is_there(t):
    """the extra word weight is written as it is where we have one"""
    for head in ("pretraining", "masked-words"):
        compare(t, parameters(t.rng, MOBILE, head, "cls.predictions.dense.weight"), MOBILE, head)


@prop("17.2", weight=1)
def prefix_at_the_front(t):
    """the prefix goes at the front of a name only, once"""
    for config in CONFIGS:
        odd = f"{config.prefix}.encoder.{config.prefix}.bias", f"{config.prefix}.{config.prefix}.weight", "tremble.bias"
        compare(t, parameters(t.rng, config, None, *odd), config, None)


@prop("17.2", weight=1)
def parameters_untouched(t):
    """the parameters have the same names after the call"""
    for head in ("pretraining", None):
        given = parameters(t.rng, WIDE, head)
        before = copy.deepcopy(given)
        right = t.expected(lambda head=head, b=before: reference(t.task.function)(copy.deepcopy(b), WIDE, head))
        result, after = t.call_keeping(given, WIDE, head)
        t.same("tensors", result, right)
        t.require(sorted(after[0]) == sorted(before), "the argument has other names than before the call", "params")
