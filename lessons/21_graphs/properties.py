"""What lesson 21's functions must do.

A graph is built and run in the student's process: what comes back are the arrays.
"""

import numpy as np

from minimobilebert.course.shared.properties import prop
from minimobilebert.course.shared.trial import reference

FLOAT = np.float32
TOLERANCE = 2e-5  # float32, in any order of the operations
LAYERNORM = "minimobilebert/ops/layernorm.py:layernorm_forward"
ATTENTION = "minimobilebert/ops/attention.py:attention_forward"
TRIGRAM = "minimobilebert/ops/trigram.py:trigram_forward"


def floats(rng, *shape):
    return rng.normal(size=shape).astype(FLOAT)


# --- 21.1


def run_graph(steps, stored, given, asked, more=None):
    """A graph of plain data, run once, or twice with other arrays

    steps: (operation, inputs, outputs, attributes); stored, given {name: array}; asked: names of outputs
    -> what run returned, for `more` after `given` if it is not None; names of the graph's arrays; all of `given`
    """
    from minimobilebert.interop.onnx.graph import Graph
    from minimobilebert.interop.onnx.interpreter import run

    graph = Graph()
    for name, array in stored.items():
        graph.array(name, array)
    for name, array in given.items():
        graph.input(name, array.dtype, list(array.shape))
    for operation, inputs, outputs, attributes in steps:
        graph.add(operation, inputs, outputs, attributes)
    graph.outputs = dict.fromkeys(asked)
    kept = dict(given)
    found = run(graph, given)
    if more is not None:
        found = run(graph, more)
    return {"found": found, "stored": sorted(graph.arrays), "given_after": sorted(given), "given_before": sorted(kept)}


def count_live(steps, stored, given, asked):
    """How many arrays that nodes wrote somebody still holds, each time that a node runs -> list of int"""
    import weakref

    import numpy as np

    from minimobilebert.interop.onnx.graph import Graph
    from minimobilebert.interop.onnx.interpreter import OPERATIONS, run

    written, live = [], []

    def watched(operation):
        def call(*inputs, **attributes):
            live.append(sum(reference() is not None for reference in written))
            found = operation(*inputs, **attributes)
            copies = [np.array(each) for each in found] if isinstance(found, list) else np.array(found)
            written.extend(weakref.ref(each) for each in (copies if isinstance(found, list) else [copies]))
            return copies

        return call

    graph = Graph()
    for name, array in stored.items():
        graph.array(name, array)
    for name, array in given.items():
        graph.input(name, array.dtype, list(array.shape))
    for operation, inputs, outputs, attributes in steps:
        graph.add(operation, inputs, outputs, attributes)
    graph.outputs = dict.fromkeys(asked)
    run(graph, given, {name: watched(operation) for name, operation in OPERATIONS.items()})
    return live


def compare(t, found, right, name="outputs"):
    t.require(isinstance(found, dict), "expected a dictionary", name)
    t.require(list(found) == list(right), f"found {list(found)}, expected {list(right)}", name)
    for key, array in right.items():
        t.require(isinstance(found[key], np.ndarray), f"found {type(found[key]).__name__}, expected an array", key)
        t.equal(key, found[key], array, TOLERANCE)


@prop("21.1", weight=4, essential=True)
def values(t):
    """each node computes its operation from the arrays that its inputs name, in their order"""
    x, w, b = floats(t.rng, 3, 4), floats(t.rng, 4, 5), floats(t.rng, 5)
    steps = [
        ("MatMul", ["x", "w"], ["product"], {}),
        ("Sub", ["product", "b"], ["difference"], {}),
        ("Sub", ["b", "difference"], ["y"], {}),
        ("Mul", ["y", "product"], ["z"], {}),
    ]
    result = t.run(run_graph, steps, {"w": w, "b": b}, {"x": x}, ["y", "z"])
    y = b - (x @ w - b)
    compare(t, result["found"], {"y": y, "z": y * (x @ w)})
    with t.case("an output that is stored, and one that is given"):
        result = t.run(run_graph, steps[:1], {"w": w, "b": b}, {"x": x}, ["product", "b", "x"])
        compare(t, result["found"], {"product": x @ w, "b": b, "x": x})
    with t.case("no node"):
        compare(t, t.run(run_graph, [], {"w": w}, {"x": x}, ["x", "w"])["found"], {"x": x, "w": w})


