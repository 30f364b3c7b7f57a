"""Inference on one text of 128 tokens in float32: MobileBERT and BERT_BASE.

The ratio of the two models in this project corresponds to Table 4 of the paper (5.5 on a phone). The weights are random
and the same on all sides; they do not affect the time.
"""

import functools

import numpy as np

from ..config import preset
from ..inference.engine import Engine
from ..kernels.runtime.backend import use_backend
from ..kernels.runtime.precision import use_precision
from ..model.parameters import init_parameters, parameter_shapes
from ..model.quantization import as_arrays, is_quantized, quantize
from .measure import Case
from .rivals import OnnxEncoder, build_pretraining, torch_encoder
from .rivals_int8 import quantize_torch, torch_bytes
from .sides import ONNX, ONNX_INT8, OURS, OURS_INT8, TORCH, TORCH_INT8, library_of, precision_of

TOKENS = 128


class Subject:
    """A model and one text; the models of other libraries are built at first use."""

    def __init__(self, config, tokens, params=None):
        """params: of a trained encoder, in float32 or in 8 bits; None: random ones"""
        self.config, rng = config, np.random.default_rng(1)
        # With heads, because transformers' model has them; only the encoder runs.
        self.params = init_parameters(parameter_shapes(config, "pretraining"), config, rng)
        if params is not None:
            self.params |= {name: params[name] for name in parameter_shapes(config)}
        ids = rng.integers(1, config.vocab_size, (1, tokens)).astype(np.int32)
        self.arrays = ids, np.zeros_like(ids), np.ones(ids.shape, bool)

    @functools.cached_property
    def pytorch(self):
        return build_pretraining(self.params, self.config).base_model.eval()

    @functools.cached_property
    def pytorch_int8(self):
        return quantize_torch(self.pytorch)

    def pytorch_in(self, side):
        """The encoder for one of PyTorch's sides; in bfloat16 it is the same one, under autocast"""
        return self.pytorch_int8 if side == TORCH_INT8 else self.pytorch

    @functools.cached_property
    def onnx(self):
        return OnnxEncoder(self.params, self.config, self.arrays)

    @functools.cached_property
    def params_int8(self):
        return self.params if is_quantized(self.params) else quantize(self.params, self.config)

    @functools.cached_property
    def engine(self):
        return Engine(self.params, self.config)

    @functools.cached_property
    def engine_int8(self):
        return Engine(self.params_int8, self.config)

    def minimobilebert(self):
        return lambda: self.engine(*self.arrays)

    def build(self, side, threads):
        """The function with which `side` runs this model."""
        if library_of(side) == TORCH:
            return torch_encoder(self.pytorch_in(side), self.arrays, precision_of(side))
        if side in (ONNX, ONNX_INT8):
            return self.onnx(threads, precision_of(side))
        if side == "numpy":
            return in_numpy(self.minimobilebert())
        if side == OURS_INT8:
            return lambda: self.engine_int8(*self.arrays)
        return in_precision(self.minimobilebert(), precision_of(side))

    def bytes_on_disk(self, side):
        """What `side` stores for the encoder -> bytes"""
        if library_of(side) == OURS:
            params = self.params_int8 if side == OURS_INT8 else self.params
            encoder = {name: params[name] for name in parameter_shapes(self.config)}
            return sum(array.nbytes for array in as_arrays(encoder).values())
        if library_of(side) == TORCH:
            return torch_bytes(self.pytorch_in(side))
        return self.onnx.file(precision_of(side)).stat().st_size


def in_precision(function, precision):
    """The same function with matrix products in this precision."""

    def run():
        with use_precision(precision):
            return function()

    return run


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
