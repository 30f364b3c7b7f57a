"""A trained model on disk: `checkpoint-final.npz` with its configuration inside, and `vocab.txt`.

A stage of a run is such a folder (its vocabulary lies beside it, in the run), and so is a converted checkpoint.
Of a whole run, the distilled student is taken.
"""

import dataclasses
import pathlib
from typing import Any, NamedTuple

from ..config import ConfigError, ModelConfig, config_from_dict
from ..files import new_folder
from ..model.parameters import parameter_shapes
from ..text.wordpiece import WordPieceTokenizer
from .checkpoints import CheckpointError, load_checkpoint, save_checkpoint

CHECKPOINT, VOCABULARY = "checkpoint-final.npz", "vocab.txt"

# Parameters that tell the head; the first one found counts.
_TELLING = {
    "cls.seq_relationship.weight": "pretraining",
    "cls.predictions.bias": "masked-words",
    "classifier.weight": "classification",
    "qa_outputs.weight": "question-answering",
}


class SavedModel(NamedTuple):
    params: dict
    config: ModelConfig
    head: str | None  # a name of model.parameters.HEADS, None for the bare encoder
    num_labels: int | None  # of a classification head
    tokenizer: Any
    labels: list | None  # names of the classes, where known


def head_of(names):
    """The head that parameters with these names have -> a name of HEADS or None"""
    for name, head in _TELLING.items():
        if name in names:
            return head
    return None


def save_model(folder, params, config, tokenizer, labels=None):
    """Write a model folder, which must be new or empty; whole or not at all."""
    configuration = {"model": dataclasses.asdict(config), "labels": labels}
    with new_folder(folder) as unfinished:
        tokenizer.save(unfinished / VOCABULARY)
        save_checkpoint(unfinished / CHECKPOINT, params, {"step": 0, "seconds": 0.0, "configuration": configuration})


def find_checkpoint(folder):
    """The checkpoint of a model folder or of a run -> path. ValueError where there is none."""
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
    raise ValueError(
        f"{folder}: found no {CHECKPOINT} and no student/{CHECKPOINT}, expected a model; "
        "where a run was interrupted, give the command that began it again"
    )


def load_model(folder):
    """-> SavedModel. ValueError, naming the file, where something is missing, damaged or does not fit."""
    path = find_checkpoint(folder)
    params, metadata = load_checkpoint(path)
    try:
        config = config_from_dict(metadata["configuration"]["model"])
    except (KeyError, TypeError, ConfigError) as error:
        raise CheckpointError(f"{path}: found no usable configuration ({error}), expected one") from None
    head, labels = head_of(params), metadata["configuration"].get("labels")
    num_labels = len(params["classifier.bias"]) if head == "classification" else None
    shapes = parameter_shapes(config, head, num_labels)
    if {name: array.shape for name, array in params.items()} != shapes:
        raise CheckpointError(f"{path}: found parameters that do not fit its configuration, expected a whole model")
    for vocabulary in (path.parent / VOCABULARY, path.parent.parent / VOCABULARY):
        if vocabulary.exists():
            tokenizer = WordPieceTokenizer.load(vocabulary)
            if tokenizer.vocab_size != config.vocab_size:
                raise CheckpointError(
                    f"{vocabulary}: found {tokenizer.vocab_size} pieces, expected {config.vocab_size} (the model's)"
                )
            return SavedModel(params, config, head, num_labels, tokenizer, labels)
    raise CheckpointError(f"{path.parent / VOCABULARY}: found no file, expected the vocabulary of the model")
