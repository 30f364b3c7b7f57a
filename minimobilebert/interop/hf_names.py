"""Every tensor accounted for: theirs to ours, and back.

Names are the same already. What differs: some files carry an old spelling, a bare encoder's file leaves out the
model's prefix, tied weights may be stored twice, and constants are stored as if they were weights.
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
    more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return ", ".join(names[:_MANY]) + more


def _present_spelling(tensors, config):
    """gamma, beta -> weight, bias; a bare encoder's names get their prefix."""
    renamed = {}
    for name, array in tensors.items():
        name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name))
        if name.startswith(("embeddings.", "encoder.", "pooler.")):
            name = f"{config.prefix}.{name}"
        renamed[name] = array
    return renamed


def _drop_tied(tensors, config, place):
    """Tied weights that the file stores a second time must be the same numbers; then one of the two is enough."""
    twins = {_DECODER: f"{config.prefix}.embeddings.word_embeddings.weight"}
    if config.tie_word_embeddings:
        twins[f"{_MLM}.decoder.bias"] = f"{_MLM}.bias"
    else:  # transformers then ties nothing, and of two biases adds the decoder's
        twins = {}
        if f"{_MLM}.decoder.bias" in tensors:
            tensors[f"{_MLM}.bias"] = tensors.pop(f"{_MLM}.decoder.bias")
    for name, twin in twins.items():
        if name in tensors and twin not in tensors:
            tensors[twin] = tensors.pop(name)
        elif name in tensors and not np.array_equal(tensors.pop(name), tensors[twin]):
            raise InteropError(
                f"{place}: {name}: found other numbers than in {twin}, expected the same (tied) ones, or"
                " tie_word_embeddings false in config.json"
            )


def _not_used(name, config):
    """Why a tensor that we do not know can be left out, or None."""
    if config.bottleneck_attention and ".bottleneck.attention." in name:
        return "queries and keys read the input bottleneck, so the shared one is not used"
    if not config.has_embedding_transformation and ".embedding_transformation." in name:
        return "word vectors have the hidden width already"
    return None


def _left_out(name, tensors, config, head):
    """Why a tensor that the model does not have is left out, or None where it must not be."""
    if tensors[name].size == 0:
        return "it holds no numbers"
    if head is None and not name.startswith(f"{config.prefix}."):
        return "of this class only the encoder is read"
    return _not_used(name, config)


def match_parameters(tensors, shapes, config, head, place):
    """The tensors of a file under our names -> parameters, list of notes on those left out

    shapes: {name: shape} that the model needs. InteropError that lists missing, unexpected and misshapen tensors.
    """
    tensors = _present_spelling(tensors, config)
    if head in MASKED_WORDS:
        _drop_tied(tensors, config, place)
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
        raise InteropError(f"{place}: found tensors that do not fit config.json: {'; '.join(problems)}")
    return {name: tensors[name] for name in shapes}, notes


def names_for_hf(params, config, head):
    """Our parameters -> their names and form (tied weights once, as they do)."""
    tensors = dict(params)
    if config.use_bottleneck and head in MASKED_WORDS and f"{_MLM}.dense.weight" not in params:
        tensors[f"{_MLM}.dense.weight"] = np.zeros((0, config.vocab_size), np.float32)
    if head is None:
        return {name.removeprefix(f"{config.prefix}."): array for name, array in tensors.items()}
    return tensors


def tensors_for_hf(params, config, head):
    """Our parameters -> the tensors of their file: exactly those that their class has"""
    tensors, H = dict(params), config.hidden_size
    pooler = f"{config.prefix}.pooler.dense"
    if head in MASKED_WORDS and not config.tie_word_embeddings:
        tensors[f"{_MLM}.decoder.bias"] = params[f"{_MLM}.bias"]
    if head in WITHOUT_POOLER:
        tensors = {name: array for name, array in tensors.items() if not name.startswith(pooler)}
    elif head is None and config.prefix == "bert" and f"{pooler}.weight" not in params:
        # Their encoder always has one. Zeros say that it is not to be used, and are read back as none.
        tensors |= {f"{pooler}.weight": np.zeros((H, H), np.float32), f"{pooler}.bias": np.zeros(H, np.float32)}
    return names_for_hf(tensors, config, head)
