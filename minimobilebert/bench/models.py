"""Inference with one text of 128 tokens, float32: MobileBERT and BERT_BASE, ours and theirs.

The ratio of our two models is the paper's own question (Table 4: 5.5 times on a phone). Weights are random, the same
on all sides; they do not change how long anything takes.
"""

import functools

import numpy as np

from ..config import preset
from ..inference.engine import Engine
from ..kernels.runtime.backend import use_backend
from ..model.parameters import init_parameters, parameter_shapes
from .measure import Case
from .rivals import OnnxEncoder, build_pretraining, torch_encoder

TOKENS = 128


class Subject:
    """A model with random weights and one text; theirs are made when they are first asked for."""

    def __init__(self, config, tokens):
        self.config, rng = config, np.random.default_rng(1)
        self.params = init_parameters(parameter_shapes(config, "pretraining"), config, rng)
        ids = rng.integers(1, config.vocab_size, (1, tokens)).astype(np.int32)
        self.arrays = ids, np.zeros_like(ids), np.ones(ids.shape, bool)

    @functools.cached_property
    def theirs(self):
        return build_pretraining(self.params, self.config)

    @functools.cached_property
    def onnx(self):
        return OnnxEncoder(lambda: self.theirs, self.arrays)

    @functools.cached_property
    def engine(self):
        return Engine(self.params, self.config)

    def ours(self):
        return lambda: self.engine(*self.arrays)

    def build(self, side, threads):
        """The function that `side` does this model with."""
        if side == "torch":
            return torch_encoder(self.theirs, self.arrays)
        if side == "onnxruntime":
            return self.onnx(threads)
        if side == "numpy":
            return in_numpy(self.ours())
        return self.ours()


def in_numpy(function):
    """The same function with our NumPy back end."""

    def run():
        with use_backend("numpy"):
            return function()

    return run


def inference(name, config=None, tokens=TOKENS, other=None):
    """The case of inference_mobilebert or inference_bert_base.

    other: name and config of a second model of ours that is one of the sides
    """
    subject = Subject(config or preset("mobilebert"), tokens)
    label, second = (other[0], Subject(other[1], tokens)) if other else ("", None)

    def build(side, threads):
        return silently(second.ours()) if side == label else subject.build(side, threads)

    against = ("numpy", "torch", "onnxruntime", *([label] if other else []))
    yield Case(name, f"1 x {tokens}", "ms", 0.0, against, build, turns=9, short=False)


def silently(function):
    """The same function without its result: another model's numbers are not to be compared."""

    def run():
        function()

    return run
