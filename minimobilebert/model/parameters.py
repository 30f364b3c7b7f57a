"""Names, shapes and initial values of the parameters.

A model's parameters are one flat dict from name to array. Names and orientation are those of Hugging Face
(`weight` is [out, in]), so a checkpoint from the hub needs no renaming.
"""

import numpy as np

VECTOR_HEADS = ("sentence-vectors", "sentence-pairs")  # vector_classification.py
HEADS = ("pretraining", "masked-words", "classification", "question-answering", *VECTOR_HEADS)
LABELLED_HEADS = ("classification", *VECTOR_HEADS)  # those with `num_labels` outputs
VECTOR_CLASSIFIER, VECTOR_PAIR_CLASSIFIER = "vector_classifier", "vector_pair_classifier"


def _dense(name, outputs, inputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name, size):
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def embedding_shapes(config):
    """Shapes of the embedding parameters; the names lack the model's prefix."""
    c = config
    shapes = {
        "embeddings.word_embeddings.weight": (c.vocab_size, c.embedding_size),
        "embeddings.position_embeddings.weight": (c.max_position_embeddings, c.hidden_size),
        "embeddings.token_type_embeddings.weight": (c.type_vocab_size, c.hidden_size),
    }
    if c.has_embedding_transformation:
        inputs = c.embedding_size * (3 if c.trigram_input else 1)
        shapes |= _dense("embeddings.embedding_transformation", c.hidden_size, inputs)
    return shapes | _norm("embeddings.LayerNorm", c.hidden_size)


def feed_forward_names(config):
    """Name prefixes of the stacked feed-forward networks of one block, in the order in which they run.

    Hugging Face calls the last one `intermediate` / `output` and those before it `ffn.0`, `ffn.1`, ...
    """
    return [f"ffn.{i}." for i in range(config.num_feedforward_networks - 1)] + [""]


def block_shapes(config):
    """Shapes of one block's parameters (H, C, F as in config.py); the names lack `encoder.layer.N.`"""
    H, C, F = config.hidden_size, config.inner_size, config.intermediate_size
    shapes, query_inputs, value_inputs = {}, H, H
    if config.use_bottleneck:
        shapes |= _dense("bottleneck.input.dense", C, H) | _norm("bottleneck.input.LayerNorm", C)
        if config.bottleneck_attention:
            query_inputs = value_inputs = C
        elif config.key_query_shared_bottleneck:
            shapes |= _dense("bottleneck.attention.dense", C, H) | _norm("bottleneck.attention.LayerNorm", C)
            query_inputs = C
    shapes |= _dense("attention.self.query", C, query_inputs)
    shapes |= _dense("attention.self.key", C, query_inputs)
    shapes |= _dense("attention.self.value", C, value_inputs)
    shapes |= _dense("attention.output.dense", C, C) | _norm("attention.output.LayerNorm", C)
    for ffn in feed_forward_names(config):
        shapes |= _dense(f"{ffn}intermediate.dense", F, C)
        shapes |= _dense(f"{ffn}output.dense", C, F) | _norm(f"{ffn}output.LayerNorm", C)
    if config.use_bottleneck:
        shapes |= _dense("output.bottleneck.dense", H, C) | _norm("output.bottleneck.LayerNorm", H)
    return shapes


def head_shapes(config, head, num_labels=None):
    """Shapes of the parameters of a head. ValueError for another `head`.

    "pretraining" (masked words and next sentence), "masked-words" alone, "classification" (`num_labels` outputs per
    text), "question-answering" (two outputs per token: start and end of the answer), "sentence-vectors" or
    "sentence-pairs" (`num_labels` outputs per vector or pair of vectors)
    """
    H, E, V = config.hidden_size, config.embedding_size, config.vocab_size
    if head in ("pretraining", "masked-words"):
        shapes = {"cls.predictions.bias": (V,)}
        shapes |= _dense("cls.predictions.transform.dense", H, H) | _norm("cls.predictions.transform.LayerNorm", H)
        if E < H:
            shapes["cls.predictions.dense.weight"] = (H - E, V)
        if not config.tie_word_embeddings:
            shapes["cls.predictions.decoder.weight"] = (V, E)
        return shapes | (_dense("cls.seq_relationship", 2, H) if head == "pretraining" else {})
    if head == "classification":
        return _dense("classifier", num_labels, H)
    if head == "question-answering":
        return _dense("qa_outputs", 2, H)
    if head == "sentence-vectors":
        return _dense(VECTOR_CLASSIFIER, num_labels, H)
    if head == "sentence-pairs":
        return _dense(VECTOR_PAIR_CLASSIFIER, num_labels, 2 * H)
    raise ValueError(f"head: found {head!r}, expected one of {', '.join(HEADS)}")


def parameter_shapes(config, head=None, num_labels=None):
    """{name: shape} of all parameters, in the order of the forward pass.

    head None gives the bare encoder: embeddings, blocks and, if the config has one, the pooler.
    """
    shapes = embedding_shapes(config)
    for layer in range(config.num_hidden_layers):
        shapes |= {f"encoder.layer.{layer}.{name}": shape for name, shape in block_shapes(config).items()}
    if config.classifier_activation:
        shapes |= _dense("pooler.dense", config.hidden_size, config.hidden_size)
    shapes = {f"{config.prefix}.{name}": shape for name, shape in shapes.items()}
    return shapes | (head_shapes(config, head, num_labels) if head else {})


def truncated_normal(rng, shape, standard_deviation, dtype):
    """Normal samples; those beyond two standard deviations are drawn again (as in TensorFlow) -> [shape]"""
    x = rng.standard_normal(shape)
    while (outside := np.abs(x) > 2.0).any():
        x[outside] = rng.standard_normal(int(outside.sum()))
    return (x * standard_deviation).astype(dtype)


def init_parameters(shapes, config, rng, dtype=np.float32):
    """Initial values: weights truncated normal(0, `initializer_range`), biases 0, normalisation weights 1."""
    params = {}
    for name, shape in shapes.items():
        if name.endswith("bias"):
            params[name] = np.zeros(shape, dtype)
        elif name.endswith("LayerNorm.weight"):
            params[name] = np.ones(shape, dtype)
        else:
            params[name] = truncated_normal(rng, shape, config.initializer_range, dtype)
    return params


def count_parameters(shapes):
    """The number of scalar parameters."""
    return sum(int(np.prod(shape)) for shape in shapes.values())