@prop("21.1", weight=2, essential=True)
def attributes_and_parts(t):
    """attributes belong to the operation; an operation with several outputs returns one array for each"""
    x = floats(t.rng, 2, 6)
    steps = [
        ("Split", ["x", "sizes"], ["left", "middle", "right"], {"axis": 1}),
        ("Concat", ["right", "left"], ["around"], {"axis": 1}),
        ("ReduceMax", ["around"], ["largest"], {"axes": [0], "keepdims": 0}),
        ("Transpose", ["around"], ["turned"], {"perm": [1, 0]}),
    ]
    right = {"middle": x[:, 1:4], "largest": np.concatenate([x[:, 4:], x[:, :1]], 1).max(0)}
    right["turned"] = np.concatenate([x[:, 4:], x[:, :1]], 1).T
    stored = {"sizes": np.array([1, 3, 2])}
    compare(t, t.run(run_graph, steps, stored, {"x": x}, list(right))["found"], right)


@prop("21.1", weight=2, essential=True)
def read_again(t):
    """an array is there for all nodes that read it, and an output stays, whoever reads it"""
    x = floats(t.rng, 4)
    steps = [
        ("Add", ["x", "x"], ["a"], {}),
        ("Mul", ["a", "a"], ["b"], {}),
        ("Add", ["b", "a"], ["c"], {}),
        ("Mul", ["c", "x"], ["d"], {}),
        ("Add", ["d", "a"], ["e"], {}),
    ]
    a = x + x
    c = a * a + a
    right = {"e": c * x + a, "b": a * a, "a": a}
    compare(t, t.run(run_graph, steps, {}, {"x": x}, list(right))["found"], right)
    with t.case("the last node that reads an array reads it twice"):
        steps = [("Relu", ["x"], ["z"], {}), ("Mul", ["z", "z"], ["y"], {}), ("Where", ["m", "y", "y"], ["w"], {})]
        mask = t.rng.random(4) < 0.5
        squares = np.maximum(x, 0) * np.maximum(x, 0)
        compare(t, t.run(run_graph, steps, {}, {"x": x, "m": mask}, ["w"])["found"], {"w": squares})


@prop("21.1", weight=1)
def as_before(t):
    """the graph and the given arrays are as before, so it can be run again with others"""
    x, other, w = floats(t.rng, 3), floats(t.rng, 2, 3), floats(t.rng, 3)
    steps = [("Mul", ["x", "w"], ["a"], {}), ("Add", ["a", "w"], ["y"], {})]
    result = t.run(run_graph, steps, {"w": w}, {"x": x}, ["y"], {"x": other})
    compare(t, result["found"], {"y": other * w + w}, "outputs of the second run")
    t.require(result["stored"] == ["w"], f"found {result['stored']} stored after it, expected ['w']", "graph")
    t.require(result["given_after"] == result["given_before"], f"found {result['given_after']} after it", "given")


@prop("21.1", weight=2)
def dropped(t):
    """when a node runs, only those arrays of earlier nodes are held that it or a later node reads, and outputs"""
    length = int(t.rng.integers(5, 9))
    chain = [("Add", [f"a{i}", "x"], [f"a{i + 1}"], {}) for i in range(length)]
    end = [("Sub", ["a0", f"a{length}"], ["y"], {}), ("Abs", ["y"], ["z"], {})]
    steps = [("Mul", ["x", "x"], ["a0"], {}), *chain, *end]
    x = floats(t.rng, 3)
    a = [x * x]
    for _ in range(length):
        a.append(a[-1] + x)
    right = {"z": np.abs(a[0] - a[-1]), "a2": a[2]}
    compare(t, t.run(run_graph, steps, {}, {"x": x}, list(right))["found"], right)
    live = t.run(count_live, steps, {}, {"x": x}, list(right))
    calls = f"found {len(live)} calls of the operations that run was given, expected {len(steps)}"
    t.require(len(live) == len(steps), calls, "operations")
    needed = [0] + [min(i, 2) + (i >= 4) for i in range(1, length + 2)] + [2]
    t.require(live == needed, f"found {live} arrays held from node to node, expected {needed}", "arrays")
    with t.case("an array that nobody reads, and a part that nobody reads"):
        parts = [("Split", ["x", "sizes"], ["left", "right"], {"axis": 0}), ("Abs", ["left"], ["unread"], {})]
        steps = [("Add", ["left", "left"], ["y"], {}), ("Abs", ["y"], ["z"], {}), ("Mul", ["z", "z"], ["w"], {})]
        live = t.run(count_live, [*parts, *steps], {"sizes": np.array([1, 2])}, {"x": x}, ["w"])
        text = f"found {live[3:]} arrays held when the last two nodes run, expected [1, 1]: a name that nobody reads"
        t.require(live[3:] == [1, 1], text, "arrays")  # a variable may hold the results of the node before


