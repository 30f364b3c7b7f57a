"""Latency of one forward pass, for several models measured in alternation (see timing.py)."""

import numpy as np

from ..config import preset
from ..inference.engine import Engine
from ..model.parameters import init_parameters, parameter_shapes
from ..support.timing import quartiles, times_in_turns

_BLOCKS = {
    "layer_norm-gelu": {"normalization_type": "layer_norm", "hidden_act": "gelu_tanh"},
    "layer_norm-relu": {"normalization_type": "layer_norm", "hidden_act": "relu"},
    "no_norm-gelu": {"normalization_type": "no_norm", "hidden_act": "gelu_tanh"},
    "no_norm-relu": {},
}


def _forward(name, tokens, changes):
    """-> a function that runs the encoder once on one sequence"""
    config = preset(name, **changes)
    rng = np.random.default_rng(1)
    params = init_parameters(parameter_shapes(config), config, rng)
    ids = rng.integers(0, config.vocab_size, (1, tokens)).astype(np.int32)
    segments, mask = np.zeros_like(ids), np.ones(ids.shape, bool)
    engine = Engine(params, config)
    return lambda: engine(ids, segments, mask)


def block_latencies(name, tokens, turns=40):
    """The four block variants of Table 7 in the preset `name`, on one sequence of `tokens` tokens.

    -> {variant: {"milliseconds": median, "ratio": to LayerNorm & GELU, "ratio_low", "ratio_high": its quartiles}}
    """
    seconds = times_in_turns({block: _forward(name, tokens, changes) for block, changes in _BLOCKS.items()}, turns)
    result = {}
    for block, values in seconds.items():
        low, ratio, high = quartiles(values / seconds["layer_norm-gelu"])
        result[block] = {"milliseconds": 1e3 * float(np.median(values)), "ratio": ratio,
                         "ratio_low": low, "ratio_high": high}  # fmt: skip
    return result
