"""A trained model on disk: `checkpoint-final.npz`, which includes the configuration, and `vocab.txt`.

The configuration stores a digest of the vocabulary, because the same pieces in another order would be other words.

A stage of a run is a model folder (with the vocabulary in the parent folder), and so is a converted checkpoint. For the
folder of a run we load the distilled student.
"""

import dataclasses
import pathlib
from typing import Any, NamedTuple

import numpy as np

from ..config import ConfigError, ModelConfig, config_from_dict
from ..model.parameters import (
    LABELLED_HEADS,
    VECTOR_CLASSIFIER,
    VECTOR_HEADS,
    VECTOR_PAIR_CLASSIFIER,
    head_shapes,
    parameter_shapes,
)
from ..model.quantization import as_arrays, from_arrays, is_quantized, is_whole
from ..model.sentence_settings import SHAPE as SENTENCE_SHAPE
from ..model.sentence_settings import SentenceSettings, sentence_settings_from
from ..support.files import new_folder
from ..support.shapes import ANY, Integer, ShapeError, check
from ..support.structured_files import read_json
from ..text.wordpiece import WordPieceTokenizer
from .checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from .manifest import check_listed

CHECKPOINT, VOCABULARY = "checkpoint-final.npz", "vocab.txt"
SETTINGS = "config.json"  # of a fine-tuned run
_CONFIGURATION_SHAPE = {"model": {str: ANY}, "vocabulary": str, "labels?": ([str], None),
                        "sentence?": (SENTENCE_SHAPE, None), str: ANY}  # fmt: skip

# The parameter that identifies each head; the first match counts.
_HEAD_BY_PARAMETER = {
    "cls.seq_relationship.weight": "pretraining",
    "cls.predictions.bias": "masked-words",
    "classifier.weight": "classification",
    f"{VECTOR_CLASSIFIER}.weight": "sentence-vectors",
    f"{VECTOR_PAIR_CLASSIFIER}.weight": "sentence-pairs",
    "qa_outputs.weight": "question-answering",
}


class SavedModel(NamedTuple):
    params: dict
    config: ModelConfig
    head: str | None  # a name of model.parameters.HEADS, None for the bare encoder
    num_labels: int | None  # of a head with labels
    tokenizer: Any
    labels: list | None  # names of the classes, if known
    sentence: SentenceSettings | None = None  # how texts become vectors, if the model was made for that


def head_of(names):
    """The head of a model with these parameter names -> a name of HEADS or None"""
    return next((head for name, head in _HEAD_BY_PARAMETER.items() if name in names), None)


def as_sentence_encoder(saved):
    """A SavedModel -> the same without a classifier of vectors, which only this project has, and the names left out"""
    if saved.head not in VECTOR_HEADS:
        return saved, []
    left_out = sorted(head_shapes(saved.config, saved.head, saved.num_labels))
    params = {name: array for name, array in saved.params.items() if name not in left_out}
    return saved._replace(params=params, head=None, num_labels=None, labels=None), left_out


def _num_labels(params, head):
    """The number of outputs of a head with labels, or None"""
    if head not in LABELLED_HEADS:
        return None
    name = next(name for name, labelled in _HEAD_BY_PARAMETER.items() if labelled == head)
    return len(np.atleast_1d(params[name]))


def save_model(folder, params, config, tokenizer, labels=None, sentence=None):
    """Write a model folder atomically; it must be new or empty. sentence: SentenceSettings or None"""
    with new_folder(folder) as unfinished:
        write_model(unfinished, params, config, tokenizer, labels, sentence)


def write_model(folder, params, config, tokenizer, labels=None, sentence=None):
    """The files of a model folder into a folder that is being written."""
    configuration = {"model": dataclasses.asdict(config), "labels": labels, "vocabulary": tokenizer.digest}
    if sentence is not None:
        configuration["sentence"] = dataclasses.asdict(sentence)
    metadata = {"step": 0, "seconds": 0.0, "configuration": configuration}
    tokenizer.save(folder / VOCABULARY)
    save_checkpoint(folder / CHECKPOINT, as_arrays(params), metadata)


