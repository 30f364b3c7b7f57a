"""The models that `latency` knows by name. No kernels are imported, because PyTorch must be first.

The paper's Table 7 changes normalisation and activation of MobileBERT:

                 GELU                       ReLU
    LayerNorm    mobilebert-no-opt          mobilebert-layernorm-relu
    NoNorm       mobilebert-nonorm-gelu     mobilebert
"""

import pathlib

from ..config import PRESETS, preset
from ..support.files import labels_of
from ..support.numbers import COUNT, numbers_of
from ..support.paper import MILLISECONDS
from .sides import ONNX, ONNX_INT8, OURS, OURS_BFLOAT16, OURS_INT8, TORCH, TORCH_BFLOAT16, TORCH_INT8

MODELS = PRESETS | {
    "mobilebert-layernorm-relu": preset("mobilebert", normalization_type="layer_norm"),
    "mobilebert-nonorm-gelu": preset("mobilebert", hidden_act="gelu_tanh"),
}
YARDSTICK = "bert-base"  # the paper's Table 4 compares with it
PAPER = tuple(MILLISECONDS)  # the models whose latency the paper gives
# What each of our sides is compared with.
COMPARED = {
    OURS: (TORCH, ONNX),
    OURS_BFLOAT16: (OURS, TORCH, TORCH_BFLOAT16),
    OURS_INT8: (OURS, TORCH, TORCH_INT8, ONNX, ONNX_INT8),
}
LIBRARIES = {TORCH: (TORCH, TORCH_BFLOAT16, TORCH_INT8), ONNX: (ONNX, ONNX_INT8)}


def names_of(models):
    """Names of models or folders, `paper` for all models of the paper -> {label: ModelConfig, or path of a folder}

    A folder's label is its own name, or its path where two folders have the same name.
    """
    models = [name for word in models for name in (PAPER if word == "paper" else [word])]
    known = [name for name in models if name in MODELS]
    for name in models:
        if known.count(name) > 1:
            raise ValueError(f"latency: found {name} twice, expected each model once")
        if name not in MODELS and not pathlib.Path(name).exists():
            every = ", ".join(["paper", *MODELS])
            raise ValueError(f"latency: found {name!r}, expected a model folder or one of {every}")
    folders = labels_of([name for name in models if name not in MODELS], taken=known)
    labels = {path: label for label, path in folders.items()}
    return {
        name if name in MODELS else labels[pathlib.Path(name)]: MODELS.get(name) or pathlib.Path(name)
        for name in models
    }


def lengths_of(text):
    """ "128,384" -> [128, 384]; ValueError for anything else"""
    return sorted(numbers_of(text, COUNT, "--length"))


def libraries_of(text):
    """ "torch,onnxruntime" -> the names; None: all; "none": none of them"""
    if text is None or text == "none":
        return list(LIBRARIES) if text is None else []
    names = text.split(",")
    for name in names:
        if name not in LIBRARIES:
            raise ValueError(f"--against: found {name!r}, expected {', '.join(LIBRARIES)} or none")
        if names.count(name) > 1:
            raise ValueError(f"--against: found {name} twice, expected it once")
    return [name for name in LIBRARIES if name in names]


def sides_of(libraries):
    """Names of libraries -> their sides"""
    return [side for library in libraries for side in LIBRARIES[library]]
