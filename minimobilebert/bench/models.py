"""Inference on one text of 128 tokens in float32: MobileBERT and BERT_BASE.

The ratio of the two models in this project corresponds to Table 4 of the paper (5.5 on a phone). The weights are random
and the same on all sides; they do not affect the time.
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
    """A model with random weights and one text; the models of other libraries are built at first use."""

    def __init__(self, config, tokens):
        self.config, rng = config, np.random.default_rng(1)
        self.params = init_parameters(parameter_shapes(config, "pretraining"), config, rng)
        ids = rng.integers(1, config.vocab_size, (1, tokens)).astype(np.int32)
        self.arrays = ids, np.zeros_like(ids), np.ones(ids.shape, bool)

    @functools.cached_property
    def pytorch(self):
        return build_pretraining(self.params, self.config)

    @functools.cached_property
    def onnx(self):
        return OnnxEncoder(lambda: self.pytorch, self.arrays)

    @functools.cached_property
    def engine(self):
        return Engine(self.params, self.config)

    def minimobilebert(self):
        return lambda: self.engine(*self.arrays)

    def build(self, side, threads):
        """The function with which `side` runs this model."""
        if side == "torch":
            return torch_encoder(self.pytorch, self.arrays)
        if side == "onnxruntime":
            return self.onnx(threads)
        if side == "numpy":
            return in_numpy(self.minimobilebert())
        return self.minimobilebert()


def in_numpy(function):
    """The same function with the numpy back end."""

    def run():
        with use_backend("numpy"):
            return function()

    return run


def inference(name, config=None, tokens=TOKENS, other=None):
    """The case of inference_mobilebert or inference_bert_base.

    other: name and config of a second model, which is one of the sides
    """
    subject = Subject(config or preset("mobilebert"), tokens)
    label, second = (other[0], Subject(other[1], tokens)) if other else ("", None)

    def build(side, threads):
        return silently(second.minimobilebert()) if side == label else subject.build(side, threads)

    against = ("numpy", "torch", "onnxruntime", *([label] if other else []))
    yield Case(name, f"1 x {tokens}", "ms", 0.0, against, build, turns=9, short=False)


def silently(function):
    """The same function without its result, because the numbers of another model must not be compared."""

    def run():
        function()

    return run
