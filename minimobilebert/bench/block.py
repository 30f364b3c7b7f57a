"""One MobileBERT block on 8 texts of 128 tokens: forward, and forward with backward."""

import functools

import numpy as np

from ..config import preset
from ..kernels.runtime.backend import use_backend
from ..model.block import block_backward, block_forward
from ..model.parameters import init_parameters, parameter_shapes
from ..support.extras import require
from .measure import Case
from .rivals import build_pretraining

BATCH, TOKENS = 8, 128


def block(name, model="mobilebert", batch=BATCH, tokens=TOKENS, backward=False, **changes):
    """The case of block_forward, or, with backward=True, of block_forward_backward."""
    changes = {"num_hidden_layers": 1, "attention_probs_dropout_prob": 0.0, **changes}
    config, rng = preset(model, **changes), np.random.default_rng(1)
    params = init_parameters(parameter_shapes(config, "pretraining"), config, rng)
    h, dy = rng.standard_normal((2, batch, tokens, config.hidden_size), dtype=np.float32)
    build = functools.partial(_build, params, config, h, dy if backward else None)
    yield Case(name, f"{batch} x {tokens}", "ms", 0.0, ("numpy", "torch"), build)


def _build(params, config, h, dy, side, threads):
    if side == "torch":
        return _in_torch(params, config, h, dy)
    mask, backend = np.ones(h.shape[:2], bool), "numpy" if side == "numpy" else "numba"

    def run():
        with use_backend(backend):
            y, cache = block_forward(params, config, 0, h, mask)
            return y if dy is None else block_backward(dy, cache, {}, config, 0)

    return run


def _in_torch(params, config, h, dy):
    torch, model = require("torch", "compare"), build_pretraining(params, config)
    layer = model.base_model.encoder.layer[0]
    x = torch.from_numpy(h)

    def output_of(result):
        return result[0] if isinstance(result, tuple) else result

    if dy is None:
        return torch.inference_mode()(lambda: output_of(layer(x)))
    x, upstream = x.clone().requires_grad_(), torch.from_numpy(dy)
    wanted = [x, *layer.parameters()]
    return lambda: torch.autograd.grad(output_of(layer(x)), wanted, upstream)[0]
