"""What lesson 07's functions must do. The operations they are made of are called as a model calls them, unfused."""

import numpy as np

from minimobilebert.config import ModelConfig
from minimobilebert.course.shared.comparison import Different
from minimobilebert.course.shared.layouts import single_all
from minimobilebert.course.shared.properties import prop

ANOTHER_STATE = "the generator is left in another state: draw from rng only, and only what dropout needs"
FLOAT32 = 1e-4  # a block is ten operations deep: some thousand roundings of 6e-8

# Every row of the table in model/self_attention.py, by the name that a failure shows
RELEASED, PAPER, TINY, BERT = "MobileBERT as released", "MobileBERT as in Table 1", "MobileBERT_TINY", "plain BERT"
BOTH = "both flags set: bottleneck_attention comes first, as in the released code"
KINDS = {
    RELEASED: {"key_query_shared_bottleneck": True, "num_feedforward_networks": 3},
    PAPER: {"num_feedforward_networks": 2},
    TINY: {"bottleneck_attention": True, "num_feedforward_networks": 2},
    BERT: {"use_bottleneck": False},
    BOTH: {"bottleneck_attention": True, "key_query_shared_bottleneck": True},
}


def model(**changes):
    """NoNorm and ReLU everywhere: which parts are used is what is checked here, not what they do."""
    return ModelConfig(**{
        "vocab_size": 9, "hidden_size": 6, "embedding_size": 6, "intra_bottleneck_size": 4, "num_attention_heads": 2,
        "intermediate_size": 5, "num_hidden_layers": 2, "max_position_embeddings": 7, "use_bottleneck": True,
        "normalization_type": "no_norm", "hidden_act": "relu", "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0, **changes,
    })  # fmt: skip


def parameters(rng, config, layer, part=""):
    """Random numbers for one block (or for the part of it that starts with `part`), norms and biases included"""
    from minimobilebert.model.parameters import block_shapes

    name = f"{config.prefix}.encoder.layer.{layer}."
    shapes = {key: shape for key, shape in block_shapes(config).items() if key.startswith(part)}
    return {name + key: rng.normal(size=shape) * 0.6 for key, shape in shapes.items()}


def arrays(*values):
    found = [list(value.values()) if isinstance(value, dict) else [value] for value in values]
    return [array for each in found for array in each if isinstance(array, np.ndarray)]


# --- drivers: they run beside the student's code, and inside t.expected beside the reference


def run_feed_forward(params, config, name, x, seed):
    import numpy as np

    from minimobilebert.course.sandbox.wire import flatten
    from minimobilebert.model.feed_forward import feed_forward_forward
    from minimobilebert.ops.fusion import use_fusion

    rng = None if seed is None else np.random.default_rng(seed)
    before = {part: [array.copy() for array in flatten(value)[1]] for part, value in (("x", x), ("params", params))}
    with use_fusion(False):
        y, cache = feed_forward_forward(params, config, name, x, rng)
    after = {"x": flatten(x)[1], "params": flatten(params)[1]}
    changed = [part for part in before if len(before[part]) != len(after[part])
               or any((a != b).any() for a, b in zip(before[part], after[part], strict=True))]  # fmt: skip
    return y, cache, ", ".join(changed), None if rng is None else int(rng.bit_generator.random_raw())


def back_feed_forward(dy, cache, config, name):
    from minimobilebert.course.sandbox.wire import flatten
    from minimobilebert.model.feed_forward import feed_forward_backward
    from minimobilebert.ops.fusion import use_fusion

    # The gradients of other layers are in the same dict.
    grads, before = {"another.weight": dy[:1].copy()}, [array.copy() for array in flatten([dy, cache])[1]]
    with use_fusion(False):
        dx = feed_forward_backward(dy, cache, grads, config, name)
    same = [bool((a == b).all()) for a, b in zip(before, flatten([dy, cache])[1], strict=True)]
    return dx, grads, "" if all(same) else "the cache" if same[0] else "dy"


