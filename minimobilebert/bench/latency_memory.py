"""Peak memory of a model in use: a new process loads it and runs one text.

The kernels are loaded with a tiny model first, so that what counts is the model: its weights, the engine's packed copy
of them, and the activations of one text.
"""

import dataclasses
import pathlib
import tempfile

import numpy as np

from ..config import config_from_dict
from ..inference.engine import Engine
from ..kernels.runtime.jit import set_threads
from ..kernels.runtime.precision import use_precision
from ..model.parameters import init_parameters, parameter_shapes
from ..model.quantization import as_arrays, from_arrays, quantize
from ..training.checkpoints import load_checkpoint, save_checkpoint
from .memory import forget_peak, memory_in_a_new_process, peak_bytes


def memory_of_text(params, config, tokens, precision, threads):
    """params: in float32 or in 8 bits; precision: of products that are not in 8 bits
    -> bytes, or None if the system does not report them"""
    encoder = {name: params[name] for name in parameter_shapes(config)}
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "model.npz"
        metadata = {"step": 0, "seconds": 0.0, "configuration": {"model": dataclasses.asdict(config)}}
        save_checkpoint(file, as_arrays(encoder), metadata)
        return memory_in_a_new_process("latency_memory", (str(file), tokens, precision, threads), "latency: memory")


def _tiny(config):
    """The smallest model that runs the same kernels."""
    width = 2 * config.num_attention_heads
    return config.replace(
        vocab_size=8, hidden_size=width, intra_bottleneck_size=width, embedding_size=width, intermediate_size=8,
        num_hidden_layers=1, max_position_embeddings=8,
    )  # fmt: skip


def _run(params, config, tokens):
    ids = np.random.default_rng(1).integers(1, config.vocab_size, (1, tokens)).astype(np.int32)
    Engine(params, config)(ids, np.zeros_like(ids), np.ones(ids.shape, bool))


def child(file, tokens, precision, threads):
    """Run in the new process; prints the bytes."""
    set_threads(threads)
    use_precision(precision)
    _, metadata = load_checkpoint(file)
    config = config_from_dict(metadata["configuration"]["model"])
    tiny = _tiny(config)
    random = init_parameters(parameter_shapes(tiny), tiny, np.random.default_rng(1))
    for params in (random, quantize(random, tiny)):
        _run(params, tiny, 8)
    del _, params, random
    forget_peak()
    before = peak_bytes()
    _run(from_arrays(load_checkpoint(file)[0]), config, tokens)
    print(None if before is None else peak_bytes() - before)
