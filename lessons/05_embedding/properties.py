"""What lesson 05's functions must do."""

import numpy as np

from minimobilebert.config import ModelConfig
from minimobilebert.course.shared.bundles import FLOAT32, backward_properties, forward_properties
from minimobilebert.course.shared.layouts import single_all
from minimobilebert.course.shared.properties import prop
from minimobilebert.course.shared.trial import reference

TRIGRAM = "minimobilebert/ops/trigram.py:trigram_forward"
LOOK_UP = "minimobilebert/ops/embedding.py:embedding_forward"


def vectors(rng, *shape):
    return {"x": rng.normal(size=shape)}


def draw(rng):
    """[B, T, E], the three of them different"""
    return vectors(rng, *rng.permutation([2, 4, 5]))


edges = [
    lambda rng: vectors(rng, 3, 1, 4),  # one token: both neighbours are missing
    lambda rng: vectors(rng, 2, 2, 1),
    lambda rng: vectors(rng, 1, 3, 2),
    lambda rng: vectors(rng, 0, 3, 2),
]
forward_properties("05.1", draw, edges=edges, large=lambda rng: vectors(rng, 7, 40, 24))
backward_properties(
    "05.1:trigram_backward", draw, forward=TRIGRAM, wrt=("x",), edges=edges, large=lambda rng: vectors(rng, 16, 60, 32)
)


def look_up(rng, rows=7, size=3, shape=(2, 5), most=None):
    """Ten places, seven words: some word stands at two of them, some word nowhere"""
    return {"ids": rng.integers(0, most or rows, shape), "table": rng.normal(size=(rows, size))}


backward_properties(
    "05.2", look_up, forward=LOOK_UP, wrt=("table",),
    edges=[
        lambda rng: look_up(rng, rows=4, most=1),  # one word everywhere
        lambda rng: look_up(rng, shape=(0, 3)),
        lambda rng: look_up(rng, shape=(3, 0)),
        lambda rng: look_up(rng, rows=1, size=1, shape=(1, 1)),
        lambda rng: look_up(rng, rows=9, size=2, shape=(3, 4), most=3),
    ],
    large=lambda rng: look_up(rng, rows=8000, size=5, shape=(8, 32)),  # 256 rows of 8000 numbers would be too many
)  # fmt: skip


# --- the whole layer


def layer(rng, tokens=4, **changes):
    """A layer of odd sizes -> config, parameters, ids [B, T], segments [B, T]"""
    config = ModelConfig(**{
        "vocab_size": 9, "hidden_size": 6, "embedding_size": 3, "intra_bottleneck_size": 4, "num_attention_heads": 2,
        "num_hidden_layers": 1, "max_position_embeddings": 7, "use_bottleneck": True, "trigram_input": True,
        "normalization_type": "no_norm", "hidden_dropout_prob": 0.3, **changes,
    })  # fmt: skip
    inputs = config.embedding_size * (3 if config.trigram_input else 1)
    shapes = {
        "word_embeddings.weight": (config.vocab_size, config.embedding_size),
        "position_embeddings.weight": (config.max_position_embeddings, config.hidden_size),
        "token_type_embeddings.weight": (2, config.hidden_size),
        "LayerNorm.weight": (config.hidden_size,), "LayerNorm.bias": (config.hidden_size,),
    }  # fmt: skip
    if config.has_embedding_transformation:
        shapes["embedding_transformation.weight"] = config.hidden_size, inputs
        shapes["embedding_transformation.bias"] = (config.hidden_size,)
    params = {f"{config.prefix}.embeddings.{name}": rng.normal(size=shape) for name, shape in shapes.items()}
    return config, params, rng.integers(0, 5, (3, tokens)), rng.integers(0, 2, (3, tokens))


def forward(params, config, ids, segments, seed):
    """Only inside t.expected -> the cache"""
    from minimobilebert.ops.fusion import use_fusion

    rng = None if seed is None else np.random.default_rng(seed)
    with use_fusion(False):
        return reference("minimobilebert/model/embeddings.py:embeddings_forward")(params, config, ids, segments, rng)[1]


