"""The tensors of a Hugging Face file as parameters of this project, and back. Each tensor is accounted for.

The names are the same, with these exceptions: some files have an old spelling, the file of a bare encoder has names
without the model's prefix, tied weights may be stored twice, and constants are stored like weights.
"""

import re

import numpy as np

from .hf_config import MASKED_WORDS, WITHOUT_POOLER
from .safetensors_files import InteropError

_MANY = 8
_MLM = "cls.predictions"
_DECODER = f"{_MLM}.decoder.weight"


def _listed(names):
    names = sorted(names)
    rest = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return ", ".join(names[:_MANY]) + rest


def _present_spelling(tensors, config):
    """Rename gamma, beta to weight, bias; add the prefix to the names of a bare encoder."""
    renamed = {}
    for name, array in tensors.items():
        name = re.sub(r"\bLayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"\bLayerNorm\.beta$", "LayerNorm.bias", name))
        if name.startswith(("embeddings.", "encoder.", "pooler.")):
            name = f"{config.prefix}.{name}"
        renamed[name] = array
    return renamed


def _drop_tied(tensors, config, location):
    """Remove the second copy of tied weights; InteropError if the two copies differ."""
    twins = {_DECODER: f"{config.prefix}.embeddings.word_embeddings.weight"}
    if config.tie_word_embeddings:
        twins[f"{_MLM}.decoder.bias"] = f"{_MLM}.bias"
    else:  # transformers then ties nothing, and uses the decoder's bias
        twins = {}
        if f"{_MLM}.decoder.bias" in tensors:
            tensors[f"{_MLM}.bias"] = tensors.pop(f"{_MLM}.decoder.bias")
    for name, twin in twins.items():
        if name in tensors and twin not in tensors:
            tensors[twin] = tensors.pop(name)
        elif name in tensors and not np.array_equal(tensors.pop(name), tensors[twin]):
            raise InteropError(
                f"{location}: {name}: found other numbers than in {twin}, expected the same (tied) ones, or"
                " tie_word_embeddings false in config.json"
            )


def _not_used(name, config):
    """The reason why an unknown tensor can be left out, or None."""
    if config.bottleneck_attention and ".bottleneck.attention." in name:
        return "queries and keys read the input bottleneck, so the shared one is not used"
    if not config.has_embedding_transformation and ".embedding_transformation." in name:
        return "word vectors have the hidden width already"
    return None


def _left_out(name, tensors, config, head):
    """The reason why a tensor that the model does not have can be left out, or None if it must not."""
    if tensors[name].size == 0:
        return "it holds no numbers"
    if head is None and not name.startswith(f"{config.prefix}."):
        return "of this class only the encoder is read"
    return _not_used(name, config)


def match_parameters(tensors, shapes, config, head, location):
    """The tensors of a file as parameters of this project -> parameters, list of notes on tensors that were left out

    shapes: {name: shape} of the model. InteropError with a list of missing, unexpected and misshapen tensors.
    """
    tensors = _present_spelling(tensors, config)
    if head in MASKED_WORDS:
        _drop_tied(tensors, config, location)
    notes = []
    for name in list(tensors):
        if name not in shapes:
            if reason := _left_out(name, tensors, config, head):
                notes.append(f"left out {name}: {reason}")
                del tensors[name]
    problems = []
    if missing := [name for name in shapes if name not in tensors]:
        problems.append(f"missing {len(missing)}: {_listed(missing)}")
    if unexpected := [name for name in tensors if name not in shapes]:
        problems.append(f"unexpected {len(unexpected)}: {_listed(unexpected)}")
    wrong = [
        f"{name} {list(tensors[name].shape)} instead of {list(shape)}"
        for name, shape in shapes.items()
        if name in tensors and tensors[name].shape != tuple(shape)
    ]
    if wrong:
        problems.append(f"wrong shape {len(wrong)}: {_listed(wrong)}")
    if problems:
        raise InteropError(f"{location}: found tensors that do not fit config.json: {'; '.join(problems)}")
    return {name: tensors[name] for name in shapes}, notes


def names_for_hf(params, config, head):
    """Parameters -> the names and shapes of transformers (tied weights once)."""
    tensors = dict(params)
    if config.use_bottleneck and head in MASKED_WORDS and f"{_MLM}.dense.weight" not in params:
        tensors[f"{_MLM}.dense.weight"] = np.zeros((0, config.vocab_size), np.float32)
    if head is None:
        return {name.removeprefix(f"{config.prefix}."): array for name, array in tensors.items()}
    return tensors


def tensors_for_hf(params, config, head):
    """Parameters -> the tensors of a Hugging Face file: exactly those of the transformers class"""
    tensors, H = dict(params), config.hidden_size
    pooler = f"{config.prefix}.pooler.dense"
    if head in MASKED_WORDS and not config.tie_word_embeddings:
        tensors[f"{_MLM}.decoder.bias"] = params[f"{_MLM}.bias"]
    if head in WITHOUT_POOLER:
        tensors = {name: array for name, array in tensors.items() if not name.startswith(pooler)}
    elif head is None and config.prefix == "bert" and f"{pooler}.weight" not in params:
        # transformers' BERT always has a pooler. Zeros mark it as unused; `convert --from-hf` reads them as no pooler.
        tensors |= {f"{pooler}.weight": np.zeros((H, H), np.float32), f"{pooler}.bias": np.zeros(H, np.float32)}
    return names_for_hf(tensors, config, head)
