"""The encoder as a graph: the steps of model/embeddings.py, model/self_attention.py, model/feed_forward.py and
model/block.py, in their order and with their names. Dropout does nothing after training, so it has no node.
"""

import numpy as np

from ...model.parameters import feed_forward_names
from .operations import ACTIVATIONS, attention, dense, norm, rows_of_table, trigram


def embeddings(graph, params, config, input_ids, token_type_ids):
    """input_ids, token_type_ids [B, T] int64 -> x [B, T, H]"""
    name = f"{config.prefix}.embeddings"
    x = rows_of_table(graph, params, f"{name}.word_embeddings", input_ids)
    if config.trigram_input:
        x = trigram(graph, name, x, config.embedding_size)
    if config.has_embedding_transformation:
        x = dense(graph, params, f"{name}.embedding_transformation", x)
    x = graph.node(
        "Add", [x, rows_of_table(graph, params, f"{name}.token_type_embeddings", token_type_ids)], f"{name}.types"
    )
    positions = rows_of_table(graph, params, f"{name}.position_embeddings", _positions(graph, input_ids))
    x = graph.node("Add", [x, positions], f"{name}.positions")
    return norm(graph, params, config, f"{name}.LayerNorm", x)


def _positions(graph, input_ids):
    """0, 1, ... T - 1 for input_ids [B, T]. A text that is too long then looks beyond the table, which is an error."""
    length = graph.node("Gather", [graph.node("Shape", [input_ids], "shape"), graph.number(1, np.int64)], "tokens")
    return graph.node("Range", [graph.number(0, np.int64), length, graph.number(1, np.int64)], "positions")


def dense_norm(graph, params, config, names, x, residual=None):
    """Norm(dense(x) + residual); names: of the dense layer and of the norm -> [..., out]"""
    return norm(graph, params, config, names[1], dense(graph, params, names[0], x, residual))


def _bottleneck(graph, params, config, name, x, residual=None):
    return dense_norm(graph, params, config, (f"{name}.dense", f"{name}.LayerNorm"), x, residual)


def feed_forward(graph, params, config, name, x):
    """Norm(dense(activation(dense(x))) + x); x [B, T, C] -> [B, T, C]"""
    m = dense(graph, params, f"{name}intermediate.dense", x)
    m = ACTIVATIONS[config.hidden_act](graph, f"{name}intermediate", m)
    return _bottleneck(graph, params, config, f"{name}output", m, x)


def block(graph, params, config, layer, h, mask):
    """h [B, T, H], mask [B, 1, 1, T] bool -> y [B, T, H]; steps 1 to 5 of model/block.py"""
    name = f"{config.prefix}.encoder.layer.{layer}."
    n = _bottleneck(graph, params, config, f"{name}bottleneck.input", h) if config.use_bottleneck else h  # step 1
    query_key_input = value_input = n if config.bottleneck_attention else h
    if config.key_query_shared_bottleneck and not config.bottleneck_attention:  # step 2
        query_key_input = _bottleneck(graph, params, config, f"{name}bottleneck.attention", h)

    inputs = {"query": query_key_input, "key": query_key_input, "value": value_input}  # step 3
    q, k, v = (dense(graph, params, f"{name}attention.self.{part}", x) for part, x in inputs.items())
    heads, size = config.num_attention_heads, config.inner_size // config.num_attention_heads
    c = attention(graph, f"{name}attention.self", q, k, v, mask, heads, size)
    x = _bottleneck(graph, params, config, f"{name}attention.output", c, n)

    for ffn in feed_forward_names(config):  # step 4
        x = feed_forward(graph, params, config, name + ffn, x)
    return _bottleneck(graph, params, config, f"{name}output.bottleneck", x, h) if config.use_bottleneck else x


def encoder(graph, params, config, input_ids, token_type_ids, mask):
    """input_ids, token_type_ids [B, T] int64, mask [B, T] bool -> last hidden state [B, T, H]"""
    keys = graph.node("Unsqueeze", [mask, graph.number([1, 2], np.int64)], "mask_of_keys")  # [B, 1, 1, T]
    x = embeddings(graph, params, config, input_ids, token_type_ids)
    for layer in range(config.num_hidden_layers):
        x = block(graph, params, config, layer, x, keys)
    return x