def find_checkpoint(folder):
    """The checkpoint in a model folder or in a run -> path. ValueError if there is none."""
    folder = pathlib.Path(folder)
    if folder.is_file():
        return folder
    if not folder.is_dir():
        raise ValueError(
            f"{folder}: found no folder, expected a run, a stage of a run, or a converted checkpoint; "
            f"`make train-tiny` makes a run in runs/tiny"
        )
    for path in (folder / CHECKPOINT, folder / "student" / CHECKPOINT):
        if path.exists():
            return path
    if list(folder.glob("*.safetensors*")):
        raise ValueError(
            f"{folder}: found a Hugging Face folder, expected a converted one: convert --from-hf {folder} --to FOLDER"
        )
    if (folder / "onnx").is_dir():
        raise ValueError(f"{folder}: found what `export` writes, expected the model that it was made from")
    raise ValueError(
        f"{folder}: found no {CHECKPOINT} and no student/{CHECKPOINT}, expected a model; "
        "if a run was interrupted, run its command again to resume it"
    )


def settings_of_run(folder):
    """The settings of a run, if `folder` is a fine-tuned one -> dict or None"""
    file = find_checkpoint(folder).parent / SETTINGS
    if not file.exists():
        return None
    check_listed(file)
    settings = read_json(file, {"max_length?": Integer(1), str: ANY})
    return settings if "start_model" in settings else None


def longest_text(folder, saved):
    """The most word pieces of a text for the model of a folder: its positions, or fewer if it was trained with fewer"""
    longest = saved.sentence.longest(saved.config) if saved.sentence else saved.config.max_position_embeddings
    return min(longest, (settings_of_run(folder) or {}).get("max_length", longest))


def _configuration(path, metadata):
    """-> ModelConfig, labels or None, SentenceSettings or None, digest of the vocabulary"""
    try:
        found = check(metadata["configuration"], _CONFIGURATION_SHAPE, "configuration")
        sentence = sentence_settings_from(found.get("sentence"), "sentence")
        return config_from_dict(found["model"]), found.get("labels"), sentence, found["vocabulary"]
    except (ShapeError, ConfigError) as error:
        raise CheckpointError(f"{path}: found no usable configuration ({error}), expected one") from None


def _check_parameters(path, params, config, head, num_labels):
    expected = parameter_shapes(config, head, num_labels)
    if {name: array.shape for name, array in params.items()} != expected:
        raise CheckpointError(f"{path}: found parameters that do not fit its configuration, expected a whole model")
    if is_quantized(params) and not is_whole(params, config):
        raise CheckpointError(f"{path}: found other parameters in 8 bits than `quantize` makes, expected those")
    types = {array.dtype.name for array in as_arrays(params).values()} - {"int8"}
    if types not in ({"float32"}, {"float64"}):
        raise CheckpointError(f"{path}: found parameters of type {', '.join(sorted(types))}, expected float32")


def _load_vocabulary(path, config, digest):
    """The vocabulary in the folder of the checkpoint `path`, or in the parent folder -> WordPieceTokenizer"""
    for vocabulary in (path.parent / VOCABULARY, path.parent.parent / VOCABULARY):
        if vocabulary.exists():
            break
    else:
        raise CheckpointError(f"{path.parent / VOCABULARY}: found no file, expected the vocabulary of the model")
    check_listed(vocabulary)
    tokenizer = WordPieceTokenizer.load(vocabulary)
    if tokenizer.vocab_size != config.vocab_size:
        raise CheckpointError(
            f"{vocabulary}: found {tokenizer.vocab_size} pieces, expected {config.vocab_size} (the model's)"
        )
    if tokenizer.digest != digest:  # the same number of pieces, but different ones or in another order
        raise CheckpointError(
            f"{vocabulary}: found other pieces (digest {tokenizer.digest}), expected those that the model was made with"
            f" (digest {digest})"
        )
    return tokenizer


def load_model(folder, *, in_8_bits=False):
    """-> SavedModel. ValueError with the file's name if a file is missing, damaged or does not fit the others.

    in_8_bits: whether a quantised model will do, which can be used but not trained
    """
    path = find_checkpoint(folder)
    check_listed(path)
    arrays, metadata = load_checkpoint(path)
    try:
        params = from_arrays(arrays)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None
    if is_quantized(params) and not in_8_bits:
        raise CheckpointError(f"{path}: found a model in 8 bits, expected one in float32: 8 bits are for using a model")
    config, labels, sentence, digest = _configuration(path, metadata)
    head = head_of(params)
    num_labels = _num_labels(params, head)
    _check_parameters(path, params, config, head, num_labels)
    if labels and len(labels) != num_labels:
        raise CheckpointError(f"{path}: found {len(labels)} names of classes, expected {num_labels}")
    return SavedModel(params, config, head, num_labels, _load_vocabulary(path, config, digest), labels, sentence)
