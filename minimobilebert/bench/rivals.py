"""The same model in transformers and ONNX Runtime, with the same parameters.

transformers uses its default attention (fused if available). ONNX Runtime runs the graph of interop/onnx with its
default optimisations. What torch.onnx.export writes was no faster there.
"""

import functools
import pathlib
import shutil
import tempfile
import weakref

import numpy as np

from ..interop.onnx.file_format import as_model
from ..interop.onnx.folder import build
from ..parity.models import build_transformers_model
from ..support.extras import require
from ..training.adamw import is_bias_or_norm
from .rivals_int8 import quantize_onnx
from .sides import BFLOAT16, FLOAT32

NAMES = ("input_ids", "token_type_ids", "attention_mask")


def build_pretraining(params, config):
    """transformers' pre-training model with the parameters `params` (head "pretraining")."""
    model = build_transformers_model(params, config, attention=None)
    for module in model.modules():
        if isinstance(module, require("torch.nn", "compare").LayerNorm):
            module.eps = config.layer_norm_eps  # in MobileBERT some have another one (lessons/differences.md)
    return model


def as_tensors(arrays):
    """Ids, segments, mask [B, T] -> {name: int64 tensor}, the arguments of transformers"""
    torch = require("torch", "compare")
    return {name: torch.from_numpy(np.asarray(array, np.int64)) for name, array in zip(NAMES, arrays, strict=True)}


def torch_optimizer(model, weight_decay=0.01):
    """PyTorch's fused AdamW, without decay for biases and normalisation weights, as in training/adamw.py."""
    torch, groups = require("torch", "compare"), {True: [], False: []}
    for name, parameter in model.named_parameters():
        if parameter.numel():
            groups[is_bias_or_norm(name)].append(parameter)
    groups = [{"params": groups[True], "weight_decay": 0.0}, {"params": groups[False], "weight_decay": weight_decay}]
    return torch.optim.AdamW(groups, fused=True)


def autocast(precision):
    """Operations inside run with PyTorch's mixed precision if this is "bfloat16", and in float32 if it is "float32"."""
    torch = require("torch", "compare")
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == BFLOAT16)


def torch_encoder(encoder, arrays, precision=FLOAT32):
    """encoder: that of transformers' model -> a function that runs it and returns the last hidden state"""
    torch, inputs = require("torch", "compare"), as_tensors(arrays)

    @torch.inference_mode()
    def run():
        with autocast(precision):
            return encoder(**inputs).last_hidden_state

    return run


def onnx_session(file, threads):
    """An ONNX Runtime session of that file on `threads` threads."""
    runtime = require("onnxruntime", "compare")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


class OnnxEncoder:
    """Writes the graph at first use, and opens a session for each number of threads."""

    def __init__(self, params, config, arrays):
        self.params, self.config, self.arrays = params, config, arrays

    @functools.cached_property
    def _folder(self):
        folder = tempfile.mkdtemp()
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)  # deleted together with this object
        return pathlib.Path(folder)

    def file(self, precision=FLOAT32):
        """The model's file in float32 or in 8 bits -> path"""
        file = self._folder / f"{precision}.onnx"
        if not file.exists():
            if precision == FLOAT32:
                graph = build(self.params, self.config)
                file.write_bytes(as_model(graph, self.config.prefix).SerializeToString())
            else:
                quantize_onnx(self.file(), file)
        return file

    def __call__(self, threads, precision=FLOAT32):
        """-> a function that runs the model and returns the last hidden state"""
        session = onnx_session(self.file(precision), threads)
        feed = dict(zip(NAMES, (np.asarray(array, np.int64) for array in self.arrays), strict=True))
        return lambda: session.run(["last_hidden_state"], feed)[0]
