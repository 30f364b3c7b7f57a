"""`export --onnx`: a model folder to a folder that other programs open without any code of ours.

    onnx/model.onnx, onnx/model_quantized.onnx     the graph in float32, and in 8 bits
    config.json                                    sizes, names of classes
    vocab.txt, tokenizer.json, ...                 the tokeniser
    modules.json, 1_Pooling/, ...                  how tokens become a vector, for a sentence encoder

The names of the graphs are those that transformers.js looks for (dtype fp32 and q8) and sentence-transformers too. We
build, check and compare everything before we write, and write the new folder atomically.
"""

from typing import NamedTuple

import numpy as np

from ...model.quantization import as_arrays, is_quantized, quantize
from ...support.extras import require
from ...support.files import check_new_folder, new_folder, replacing, write_json
from ...support.requirements import check_disk, check_writable
from ...support.terminal import say
from ...training.model_folder import as_sentence_encoder, load_model, longest_text
from ..hf_config import settings_for_hf
from ..hf_tokenizer import write_special_tokens, write_tokenizer
from ..safetensors_files import InteropError
from ..sentence_folders import write_sentence_settings
from .comparison import Interpreted, Session, has_runtime, largest_errors, rounding_error
from .encoder import encoder
from .file_format import as_model
from .graph import Graph
from .heads import attention_maps, check_head, outputs

FLOAT, QUANTIZED = "model.onnx", "model_quantized.onnx"
MOST_BYTES = 2_000_000_000  # of a file in the format of ONNX, whose lengths have 31 bits
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
# A graph in float32 with a larger error does not compute the model, unless float32 itself loses that much. In 8 bits
# there is no such limit: a number next to a half may be rounded the other way, and a step of 8 bits is large.
_LARGEST_ERROR, _ROUNDINGS = 1e-3, 10


class Written(NamedTuple):
    """One graph that was written."""

    name: str  # of its file
    megabytes: float
    nodes: int
    runtime: str  # that computed it, to compare
    errors: dict  # {output: largest relative error}


class Exported(NamedTuple):
    """The result of an export."""

    graphs: list  # of Written
    notes: list  # lines


def build(params, config, head=None, sentence=None, attention=False):
    """A model as a graph; head, sentence: as in SavedModel; attention: return the maps too -> Graph"""
    graph = Graph()
    ids, mask, types = (graph.input(name, np.int64, ["batch", "length"]) for name in _INPUTS)
    mask = graph.cast(mask, np.bool_, "mask")
    hidden = encoder(graph, params, config, ids, types, mask)
    outputs(graph, params, config, head, sentence, hidden, mask)
    if attention:
        attention_maps(graph, config)
    return graph


def _float32(params, location):
    """Parameters as float32; they are finite. InteropError for a number that float32 does not reach."""
    found = {}
    for name, weight in params.items():
        if isinstance(weight, np.ndarray):
            with np.errstate(over="ignore"):
                weight = weight.astype(np.float32, copy=False)
            if not np.isfinite(weight).all():
                index = np.argwhere(~np.isfinite(weight))[0].tolist()
                raise InteropError(f"{location}: {name}: found {params[name][tuple(index)]} at {index}, expected"
                                   " numbers of float32")  # fmt: skip
        found[name] = weight
    return found


def _variants(saved, int8, location):
    """{name of a graph's file: its parameters}"""
    params = _float32(saved.params, location)
    if is_quantized(params):
        if not int8:
            raise InteropError(f"{location}: found a model in 8 bits, whose float32 is gone, expected --int8 with it")
        return {QUANTIZED: params}
    return {FLOAT: params, QUANTIZED: quantize(params, saved.config)} if int8 else {FLOAT: params}


def _check_sizes(variants, location):
    for params in variants.values():
        size = sum(array.nbytes for array in as_arrays(params).values())
        if size > MOST_BYTES:
            raise InteropError(f"{location}: found {size / 1e6:,.0f} MB of parameters, expected at most"
                               f" {MOST_BYTES / 1e6:,.0f} MB: the format holds no more in one file")  # fmt: skip


def _checked(name, params, saved, attention=False):
    """Build one graph and compare it -> its bytes, Written"""
    arguments = params, saved.config, saved.head, saved.sentence, attention
    runtime = "ONNX Runtime" if has_runtime() else "our interpreter"
    say(f"onnx/{name}: build, check, and compare in {runtime}")
    graph = build(*arguments)
    serialised = as_model(graph, saved.config.prefix).SerializeToString(deterministic=True)
    session = Session(serialised) if has_runtime() else Interpreted(graph)
    errors = largest_errors(session, *arguments)
    if name == FLOAT and not max(errors.values()) <= _LARGEST_ERROR:
        worst, limit = max(errors, key=errors.get), max(_LARGEST_ERROR, _ROUNDINGS * rounding_error(*arguments[:-1]))
        if not errors[worst] <= limit:
            raise InteropError(f"{name}: {worst}: found a relative error of {errors[worst]:.1e} in {runtime},"
                               f" expected at most {limit:.0e}; nothing was written")  # fmt: skip
    return serialised, Written(name, len(serialised) / 1e6, len(graph.nodes), runtime, errors)


def _write_others(folder, saved, longest):
    """The files beside the graphs; longest: the most pieces of a text"""
    config, sentence = saved.config, saved.sentence
    write_tokenizer(folder, saved.tokenizer, longest)
    write_special_tokens(folder)
    settings = settings_for_hf(config, saved.head, saved.num_labels, saved.labels, saved.tokenizer.pad_id)
    write_json(folder / "config.json", settings)
    if sentence:
        write_sentence_settings(folder, sentence, config)


def checked_graphs(folder, int8=False, attention=False):
    """Load a model, build its graphs and compare them; arguments as of `export` and `build` -> SavedModel, graphs

    graphs: list of (bytes, Written). ValueError for a bad model or an extra that is not installed.
    """
    require("onnx", "interop")
    saved, left_out = as_sentence_encoder(load_model(folder, in_8_bits=True))
    for name in left_out:
        say(f"note: left out {name}: the graph gives sentence vectors, not what was made of them")
    check_head(saved.head, folder)
    variants = _variants(saved, int8, folder)
    _check_sizes(variants, folder)
    return saved, [_checked(name, params, saved, attention) for name, params in variants.items()]


def write_graphs(folder, graphs):
    """Write the graphs of `checked_graphs` into the new folder `onnx` of a folder."""
    (folder / "onnx").mkdir()
    for serialised, written in graphs:
        with replacing(folder / "onnx" / written.name) as file:
            file.write(serialised)


def export(folder, out, int8=False):
    """folder: a run or a model folder; out: a new folder; int8: in 8 bits (too) -> Exported

    ValueError for a bad model, an extra that is not installed or a folder that is not new: nothing is written then.
    """
    check_new_folder(out)
    check_writable(out)
    saved, found = checked_graphs(folder, int8)
    longest = longest_text(folder, saved)
    check_disk(out, sum(len(serialised) for serialised, _ in found), "the graphs")
    with new_folder(out) as unfinished:
        write_graphs(unfinished, found)
        _write_others(unfinished, saved, longest)
    notes = []
    if saved.sentence and saved.sentence.prompt:
        notes.append(f"note: the prompt {saved.sentence.prompt!r} belongs before every text; the graph gets pieces, so"
                     " put it there yourself where sentence-transformers does not")  # fmt: skip
    return Exported([written for _, written in found], notes)
