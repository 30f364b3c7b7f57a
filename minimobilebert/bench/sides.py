"""The names of the sides: a library, and the precision of its matrix products where that is not float32.

    ours    ours bfloat16    ours int8    numpy    torch    torch bfloat16    torch int8
    onnxruntime    onnxruntime int8    bert-base

"torch bfloat16" is PyTorch under autocast: it rounds the operands of a product to bfloat16, as ops/bfloat16.py does,
and keeps norms, softmax and losses in float32. Weights and optimiser are float32 on all sides.

"int8" is a model whose dense layers have weights in 8 bits, and whose activations become 8 bits when it runs
("dynamic"). It exists for inference only; in a distillation step it is the teacher.
"""

FLOAT32, BFLOAT16, INT8 = "float32", "bfloat16", "int8"
OURS, OURS_BFLOAT16, OURS_INT8 = "ours", "ours bfloat16", "ours int8"
TORCH, TORCH_BFLOAT16, TORCH_INT8 = "torch", "torch bfloat16", "torch int8"
ONNX, ONNX_INT8 = "onnxruntime", "onnxruntime int8"


def library_of(side):
    """ "torch bfloat16" -> "torch" """
    return side.partition(" ")[0]


def precision_of(side):
    """ "torch bfloat16" -> "bfloat16"; "torch" -> "float32" """
    return side.partition(" ")[2] or FLOAT32


def trains_in(side):
    """The precision of a side's training: that of its name, but float32 for "int8", which is for inference."""
    return FLOAT32 if precision_of(side) == INT8 else precision_of(side)


def ours_in(precision):
    """The name of our side with this precision."""
    return OURS if precision == FLOAT32 else f"{OURS} {precision}"