def run_block(params, config, layer, h, mask, seed, keep_scores):
    import numpy as np

    from minimobilebert.course.sandbox.wire import flatten
    from minimobilebert.model.block import block_forward
    from minimobilebert.ops.fusion import use_fusion

    rng = None if seed is None else np.random.default_rng(seed)
    given = {"h": h, "mask": mask, "params": params}
    before = {part: [array.copy() for array in flatten(value)[1]] for part, value in given.items()}
    with use_fusion(False):
        y, cache = block_forward(params, config, layer, h, mask, rng, keep_scores)
    after = {part: flatten(value)[1] for part, value in given.items()}
    changed = [part for part in before if len(before[part]) != len(after[part])
               or any((a != b).any() for a, b in zip(before[part], after[part], strict=True))]  # fmt: skip
    return y, cache, ", ".join(changed), None if rng is None else int(rng.bit_generator.random_raw())


def back_block(dy, cache, config, layer, dscores):
    from minimobilebert.course.sandbox.wire import flatten
    from minimobilebert.model.block import block_backward
    from minimobilebert.ops.fusion import use_fusion

    # The gradients of other layers are in the same dict.
    grads, before = {"another.weight": dy[:1].copy()}, [array.copy() for array in flatten([dy, cache, dscores])[1]]
    with use_fusion(False):
        dh = block_backward(dy, cache, grads, config, layer, dscores)
    same = [bool((a == b).all()) for a, b in zip(before, flatten([dy, cache, dscores])[1], strict=True)]
    return dh, grads, "" if all(same) else "the cache or dscores" if same[0] else "dy"


# --- feed-forward


def feed_forward(t, seed=None, tokens=(2, 3), part="ffn.0.", **changes):
    """-> the arguments of run_feed_forward, and what it gives with the reference"""
    config = model(**{**KINDS[RELEASED], **changes})
    params = parameters(t.rng, config, 1)
    x = t.rng.normal(size=(*tokens, config.inner_size))
    given = params, config, f"{config.prefix}.encoder.layer.1.{part}", x, seed
    return given, t.expected(lambda: run_feed_forward(*given), arrays(params, x))


@prop("07.1", weight=4, essential=True)
def feed_forward_values(t):
    """the result is right, for a stacked network and for the last one"""
    for part in ("ffn.0.", "ffn.1.", ""):
        given, (y, *_) = feed_forward(t, part=part)
        with t.case(f"name {given[2]!r}"):
            returned = t.run(run_feed_forward, *given)
            t.watch(not returned[2], returned[2])
            params, _, prefix, x, _ = given
            without = y - params[f"{prefix}output.LayerNorm.weight"] * x  # NoNorm: weight * (dense(m) + x) + bias
            text = "the residual is missing: step 2 normalises dense(m) + x"
            t.equal("y", returned[0], y, mistakes={text: without})


@prop("07.1", weight=1)
def feed_forward_cache(t):
    """the cache holds both steps' caches"""
    given, right = feed_forward(t)
    returned = t.run(run_feed_forward, *given)
    t.watch(not returned[2], returned[2])
    t.same("cache", returned[1], right[1])


@prop("07.1", weight=1)
def feed_forward_dropout(t):
    """dropout in plain BERT, none where there is a bottleneck"""
    for name, more in (
        ("with bottlenecks: no dropout here", {"hidden_dropout_prob": 0.4}),
        ("plain BERT: dropout", {**KINDS[BERT], "hidden_dropout_prob": 0.4, "key_query_shared_bottleneck": False}),
    ):
        given, right = feed_forward(t, seed=int(t.rng.integers(2**31)), part="", **more)
        with t.case(name):
            returned = t.run(run_feed_forward, *given)
            t.watch(not returned[2], returned[2])
            t.equal("y", returned[0], right[0])
            t.require(returned[3] == right[3], ANOTHER_STATE, "rng")


@prop("07.1", weight=1)
def feed_forward_sizes(t):
    """sizes 0 and 1, and no bottleneck"""
    for more in ({"tokens": (0, 2)}, {"tokens": (1, 1)}, {**KINDS[BERT], "key_query_shared_bottleneck": False}):
        given, (y, *_) = feed_forward(t, part="", **more)
        with t.case(f"x {list(given[3].shape)}"):
            t.equal("y", t.run(run_feed_forward, *given)[0], y)


