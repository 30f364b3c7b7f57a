"""What normalisation and activation cost where each node reads its arrays from memory and writes a new one.

    python lessons/21_graphs/node_by_node.py

MobileBERT with random weights, one text, one thread: LayerNorm or NoNorm, with GELU or ReLU. Each model runs in our
interpreter, node by node, and in the package's engine, which joins norms and activations to the products before them.
All take turns; times are medians. The paper's are from a Pixel 4 (Table 7).
"""

import argparse
import os
import statistics
import sys
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of NumPy's products; read when NumPy is imported

import numpy as np

from minimobilebert.commands.options import positive
from minimobilebert.config import preset
from minimobilebert.inference.engine import Engine
from minimobilebert.interop.onnx.comparison import inputs_of
from minimobilebert.interop.onnx.folder import build
from minimobilebert.interop.onnx.graph import Graph
from minimobilebert.interop.onnx.interpreter import run
from minimobilebert.kernels.runtime.threads import set_threads
from minimobilebert.model.parameters import init_parameters, parameter_shapes
from minimobilebert.support.tables import aligned

MODELS = {  # and the milliseconds of the paper
    "LayerNorm, GELU": (preset("mobilebert", normalization_type="layer_norm", hidden_act="gelu_tanh"), 192),
    "LayerNorm, ReLU": (preset("mobilebert", normalization_type="layer_norm"), 167),
    "NoNorm, GELU": (preset("mobilebert", hidden_act="gelu_tanh"), 92),
    "NoNorm, ReLU": (preset("mobilebert"), 62),
}


def sides_of(config, batch):
    """-> number of nodes; functions that run the graph node by node, and the engine"""
    drawn = init_parameters(parameter_shapes(config, None), config, np.random.default_rng(1))
    params = {name: array.astype(np.float32) for name, array in drawn.items()}
    graph, engine = build(params, config), Engine(params, config)
    return len(graph.nodes), (lambda: run(graph, inputs_of(batch)), lambda: engine(*batch))


def milliseconds(function):
    start = time.perf_counter()
    function()
    return 1000.0 * (time.perf_counter() - start)


def main(words):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--length", type=positive, default=128, help="word pieces of the text (default 128)")
    parser.add_argument("--turns", type=positive, default=7, help="measured turns (default 7)")
    arguments = parser.parse_args(words)
    config, last_paper = MODELS["NoNorm, ReLU"]
    longest = config.max_position_embeddings
    if arguments.length > longest:
        parser.error(f"--length: found {arguments.length}, expected at most {longest}")
    set_threads(1)
    ids = np.random.default_rng(2).integers(0, config.vocab_size, (1, arguments.length))
    batch = ids, np.zeros_like(ids), np.ones(ids.shape, bool)
    try:
        sides = {name: sides_of(config, batch) for name, (config, _) in MODELS.items()}
        run(Graph(), {})  # in a student edition it may be missing
    except NotImplementedError as missing:
        parser.error(f"this program runs your own functions, and one is missing: {missing}")
    times = {name: ([], []) for name in MODELS}
    for turn in range(arguments.turns + 1):
        print(f"turn {turn} of {arguments.turns}", file=sys.stderr)  # turn 0 only warms up
        for name, (_, functions) in sides.items():
            for function, found in zip(functions, times[name], strict=True):
                found.append(milliseconds(function))
    rows = [["", "nodes", "node by node, ms", "of the last", "engine, ms", "of the last", "paper, ms", "of the last"]]
    medians = {name: [statistics.median(found[1:]) for found in each] for name, each in times.items()}
    last = medians["NoNorm, ReLU"]
    for name, (_, paper) in MODELS.items():
        row = [name, f"{sides[name][0]:,}"]
        for one, other in zip(medians[name], last, strict=True):
            row += [f"{one:.1f}", f"{one / other:.2f}"]
        rows.append([*row, str(paper), f"{paper / last_paper:.2f}"])
    print("\n".join(aligned(rows)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
