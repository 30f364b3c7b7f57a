"""`quantize`: a model folder to one in 8 bits (model/quantization.py).

The new folder is a model like any other for whoever uses one; it cannot be trained or converted. A fine-tuned run keeps
its settings: the columns of its table, its longest text. The folder is written atomically.
"""

import pathlib
from typing import NamedTuple

from ..model.quantization import as_arrays, quantize, scheme_of
from ..ops.quantized_linear import PER_CHANNEL
from ..support.files import check_new_folder, name_of, new_folder, write_json
from ..support.requirements import check_writable
from ..training.model_folder import SETTINGS, load_model, settings_of_run, write_model
from .calibration import calibrate


class Quantized(NamedTuple):
    """The result of a quantisation."""

    quantized: int  # numbers that are integers now
    parameters: int  # all
    megabytes: tuple  # of all arrays, before and after
    scheme: str  # which numbers share a scale
    texts: int  # paragraphs that gave fixed scales; 0: none


def quantize_folder(folder, out, scales=PER_CHANNEL, text=None, column=None):
    """folder: a run or a model folder; out: a new folder -> Quantized. ValueError where a weight is not finite.

    scales: of weights, "per-channel" or "per-tensor"
    text: a text to calibrate activations with, which then have a fixed scale in each layer
    column: of a table of texts, None for "text"
    """
    check_new_folder(out)
    source = pathlib.Path(folder).resolve()  # a model can be named by its checkpoint, too
    if pathlib.Path(out).resolve().is_relative_to(source.parent if source.is_file() else source):
        raise ValueError(f"{out}: found a folder inside the model {folder}, expected another one")
    check_writable(out)  # before a long calibration
    saved, settings = load_model(folder), settings_of_run(folder)
    params = quantize(saved.params, saved.config, scales)  # first: it names a weight that cannot be quantised
    texts = 0
    if text is not None:
        ranges, texts = calibrate(saved, text, column)
        params = quantize(saved.params, saved.config, scales, ranges)
    with new_folder(out) as unfinished:
        write_model(unfinished, params, saved.config, saved.tokenizer, saved.labels, saved.sentence)
        if settings is not None:
            # It was made from the run, and is no run that another `finetune` could continue.
            write_json(unfinished / SETTINGS, settings | {"start_model": name_of(folder)})
    before, after = saved.params.values(), as_arrays(params).values()
    return Quantized(
        sum(array.size for array in after if array.dtype == "int8"),
        sum(array.size for array in before),
        tuple(sum(array.nbytes for array in arrays) / 1e6 for arrays in (before, after)),
        scheme_of(params),
        texts,
    )