@prop("07.1", weight=1)
def feed_forward_untouched(t):
    """neither x nor a parameter is changed, and float32 stays float32"""
    given, (y, *_) = feed_forward(t)
    params, config, name, x, seed = given
    returned, _, changed, _ = t.run(run_feed_forward, *given)
    t.equal("y", returned, y)
    t.require(not changed, f"{changed} was changed in place", "x")
    params = {key: value.astype(np.float32) for key, value in params.items()}
    t.equal("y", t.run(run_feed_forward, params, config, name, x.astype(np.float32), seed)[0], y, FLOAT32, np.float32)


def same_gradients(t, returned, right, tolerance=1e-10):
    """The gradients of parameters in the order of the backward: the first wrong one says how far it went well."""
    if not isinstance(returned, dict) or returned.keys() != right.keys():
        return t.same("grads", returned, right, tolerance)
    good = []
    for name, expected in right.items():
        if name.endswith("key.bias"):  # 0 but for rounding (lesson 06): measured by the query bias's size
            size = np.abs(right[name.replace("key", "query")]).max(initial=0.0)
            shape = np.shape(returned[name]) == expected.shape
            if shape and np.abs(returned[name] - expected).max(initial=0.0) <= tolerance * size:
                continue
            text = f"expected {expected.shape}, 0 but for rounding: softmax does not see a number added to a whole row"
            t.require(False, text, f"grads[{name!r}]")
        try:
            t.same(f"grads[{name!r}]", returned[name], expected, tolerance)
        except Different as different:
            before = f"right before it: {', '.join(good[-3:])}" if good else "nothing comes before it"
            different.lines += (("order", f"the first wrong one on the way back; {before}"),)
            raise
        good += [name.partition("layer.1.")[2]] if "layer.1." in name else []  # not the other layer's
    return None


def all_but_the_last_sum(t, name, returned, right, what):
    """The gradient of the input, after every parameter's was right: so only the sum over its uses can be wrong"""
    try:
        t.equal(name, returned, right)
    except Different as different:
        is_compared = isinstance(returned, np.ndarray) and np.shape(returned) == right.shape
        if is_compared and returned.any() and different.certainty < 2:
            different.looks_like = (
                f"every parameter's gradient is right, so the sum over the uses of {what} is not: is one left out,"
                " subtracted, counted twice, or not brought back to its beginning?"
            )
            different.certainty = 2
        raise


@prop("07.2", weight=4, essential=True)
def feed_forward_gradients(t):
    """dx and the gradients of all six parameters are right, under a random upstream gradient"""
    for part in ("ffn.1.", ""):
        compare_feed_forward(t, part=part)


def compare_feed_forward(t, seconds=None, **how):
    given, (y, cache, *_) = feed_forward(t, **how)
    dy = t.rng.normal(size=y.shape)
    back = dy, cache, given[1], given[2]
    dx, grads, _ = t.expected(lambda: back_feed_forward(*back))
    returned = t.run(back_feed_forward, *back, seconds=seconds)
    t.linear(back_feed_forward, back, ("dx", "grads", None))
    t.watch(not returned[2], returned[2])
    same_gradients(t, returned[1], grads)
    all_but_the_last_sum(t, "dx", returned[0], dx, "x")
    return returned[2]


@prop("07.2", weight=1)
def feed_forward_backward_dropout(t):
    """plain BERT's dropout is gone through"""
    compare_feed_forward(t, seed=int(t.rng.integers(2**31)), part="", hidden_dropout_prob=0.4, use_bottleneck=False,
                         key_query_shared_bottleneck=False)  # fmt: skip


@prop("07.2", weight=1)
def feed_forward_backward_sizes(t):
    """sizes 0 and 1"""
    for tokens in ((0, 2), (1, 1)):
        with t.case(f"{tokens[0]} sequences, {tokens[1]} tokens"):
            compare_feed_forward(t, tokens=tokens)