# --- 21.2


def run_layernorm(params, batches, names, eps):
    """One LayerNorm behind the other in one graph, for several x -> list of arrays"""
    import numpy as np

    from minimobilebert.config import ModelConfig
    from minimobilebert.interop.onnx.graph import Graph
    from minimobilebert.interop.onnx.interpreter import run_checked
    from minimobilebert.interop.onnx.operations import layernorm

    graph, config = Graph(), ModelConfig(layer_norm_eps=eps)
    y = graph.input("x", np.float32, ["...", len(params[f"{names[0]}.weight"])])
    for name in names:
        y = layernorm(graph, params, config, name, y)
    graph.output("y", y, np.float32, ["..."])
    return [run_checked(graph, {"x": x})["y"] for x in batches]


def layernorms(x, params, names, eps):
    for name in names:
        x, _ = reference(LAYERNORM)(x, params[f"{name}.weight"], params[f"{name}.bias"], eps)
    return x


def compare_layernorm(t, batches, names=("n",), eps=1e-12, tolerance=TOLERANCE):
    size = batches[0].shape[-1]
    params = {}
    for name in names:
        params |= {f"{name}.weight": floats(t.rng, size) + FLOAT(1), f"{name}.bias": floats(t.rng, size)}
    found = t.run(run_layernorm, params, batches, list(names), eps)
    for x, y in zip(batches, found, strict=True):
        right = t.expected(lambda x=x: layernorms(x, params, names, eps))
        t.equal(f"y of x {list(x.shape)}", y, right, tolerance)


@prop("21.2", weight=4, essential=True)
def normalised(t):
    """each row of the last axis has mean 0 and variance 1, then weight and bias; for any number of rows"""
    compare_layernorm(t, [floats(t.rng, 3, 8) * FLOAT(3) + FLOAT(2), floats(t.rng, 5, 8)])
    with t.case("three axes"):
        compare_layernorm(t, [floats(t.rng, 2, 3, 5), floats(t.rng, 4, 1, 5) - FLOAT(1)])
    with t.case("square"):
        compare_layernorm(t, [floats(t.rng, 6, 6) * FLOAT(2)])


@prop("21.2", weight=2, essential=True)
def epsilon(t):
    """eps is added to the variance, inside of the root"""
    for eps in (0.5, 0.01):
        with t.case(f"eps {eps}"):
            compare_layernorm(t, [floats(t.rng, 4, 7) * FLOAT(0.3)], eps=eps)
    with t.case("rows of one number"):
        compare_layernorm(t, [np.full((3, 6), 0.75, FLOAT)], eps=0.25)


@prop("21.2", weight=2)
def twice(t):
    """names begin with `name`, so that a graph can have two of them"""
    compare_layernorm(t, [floats(t.rng, 3, 6)], names=("first", "second"), eps=1e-3)


@prop("21.2", weight=2, essential=True)
def far_from_zero(t):
    """a mean that is large beside the deviation costs no digits: subtract it first, then square"""
    x = floats(t.rng, 5, 32) + FLOAT(3000.0)  # float32 has steps of 2^-12 there; their mean is rounded too
    compare_layernorm(t, [x], tolerance=1e-3)


# --- 21.3


def run_attention(batches, heads, size, names):
    """Attention in one graph, run for several batches; each name reads the context of the one before as its query

    -> list of (context, probabilities of the last)
    """
    import numpy as np

    from minimobilebert.interop.onnx.graph import Graph
    from minimobilebert.interop.onnx.interpreter import run_checked
    from minimobilebert.interop.onnx.operations import attention

    graph = Graph()
    q, k, v = (graph.input(name, np.float32, ["batch", "length", heads * size]) for name in ("q", "k", "v"))
    mask = graph.input("mask", np.bool_, ["batch", 1, 1, "length"])
    for name in names:
        q = attention(graph, name, q, k, v, mask, heads, size)
    graph.output("context", q, np.float32, ["batch", "length", heads * size])
    written = [name for node in graph.nodes for name in node.outputs]
    if f"{names[-1]}.probabilities" not in written:
        raise ValueError(f"expected a node named {names[-1]}.probabilities, found {', '.join(written)}")
    graph.output("maps", f"{names[-1]}.probabilities", np.float32, ["batch", heads, "length", "length"])
    found = []
    for query, key, value, real in batches:
        results = run_checked(graph, {"q": query, "k": key, "v": value, "mask": real[:, None, None, :]})
        found.append((results["context"], results["maps"]))
    return found


