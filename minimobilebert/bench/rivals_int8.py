"""The same model in 8 bits in PyTorch and ONNX Runtime, each with its own dynamic quantisation.

Both round the weights of dense layers once, and the activations of each layer when the model runs: with one scale for
the whole tensor, where this project has one for each token. Embeddings stay float32 in PyTorch.
"""

import io
import logging
import warnings

from ..support.extras import require


def quantize_torch(encoder):
    """PyTorch's encoder -> a copy with dense layers in 8 bits"""
    torch, quantization = require("torch", "compare"), require("torch.ao.quantization", "compare")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces the package that will replace this one
        return quantization.quantize_dynamic(encoder, {torch.nn.Linear}, dtype=torch.qint8)


def torch_bytes(encoder):
    """What PyTorch stores for an encoder -> bytes"""
    memory = io.BytesIO()
    require("torch", "compare").save(encoder.state_dict(), memory)
    return memory.tell()


def quantize_onnx(source, target):
    """An ONNX file -> another one in 8 bits, with the defaults of ONNX Runtime's quantize_dynamic"""
    quantization = require("onnxruntime.quantization", "compare")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it recommends a step before this one, with which models were no faster
    try:
        quantization.quantize_dynamic(str(source), str(target))
    finally:
        logging.disable(before)