@prop("07.2", weight=1)
def feed_forward_backward_untouched(t):
    """neither the upstream gradient nor the cache is changed"""
    changed = compare_feed_forward(t)
    t.require(not changed, f"{changed} was changed in place", "dy")


@prop("07.2", weight=1)
def feed_forward_backward_types(t):
    """float32 goes in and comes out"""
    given, (y, cache, *_) = feed_forward(t)
    dy = t.rng.normal(size=y.shape)
    dx, grads = t.expected(lambda: back_feed_forward(dy, cache, *given[1:3])[:2])
    returned = t.run(back_feed_forward, *single_all((dy, cache)), *given[1:3])
    t.same("grads", returned[1], single_all(grads), FLOAT32)
    t.equal("dx", returned[0], dx, FLOAT32, np.float32)


@prop("07.2", weight=1, essential=True)
def feed_forward_in_time(t):
    """a larger network takes no longer than a formula needs"""
    compare_feed_forward(t, seconds=3.0, tokens=(2, 12), hidden_size=24, intra_bottleneck_size=12, intermediate_size=60)


# --- the block


def block(t, kind, seed=None, tokens=(2, 3), keep_scores=True, **changes):
    """-> the arguments of run_block, and what it gives with the reference"""
    config = model(**{**KINDS[kind], **changes})
    params = parameters(t.rng, config, 1)
    h = t.rng.normal(size=(*tokens, config.hidden_size))
    mask = np.arange(tokens[1]) < t.rng.integers(1, tokens[1] + 1, tokens[0])[:, None]
    given = params, config, 1, h, mask, seed, keep_scores
    return given, t.expected(lambda: run_block(*given), arrays(params, h, mask))


@prop("07.3", weight=5, essential=True)
def block_values(t):
    """the result is right for MobileBERT as released, as in Table 1, for TINY and for plain BERT"""
    for kind in KINDS:
        given, (y, *_) = block(t, kind)
        with t.case(kind):
            returned = t.run(run_block, *given)
            t.watch(not returned[2], returned[2])
            t.equal("y", returned[0], y)


@prop("07.3", weight=1)
def block_cache(t):
    """the cache holds every step's cache, None for a step that was not taken"""
    for kind in KINDS:
        given, right = block(t, kind)
        with t.case(kind):
            returned = t.run(run_block, *given)
            t.watch(not returned[2], returned[2])
            t.same("cache", returned[1], right[1])


@prop("07.3", weight=1)
def block_dropout(t):
    """dropout where the released code has it, drawn in the order of the steps"""
    for kind in (RELEASED, BERT):
        seed = int(t.rng.integers(2**31))
        given, right = block(t, kind, seed=seed, hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2)
        with t.case(kind):
            returned = t.run(run_block, *given)
            t.watch(not returned[2], returned[2])
            t.equal("y", returned[0], right[0])
            t.require(returned[3] == right[3], ANOTHER_STATE, "rng")


@prop("07.3", weight=1)
def block_sizes(t):
    """one token, no sequence, scores that are not kept"""
    for more in ({"tokens": (1, 1)}, {"tokens": (0, 2)}, {"keep_scores": False}):
        given, (y, cache, *_) = block(t, RELEASED, **more)
        with t.case(", ".join(f"{name} {value}" for name, value in more.items())):
            returned = t.run(run_block, *given)
            t.equal("y", returned[0], y)
            t.same("attention's cache", returned[1].self_attention.attention, cache.self_attention.attention)


@prop("07.3", weight=1)
def block_untouched(t):
    """neither h nor a parameter is changed, and float32 stays float32"""
    given, (y, *_) = block(t, PAPER)
    returned, _, changed, _ = t.run(run_block, *given)
    t.equal("y", returned, y)
    t.require(not changed, f"{changed} was changed in place", "h")
    params, config, layer, h, *rest = given
    params = {key: value.astype(np.float32) for key, value in params.items()}
    returned = t.run(run_block, params, config, layer, h.astype(np.float32), *rest)[0]
    t.equal("y", returned, y, FLOAT32, np.float32)