def texts(rng, lengths, width):
    """Queries, keys, values [B, T, width] and the mask of texts with these lengths"""
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    return (*(floats(rng, *mask.shape, width) for _ in range(3)), mask)


def attentions(q, k, v, mask, heads, names):
    """-> context and probabilities of the last"""
    for _ in names:
        q, cache = reference(ATTENTION)(q, k, v, mask, heads)
    return q, cache.probabilities


def compare_attention(t, heads, size, batches, names=("a",)):
    found = t.run(run_attention, batches, heads, size, list(names))
    for batch, (context, maps) in zip(batches, found, strict=True):
        right_context, right_maps = t.expected(lambda batch=batch: attentions(*batch, heads, names))
        t.equal(f"context of lengths {batch[-1].sum(1).tolist()}", context, right_context, TOLERANCE)
        t.equal("probabilities", maps, right_maps, TOLERANCE)


@prop("21.3", weight=4, essential=True)
def contexts(t):
    """contexts and maps for any number of heads, texts and tokens, with one graph"""
    for heads, size in ((3, 5), (1, 4), (4, 1)):
        with t.case(f"{heads} heads of {size}"):
            width = heads * size
            batches = [texts(t.rng, lengths, width) for lengths in ((6, 6), (1,), (4, 4, 4))]
            compare_attention(t, heads, size, batches)


@prop("21.3", weight=2, essential=True)
def padding(t):
    """no query attends to a padding key"""
    compare_attention(t, 2, 3, [texts(t.rng, (5, 2, 1), 6), texts(t.rng, (1, 4), 6)])
    with t.case("a text of padding only: a score of minus infinity would make NaN"):
        compare_attention(t, 2, 3, [texts(t.rng, (3, 0), 6)])
    for size in (400.0, 2e6):  # of queries and of keys in the opposite direction: scores of -2e5 and of -5e12
        with t.case(f"real keys with scores near {-(size**2) * 3**0.5:.0e}"):
            q, k, v, mask = texts(t.rng, (4, 2), 6)
            away = -np.arange(1, 5, dtype=FLOAT)[:, None]  # each key farther than the one before it
            q, k = np.full_like(q, size), np.where(mask[..., None], away * FLOAT(size), k)
            compare_attention(t, 2, 3, [(q, k.astype(FLOAT), v, mask)])


@prop("21.3", weight=1)
def behind_each_other(t):
    """names begin with `name`, and the maps are `name`.probabilities"""
    compare_attention(t, 2, 4, [texts(t.rng, (3, 4), 8)], ("one", "two"))


@prop("21.3", weight=1)
def large_scores(t):
    """scores of a hundred: a softmax that is written by hand overflows"""
    q, k, v, mask = texts(t.rng, (4, 3), 6)
    compare_attention(t, 2, 3, [(q * FLOAT(30.0), k * FLOAT(30.0), v, mask)])


# --- 21.4


def run_trigram(batches, size, names):
    """Trigrams of each x, in one graph; each name reads the same x -> list of lists of arrays"""
    import numpy as np

    from minimobilebert.interop.onnx.graph import Graph
    from minimobilebert.interop.onnx.interpreter import run_checked
    from minimobilebert.interop.onnx.operations import trigram

    graph = Graph()
    x = graph.input("x", np.float32, ["batch", "length", size])
    for name in names:
        graph.output(f"y of {name}", trigram(graph, name, x, size), np.float32, ["batch", "length", 3 * size])
    return [list(run_checked(graph, {"x": batch}).values()) for batch in batches]


def compare_trigram(t, batches, names=("t",)):
    found = t.run(run_trigram, batches, batches[0].shape[-1], list(names))
    for x, results in zip(batches, found, strict=True):
        right = t.expected(lambda x=x: reference(TRIGRAM)(x)[0])
        for y in results:
            t.equal(f"y of x {list(x.shape)}", y, right, 0.0)


@prop("21.4", weight=4, essential=True)
def neighbours(t):
    """next, current, previous, with zeros beyond both ends; for any length"""
    compare_trigram(t, [floats(t.rng, 2, 5, 3), floats(t.rng, 1, 7, 3)])
    with t.case("as many tokens as features"):
        compare_trigram(t, [floats(t.rng, 4, 4, 4)])


@prop("21.4", weight=2, essential=True)
def short_texts(t):
    """texts of one token and of two"""
    compare_trigram(t, [floats(t.rng, 3, 1, 4), floats(t.rng, 2, 2, 4)])


@prop("21.4", weight=1)
def two_of_them(t):
    """names begin with `name`"""
    compare_trigram(t, [floats(t.rng, 2, 3, 2)], ("one", "two"))
