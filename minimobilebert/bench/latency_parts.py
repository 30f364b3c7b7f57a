"""Where the time of one text goes: embeddings, dense layers, attention, norms, activations, and the rest.

The engine runs all blocks in one compiled call, which cannot be taken apart. So we run the model layer by layer, each
operation alone and unfused, and ask Python's profiler how long each compiled operation took. "rest" is what Python does
between them.
"""

import cProfile
import pstats
import time

from ..model.block import block_forward
from ..model.embeddings import embeddings_forward
from ..ops.activations import ACTIVATIONS
from ..ops.attention import attend
from ..ops.fusion import use_fusion
from ..ops.layernorm import layernorm_forward
from ..ops.linear import linear_forward
from ..ops.nonorm import nonorm_forward
from ..ops.quantized_linear import quantized_linear_forward

EMBEDDINGS, REST = "embeddings", "rest"
_OPERATIONS = {
    "dense layers": (linear_forward, quantized_linear_forward),
    "attention": (attend,),
    "norms": (nonorm_forward, layernorm_forward),
    "activations": tuple(pair.forward for pair in ACTIVATIONS.values()),
}
PARTS = (EMBEDDINGS, *_OPERATIONS, REST)
_RUNS = 7


def _key(operation):
    """How the profiler names the compiled form of an operation."""
    code = operation.compiled_twin.__code__
    return code.co_filename, code.co_firstlineno, code.co_name


def _one_run(params, config, arrays):
    """-> {part: seconds}"""
    ids, segments, mask = arrays
    profile = cProfile.Profile()
    start = time.perf_counter()
    h, _ = embeddings_forward(params, config, ids, segments)
    middle = time.perf_counter()
    with profile:
        for layer in range(config.num_hidden_layers):
            h, _ = block_forward(params, config, layer, h, mask, keep_scores=False)
    end, found = time.perf_counter(), pstats.Stats(profile).stats
    spent = {EMBEDDINGS: middle - start}
    for part, operations in _OPERATIONS.items():
        spent[part] = sum(found[key][3] for key in map(_key, operations) if key in found)
    spent[REST] = max(0.0, end - start - sum(spent.values()))
    return spent


def seconds_of_parts(params, config, arrays, runs=_RUNS):
    """Run one text (input_ids, token_type_ids, attention_mask) layer by layer -> {part: seconds} of the fastest run"""
    with use_fusion(False):
        _one_run(params, config, arrays)  # compiles
        return min((_one_run(params, config, arrays) for _ in range(runs)), key=lambda spent: sum(spent.values()))
