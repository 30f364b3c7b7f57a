"""`quantize`: a model folder to one in 8 bits (model/quantization.py).

The new folder is a model like any other for whoever uses one; it cannot be trained or converted. It is written
atomically.
"""

from typing import NamedTuple

from ..model.quantization import as_arrays, quantize
from ..support.files import check_new_folder
from ..training.model_folder import load_model, save_model


class Quantized(NamedTuple):
    """The result of a quantisation."""

    quantized: int  # numbers that are integers now
    parameters: int  # all
    megabytes: tuple  # of all arrays, before and after


def quantize_folder(folder, out):
    """folder: a run or a model folder; out: a new folder -> Quantized. ValueError where a weight is not finite."""
    check_new_folder(out)
    saved = load_model(folder)
    params = quantize(saved.params, saved.config)
    save_model(out, params, saved.config, saved.tokenizer, saved.labels, saved.sentence)
    before, after = saved.params.values(), as_arrays(params).values()
    return Quantized(
        sum(array.size for array in after if array.dtype == "int8"),
        sum(array.size for array in before),
        tuple(sum(array.nbytes for array in arrays) / 1e6 for arrays in (before, after)),
    )