def backward(dx, cache, config):
    from minimobilebert.course.sandbox.wire import flatten
    from minimobilebert.model.embeddings import embeddings_backward
    from minimobilebert.ops.fusion import use_fusion

    grads, before = {"another.weight": dx[:1].copy()}, [array.copy() for array in flatten([dx, cache])[1]]
    with use_fusion(False):
        embeddings_backward(dx, cache, grads, config)
    same = [bool((a == b).all()) for a, b in zip(before, flatten([dx, cache])[1], strict=True)]
    return grads, "" if all(same) else "the cache" if same[0] else "dx"


def compare(t, case, seed=None):
    config, params, ids, segments = case
    cache = t.expected(lambda: forward(params, config, ids, segments, seed), [*params.values(), ids, segments])
    dx = t.rng.normal(size=(*ids.shape, config.hidden_size))
    right, _ = t.expected(lambda: backward(dx, cache, config))
    grads, changed = t.run(backward, dx, cache, config)
    t.linear(backward, (dx, cache, config), ("grads", None))
    t.watch(not changed, changed)
    t.same("grads", grads, right)
    return changed


@prop("05.3", weight=4, essential=True)
def gradients(t):
    """every table and layer of the embedding gets its gradient, under a random upstream gradient"""
    for tokens in (4, 7, 1):
        compare(t, layer(t.rng, tokens))


@prop("05.3", weight=1)
def plain_bert(t):
    """plain BERT has neither trigrams nor a dense layer behind the table"""
    compare(t, layer(t.rng, use_bottleneck=False, trigram_input=False, embedding_size=6))
    compare(t, layer(t.rng, trigram_input=False))


@prop("05.3", weight=1)
def dropped(t):
    """what dropout dropped gets no gradient"""
    compare(t, layer(t.rng), seed=int(t.rng.integers(2**31)))


@prop("05.3", weight=1)
def untouched(t):
    """neither the upstream gradient nor the cache is changed"""
    changed = compare(t, layer(t.rng))
    t.require(not changed, f"{changed} was changed in place", "dx")


@prop("05.3", weight=1)
def types(t):
    """float32 goes in and comes out"""
    for changes in ({}, {"use_bottleneck": False, "trigram_input": False, "embedding_size": 6}):
        config, params, ids, segments = layer(t.rng, **changes)
        cache = t.expected(lambda p=params, c=config, i=ids, s=segments: forward(p, c, i, s, None))
        given = t.rng.normal(size=(*ids.shape, config.hidden_size)), cache
        right = t.expected(lambda given=given, config=config: backward(*given, config)[0])
        t.same("grads", t.run(backward, *single_all(given), config)[0], single_all(right), FLOAT32)


@prop("05.3", weight=1, essential=True)
def in_time(t):
    """a larger batch takes no longer than a formula needs"""
    config, params, _, _ = layer(
        t.rng, vocab_size=300, embedding_size=24, hidden_size=32, max_position_embeddings=40, intra_bottleneck_size=8
    )
    ids, segments = t.rng.integers(0, 300, (4, 32)), t.rng.integers(0, 2, (4, 32))
    cache = t.expected(lambda: forward(params, config, ids, segments, None), [*params.values(), ids, segments])
    dx = t.rng.normal(size=(4, 32, 32))
    names = ("word_embeddings", "position_embeddings", "token_type_embeddings", "embedding_transformation")
    names = [f"mobilebert.embeddings.{name}.weight" for name in names]
    right = t.expected(lambda: [float((backward(dx, cache, config)[0][n] * params[n]).sum()) for n in names])
    grads, _ = t.run(backward, dx, cache, config, seconds=3.0)
    for name, along in zip(names, right, strict=True):
        returned = grads.get(name) if isinstance(grads, dict) else None
        t.require(
            isinstance(returned, np.ndarray) and returned.shape == params[name].shape, f"no gradient of {name}", name
        )
        t.equal(f"a sum of {name}", np.array((returned * params[name]).sum()), np.array(along), 1e-8)
