"""The same model in transformers, with our numbers, and the same in ONNX Runtime.

transformers chooses its attention (the fused one where it has it). ONNX Runtime gets what torch.onnx.export makes of
that model, through a file that is gone afterwards, and does the optimisations that it does on its own.
"""

import contextlib
import functools
import io
import logging
import pathlib
import tempfile
import warnings

import numpy as np

from ..parity.models import build_theirs
from ..support.extras import require
from ..training.adamw import is_bias_or_norm

NAMES = ("input_ids", "token_type_ids", "attention_mask")
_FILE = "model.onnx"


def build_pretraining(params, config):
    """transformers' pre-training model with the numbers in `params` (those of the head "pretraining")."""
    return build_theirs(params, config, attention=None)


def as_tensors(arrays):
    """Ids, segments, mask [B, T] -> {name: int64 tensor} as transformers takes them"""
    torch = require("torch", "compare")
    return {name: torch.from_numpy(np.asarray(array, np.int64)) for name, array in zip(NAMES, arrays, strict=True)}


def torch_optimizer(model, weight_decay=0.01):
    """AdamW in its fastest form, without decay for biases and norms, as on our side."""
    torch, groups = require("torch", "compare"), {True: [], False: []}
    for name, parameter in model.named_parameters():
        if parameter.numel():
            groups[is_bias_or_norm(name)].append(parameter)
    groups = [{"params": groups[True], "weight_decay": 0.0}, {"params": groups[False], "weight_decay": weight_decay}]
    return torch.optim.AdamW(groups, fused=True)


def torch_encoder(model, arrays):
    """model: theirs -> a function that runs its encoder and returns the last hidden state"""
    torch = require("torch", "compare")
    encoder, inputs = model.base_model.eval(), as_tensors(arrays)
    return torch.inference_mode()(lambda: encoder(**inputs).last_hidden_state)


def export_onnx(model, arrays, folder):
    """Write the encoder of their model as ONNX, for inputs of this shape -> the file"""
    torch = require("torch", "compare")

    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = model.base_model

        def forward(self, input_ids, token_type_ids, attention_mask):
            inputs = {"input_ids": input_ids, "token_type_ids": token_type_ids, "attention_mask": attention_mask}
            return self.encoder(**inputs).last_hidden_state

    file, tensors = pathlib.Path(folder) / _FILE, as_tensors(arrays)
    before = logging.root.manager.disable
    # The exporter tells about its own plans; an error comes as an exception.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            torch.onnx.export(
                Encoder().eval(), tuple(tensors.values()), str(file), dynamo=True, input_names=list(NAMES)
            )
        finally:
            logging.disable(before)
    return file


def onnx_session(file, threads):
    """An ONNX Runtime session of that file on `threads` threads."""
    runtime = require("onnxruntime", "compare")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


class OnnxEncoder:
    """Exports once, when it is first asked for, and opens a session for every number of threads."""

    def __init__(self, make_model, arrays):
        """make_model: () -> their model"""
        self.make_model, self.arrays = make_model, arrays

    @functools.cached_property
    def _folder(self):
        folder = tempfile.TemporaryDirectory()
        export_onnx(self.make_model(), self.arrays, folder.name)
        return folder  # deletes itself with this object

    def __call__(self, threads):
        """-> a function that runs the model and returns the last hidden state"""
        session = onnx_session(pathlib.Path(self._folder.name) / _FILE, threads)
        feed = dict(zip(NAMES, (np.asarray(array, np.int64) for array in self.arrays), strict=True))
        return lambda: session.run(None, feed)[0]
