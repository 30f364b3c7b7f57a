"""What a model returns, by its head. B texts of T tokens:

    none                  last_hidden_state [B, T, H]
    sentence encoder      last_hidden_state, sentence_embedding [B, H], and then what its head returns
    masked words          logits [B, T, V]
    pre-training          logits, seq_relationship_logits [B, 2]
    classification        logits [B, number of labels]; a regression has one
    question answering    start_logits, end_logits [B, T]

The names are those that Hugging Face's exports have, so that programs that were written for them find the arrays.
"""

import numpy as np

from ...model.heads import words_name
from ...ops.quantized_linear import QuantizedWeight
from ..safetensors_files import InteropError
from .operations import ACTIVATIONS, dense, layernorm
from .quantized import quantized_table_product

_MLM = "cls.predictions"
_BATCH, _LENGTH = "batch", "length"


def _first(graph, hidden, name):
    """hidden [B, T, H] -> the vectors of [CLS], [B, H]"""
    return graph.node("Gather", [hidden, graph.number(0, np.int64)], name, axis=1)


def pooled(graph, params, config, hidden):
    """tanh(dense([CLS])), or [CLS] itself; hidden [B, T, H] -> [B, H]"""
    first = _first(graph, hidden, "pooler.first")
    if not config.classifier_activation:
        return first
    return graph.node("Tanh", [dense(graph, params, f"{config.prefix}.pooler.dense", first)], "pooler.tanh")


def word_logits(graph, params, config, hidden):
    """t = LayerNorm(activation(dense(hidden))), logits = t[:, :E] words^T + bias + t[:, E:] free -> [B, T, V]"""
    t = ACTIVATIONS[config.hidden_act](graph, f"{_MLM}.act", dense(graph, params, f"{_MLM}.transform.dense", hidden))
    t = layernorm(graph, params, config, f"{_MLM}.transform.LayerNorm", t)
    name, free = words_name(config), params.get(f"{_MLM}.dense.weight")
    words, rest = params[name], None
    if free is not None:
        t, rest = graph.split(t, [words.shape[1], free.shape[0]], -1, f"{_MLM}.parts")
    if isinstance(words, QuantizedWeight):
        logits = quantized_table_product(graph, name, words, t, f"{_MLM}.words")
    else:
        columns = graph.node("Transpose", [graph.array(name, words)], f"{name}.transposed", perm=[1, 0])
        logits = graph.node("MatMul", [t, columns], f"{_MLM}.words")
    logits = graph.node("Add", [logits, graph.array(f"{_MLM}.bias", params[f"{_MLM}.bias"])], f"{_MLM}.sum")
    if free is None:
        return logits
    others = graph.node("MatMul", [rest, graph.array(f"{_MLM}.dense.weight", free)], f"{_MLM}.free")
    return graph.node("Add", [logits, others], f"{_MLM}.logits")


def _masked_words(graph, params, config, hidden):
    logits = word_logits(graph, params, config, hidden)
    graph.output("logits", logits, np.float32, [_BATCH, _LENGTH, config.vocab_size])


def _pretraining(graph, params, config, hidden):
    _masked_words(graph, params, config, hidden)
    logits = dense(graph, params, "cls.seq_relationship", pooled(graph, params, config, hidden))
    graph.output("seq_relationship_logits", logits, np.float32, [_BATCH, 2])


def _classification(graph, params, config, hidden):
    logits = dense(graph, params, "classifier", pooled(graph, params, config, hidden))
    graph.output("logits", logits, np.float32, [_BATCH, len(params["classifier.bias"])])


def _question_answering(graph, params, config, hidden):
    parts = graph.split(dense(graph, params, "qa_outputs", hidden), [1, 1], -1, "qa_outputs.parts")
    for part, name in zip(parts, ("start_logits", "end_logits"), strict=True):
        logits = graph.node("Squeeze", [part, graph.number([-1], np.int64)], f"{part}.flat")
        graph.output(name, logits, np.float32, [_BATCH, _LENGTH])


_HEADS = {"masked-words": _masked_words, "pretraining": _pretraining, "classification": _classification,
          "question-answering": _question_answering, None: None}  # fmt: skip


def check_head(head, location):
    """InteropError for a head that has no form as a graph."""
    if head not in _HEADS:
        known = ", ".join(name for name in _HEADS if name)
        raise InteropError(f"{location}: found the head {head!r}, expected one of {known}, or none")


def sentence_embedding(graph, settings, hidden, mask):
    """The equations of ops/pooling.py; hidden [B, T, H], mask [B, T] bool -> [B, H]"""
    if settings.pooling == "cls":
        vectors = _first(graph, hidden, "pooling.first")
    else:
        real = graph.node("Unsqueeze", [mask, graph.number([-1], np.int64)], "pooling.mask")  # [B, T, 1]
        padding = 0.0 if settings.pooling == "mean" else -np.inf
        tokens = graph.node("Where", [real, hidden, graph.number(padding)], "pooling.tokens")
        if settings.pooling == "mean":
            one = graph.number([1], np.int64)
            count = graph.cast(real, np.float32, "pooling.ones")
            count = graph.node("ReduceSum", [count, one], "pooling.count", keepdims=0)
            total = graph.node("ReduceSum", [tokens, one], "pooling.total", keepdims=0)
            vectors = graph.node("Div", [total, count], "pooling.mean")
        else:
            vectors = graph.node("ReduceMax", [tokens], "pooling.max", axes=[1], keepdims=0)
    return _unit(graph, vectors) if settings.normalize else vectors


def _unit(graph, x, eps=1e-12):
    """Vectors of length 1; x [B, H] -> [B, H]. Dividing by the largest number first keeps the squares in range."""
    largest = graph.node("ReduceMax", [graph.node("Abs", [x], "unit.abs")], "unit.largest", axes=[-1], keepdims=1)
    nothing = graph.node("Equal", [largest, graph.number(0.0)], "unit.nothing")
    s = graph.node("Where", [nothing, graph.number(1.0), largest], "unit.s")
    z = graph.node("Div", [x, s], "unit.z")
    last = graph.number([-1], np.int64)
    square = graph.node("ReduceSum", [graph.node("Mul", [z, z], "unit.squares"), last], "unit.square", keepdims=1)
    r = graph.node("Mul", [s, graph.node("Sqrt", [square], "unit.root")], "unit.r")
    return graph.node("Div", [x, graph.node("Max", [r, graph.number(eps)], "unit.length")], "unit.vectors")


def outputs(graph, params, config, head, sentence, hidden, mask):
    """Add the outputs of a model; head, sentence: as in SavedModel; hidden [B, T, H], mask [B, T] bool"""
    if head is None or sentence:
        graph.output("last_hidden_state", hidden, np.float32, [_BATCH, _LENGTH, config.hidden_size])
    if sentence:
        vectors = sentence_embedding(graph, sentence, hidden, mask)
        graph.output("sentence_embedding", vectors, np.float32, [_BATCH, config.hidden_size])
    if head is not None:
        _HEADS[head](graph, params, config, hidden)


def attention_maps(graph, config):
    """Add the attention probabilities of each layer as outputs: `attentions.0` [B, A, T, T] and so on"""
    shape = [_BATCH, config.num_attention_heads, _LENGTH, _LENGTH]
    for layer in range(config.num_hidden_layers):
        name = f"{config.prefix}.encoder.layer.{layer}.attention.self.probabilities"
        graph.output(f"attentions.{layer}", name, np.float32, shape)
