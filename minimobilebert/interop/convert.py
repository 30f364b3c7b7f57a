"""`convert`: a folder of Hugging Face or sentence-transformers to a model folder of this project, and back.

We read and check everything before we write, and write the new folder atomically.
"""

import pathlib
import re
from typing import NamedTuple

from ..config import ModelConfig
from ..model.parameters import parameter_shapes
from ..support.extras import require
from ..support.files import check_new_folder, new_folder, write_json
from ..support.requirements import check_disk, check_writable
from ..support.structured_files import read_json
from ..training.model_folder import as_sentence_encoder, load_model, longest_text, save_model
from .hf_config import MASKED_WORDS, WITHOUT_POOLER, config_from_hf, config_to_hf, head_from_hf
from .hf_names import match_parameters, tensors_for_hf
from .hf_tokenizer import read_vocabulary, write_tokenizer
from .safetensors_files import InteropError, read_tensors, write_tensors
from .sentence_folders import encoder_folder, read_sentence_settings, write_sentence_settings


class Converted(NamedTuple):
    """The result of a conversion."""

    config: ModelConfig
    head: str | None
    tensors: int  # number of converted tensors
    notes: list  # lines on tensors and settings that were left out or added


def _check_depth(tensors, config, location):
    """Check num_hidden_layers before we build lists of that length: a damaged config.json may name a billion."""
    layers = {int(m[1]) for name in tensors if (m := re.search(r"encoder\.layer\.(\d{1,6})\.", name))}
    if len(layers) != config.num_hidden_layers:
        raise InteropError(f"{location}: num_hidden_layers: found {config.num_hidden_layers}, expected {len(layers)}"
                           " (the layers in the checkpoint)")  # fmt: skip


def _labels(settings, tensors, location):
    """Class names of a classification head -> list of str, or None"""
    names, count = settings.get("id2label"), len(tensors["classifier.bias"])
    if names is None:
        return None
    if not isinstance(names, dict) or sorted(names) != sorted(str(i) for i in range(count)):
        raise InteropError(f"{location}: id2label: found {names!r}, expected names for 0 to {count - 1}")
    return [str(names[str(i)]) for i in range(count)]


def _settle_pooler(tensors, config, head):
    """Set `classifier_activation` according to the file -> ModelConfig, list of notes

    If the transformers class, or the file of a bare encoder, has no pooler, the pooled vector is [CLS] itself.
    """
    names = [name for name in tensors if "pooler.dense" in name]
    if not config.classifier_activation or head not in (*WITHOUT_POOLER, None):
        return config, []
    if head is None and names and config.prefix == "bert" and not any(tensors[name].any() for name in names):
        for name in names:
            del tensors[name]
        return config.replace(classifier_activation=False), ["left out pooler.dense: it is zero, so there is no pooler"]
    if names:
        return config, []
    note = ["note: found no pooler; the pooled vector is that of [CLS]"] if head is None else []
    return config.replace(classifier_activation=False), note


def _settle_tied(config, settings, head):
    """Set `tie_word_embeddings` according to config.json -> ModelConfig"""
    untied = head in MASKED_WORDS and settings.get("tie_word_embeddings") is False
    return config.replace(tie_word_embeddings=False) if untied else config


def read_hf(folder):
    """Read a Hugging Face folder -> parameters, ModelConfig, head, tokenizer, labels, notes. ValueError of one line."""
    folder = pathlib.Path(folder)
    tensors = read_tensors(folder)
    location = folder / "config.json"
    if not location.exists():
        raise InteropError(f"{location}: found no file, expected the model's configuration")
    settings = read_json(location)
    config = config_from_hf(settings, location)
    head = head_from_hf(settings, tensors, location)
    _check_depth(tensors, config, location)
    labels = num_labels = None
    if head == "classification":
        if "classifier.bias" not in tensors:
            raise InteropError(f"{folder}: found no classifier.bias, expected a classification head")
        labels, num_labels = _labels(settings, tensors, location), len(tensors["classifier.bias"])
    config, notes = _settle_pooler(tensors, _settle_tied(config, settings, head), head)
    shapes = parameter_shapes(config, head, num_labels)
    params, tensor_notes = match_parameters(tensors, shapes, config, head, folder)
    tokenizer, vocabulary_notes = read_vocabulary(folder, settings, config.vocab_size)
    if settings.get("problem_type") == "multi_label_classification":
        notes.append("note: trained for several labels a text; here one of them is chosen")
    return params, config, head, tokenizer, labels, [*notes, *tensor_notes, *vocabulary_notes]


def from_hf(folder, out):
    """Read a Hugging Face folder and write a model folder -> Converted. After an error nothing is written."""
    check_new_folder(out)
    check_writable(out)
    require("safetensors", "interop")
    params, config, head, tokenizer, labels, notes = read_hf(encoder_folder(folder))
    sentence, sentence_notes = read_sentence_settings(folder, config)
    check_disk(out, sum(array.nbytes for array in params.values()), "the model")
    save_model(out, params, config, tokenizer, labels, sentence)
    return Converted(config, head, len(params), [*notes, *sentence_notes])


def to_hf(folder, out):
    """Read a model folder or run and write a Hugging Face folder -> Converted"""
    check_new_folder(out)
    check_writable(out)
    require("safetensors", "interop")
    saved, left_out = as_sentence_encoder(load_model(folder))
    longest = longest_text(folder, saved)
    settings = config_to_hf(saved.config, saved.head, saved.num_labels, folder, saved.labels, saved.tokenizer.pad_id)
    tensors = tensors_for_hf(saved.params, saved.config, saved.head)
    check_disk(out, sum(array.nbytes for array in tensors.values()), "the model")
    with new_folder(out) as unfinished:
        write_tokenizer(unfinished, saved.tokenizer, longest)
        write_tensors(unfinished, tensors)
        write_json(unfinished / "config.json", settings)
        if saved.sentence:
            write_sentence_settings(unfinished, saved.sentence, saved.config)
    written = {name.removeprefix(f"{saved.config.prefix}."): array for name, array in tensors.items()}
    names = set(written)
    parameters = {name.removeprefix(f"{saved.config.prefix}.") for name in saved.params}
    notes = [f"left out {name}: transformers' class has none" for name in [*left_out, *sorted(parameters - names)]]
    for name in sorted(names - parameters):
        zeros = "" if written[name].any() else ", zeros"
        notes.append(f"note: added {name}{zeros}, which transformers' class has")
    return Converted(saved.config, saved.head, len(tensors), notes)