def compare_block(t, kind, with_scores=False, seconds=None, **how):
    given, (y, cache, *_) = block(t, kind, **how)
    config, layer, h = given[1:4]
    dy = t.rng.normal(size=y.shape)
    batch, tokens = h.shape[:2]
    dscores = t.rng.normal(size=(batch, config.num_attention_heads, tokens, tokens)) if with_scores else None
    back = dy, cache, config, layer, dscores
    dh, grads, _ = t.expected(lambda: back_block(*back))
    with t.case(kind):
        returned = t.run(back_block, *back, seconds=seconds)
        if not with_scores:  # they add a part that does not grow with dy
            t.linear(back_block, back, ("dh", "grads", None))
        t.watch(not returned[2], returned[2])
        same_gradients(t, returned[1], grads)
        all_but_the_last_sum(t, "dh", returned[0], dh, "h")
    return returned[2]


@prop("07.4", weight=5, essential=True)
def block_gradients(t):
    """dh and every parameter's gradient are right for each kind of block, under a random upstream gradient"""
    for kind in KINDS:
        compare_block(t, kind)


@prop("07.4", weight=1, essential=True)
def block_slope(t):
    """dh is the slope of the block: the same as by differences along a random direction"""
    for kind in KINDS:
        given, (y, cache, *_) = block(t, kind)
        _, config, layer, h, *_ = given
        dy, direction = t.rng.normal(size=y.shape), t.rng.normal(size=h.shape)

        def along(step, given=given, direction=direction, dy=dy):
            params, config, layer, h, *rest = given
            return float((dy * run_block(params, config, layer, h + step * direction, *rest)[0]).sum())

        wide, slope = t.expected(lambda: [(along(step) - along(-step)) / (2.0 * step) for step in (2e-6, 1e-6)])
        dh = t.run(back_block, dy, cache, config, layer, None)[0]
        t.require(isinstance(dh, np.ndarray) and dh.shape == h.shape, f"expected an array {h.shape}", "dh")
        # The differences' own error is near 1e-8 of the terms; where the two disagree, a kink of ReLU lies between.
        scale = float(np.linalg.norm(dh) * np.linalg.norm(direction)) / dh.size**0.5
        if abs(wide - slope) <= 1e-6 * scale:
            found = float((dh * direction).sum())
            text = f"{found:.8g} along a direction, by differences {slope:.8g}"
            t.require(abs(found - slope) <= 1e-5 * scale, text, "dh")


@prop("07.4", weight=1)
def block_scores(t):
    """the gradient that attention transfer sends to the scores reaches h and the parameters"""
    for kind in (RELEASED, TINY):
        compare_block(t, kind, with_scores=True)


@prop("07.4", weight=1)
def block_backward_dropout(t):
    """dropout is gone through on the way back"""
    for kind in (PAPER, BERT):
        seed = int(t.rng.integers(2**31))
        compare_block(t, kind, seed=seed, hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2)


@prop("07.4", weight=1)
def block_backward_sizes(t):
    """one token, no sequence"""
    for tokens in ((1, 1), (0, 2)):
        compare_block(t, RELEASED, tokens=tokens)


@prop("07.4", weight=1)
def block_backward_untouched(t):
    """neither the upstream gradient nor the cache is changed"""
    for kind in (RELEASED, BERT):
        changed = compare_block(t, kind)
        t.require(not changed, f"{changed} was changed in place", "dy")


@prop("07.4", weight=1)
def block_backward_types(t):
    """float32 goes in and comes out"""
    for kind in (RELEASED, BERT):
        given, (y, cache, *_) = block(t, kind)
        back = t.rng.normal(size=y.shape), cache
        dh, grads = t.expected(lambda back=back, given=given: back_block(*back, *given[1:3], None)[:2])
        with t.case(kind):
            returned = t.run(back_block, *single_all(back), *given[1:3], None)
            same_gradients(t, returned[1], single_all(grads), FLOAT32)
            t.equal("dh", returned[0], dh, FLOAT32, np.float32)
