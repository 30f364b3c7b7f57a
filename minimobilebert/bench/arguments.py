"""The parts of `bench`, and the parsing of its options. No kernels are imported, because PyTorch must be first."""

from ..support.numbers import numbers_of
from ..support.shapes import Integer
from .sides import TORCH, TORCH_BFLOAT16, TORCH_INT8

# The parts, and the sides with which each is compared, in addition to NumPy.
_BOTH = (TORCH, TORCH_BFLOAT16)
NEEDS = {
    "matmul_forward": (), "matmul_dx": (), "matmul_dw": (), "matmul_bfloat16": _BOTH,
    "linear_int8": (TORCH, TORCH_INT8), "linear_relu": ("torch",),
    "linear_residual_nonorm": ("torch",), "attention_forward": ("torch",), "attention_forward_backward": ("torch",),
    "block_forward": ("torch",), "block_forward_backward": ("torch",),
    "inference_mobilebert": ("torch", "onnxruntime"), "inference_bert_base": ("torch", "onnxruntime"),
    "train_mobilebert": _BOTH, "train_classroom_1": _BOTH, "train_classroom_2": _BOTH, "distil_minilm": _BOTH,
    "distil_minilm_vectors": (*_BOTH, TORCH_INT8),
    "ladder": (),
}  # fmt: skip


def parts_of(only):
    """Texts with names of parts, separated by commas; [] for all -> names in the order above"""
    wanted = [name for text in only for name in text.split(",") if name]
    for name in wanted:
        if name not in NEEDS:
            raise ValueError(f"--only: found {name!r}, expected one of {', '.join(NEEDS)}")
    return [name for name in NEEDS if name in wanted] if wanted else list(NEEDS)


def libraries_of(parts):
    """The sides with which these parts are compared -> list"""
    return list(dict.fromkeys(side for part in parts for side in NEEDS[part]))


def all_threads():
    """The largest number of threads that the kernels can use."""
    import numba

    return numba.config.NUMBA_NUM_THREADS


def threads_of(text):
    """A text such as 1,2 -> [1, 2]; empty: one thread and all threads"""
    most = all_threads()
    if not text:
        return sorted({1, most})
    return sorted(numbers_of(text, Integer(1, most), "--threads"))
